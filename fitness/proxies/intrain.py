"""InTrain (Zhou et al., CVPR 2026, arXiv 2606.18676): dimensions of the activations times the health of the gradients.

    capacity   = sum over layers of log PR(C_l),  PR(C) = (tr C)^2 / tr C^2,  C_l the covariance of the channels of layer l
    resilience = sum over parameters of min(1, std(g) / max|g|),  g = dL/dparameter
    InTrain    = capacity (1 + resilience) / log(L + 1)                                       L: number of layers

Images are N(0, 1) noise. L is the cross-entropy with random labels, or the mean squared error to N(0, 1) targets if the output is a
map. Every pixel of every image is one observation of the channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.passes.observer import NO_ACTIVATION, CandidateFailed, Observer, Statistics, sum_dtype
from rbflex_evo.spaces import Parameters

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject


class InTrainParameters(Parameters):
    """Parameters of the score.

    Attributes:
        images: Number of noise images; the paper takes 64 of 64 x 64 pixels.
    """

    images: int = Field(default=16, ge=2)


class InTrain(Proxy):
    """Sum of the log participation ratios of the activations, times the health of the gradients; higher is better.

    Cost: one forward and one backward of noise of the data's shape (in a space of words, of random words). Batch normalisation
    takes the batch's statistics. We had a description of the paper with its formulas, not the paper. It leaves open which layers
    and parameters count; here they are the activation layers, and all tensors of parameters, vectors of normalisation and biases
    included. Standard deviations are of the population. The paper adds 1e-10 to the eigenvalues and to max|g|; here a layer of
    constant channels adds 0, and so does a parameter whose gradients are all below the round-off of the largest gradient: that of a
    bias before a batch normalisation is zero but for rounding. Pitfalls: the score grows with depth more than its divisor; float32
    changes it by up to 1 %.
    """

    name = "intrain"
    description = "dimensions of every layer's activations, times the health of every parameter's gradient"
    needs = "network"
    cost = "backward"
    measured_by = ("images",)
    Parameters = InTrainParameters
    parameters: InTrainParameters

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``ratios`` [layers], the participation ratios, and ``health`` [parameters], float64.

        Raises:
            CandidateFailed: If all activations are constant, or no weight has a gradient.
        """
        from rbflex_evo.fitness.passes.watch import run_observed

        noise = subject.random_inputs("intrain/images", self.parameters.images)
        observer = RatioObserver()
        run_observed(subject.network, noise, [observer], subject.classifier, "batch")
        return {**observer.finish(), "health": _health(subject, noise)}

    def score(self, statistics: Statistics) -> float:
        """Returns capacity (1 + resilience) / log(L + 1)."""
        ratios = statistics["ratios"]
        return float(np.log(ratios).sum() * (1 + statistics["health"].sum()) / np.log(len(ratios) + 1))


def _health(subject: Subject, noise: torch.Tensor) -> np.ndarray:
    """Returns min(1, std(g) / max|g|) of every parameter, float64, 0 without a gradient."""
    import torch
    from torch.nn import functional

    from rbflex_evo.fitness.passes.backward import collect, gradients, training, weights_of
    from rbflex_evo.fitness.passes.last_map import channels_last
    from rbflex_evo.fitness.passes.reductions.row_sums import ROUNDINGS

    network = subject.network
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = {id(weight) for weight in weights_of(network)}
    double = sum_dtype(noise.device)
    with training(network):
        output = network(channels_last(noise) if noise.is_floating_point() else noise)
        if output.dim() == 2 and subject.space.loss == "cross_entropy":
            # Uniform in [-1, 1), so that the labels are uniform over the classes.
            uniform = subject.uniform("intrain/labels", (len(noise),))
            classes = output.shape[1]
            loss = functional.cross_entropy(output, ((uniform + 1) / 2 * classes).long().clamp_(max=classes - 1))
        else:
            loss = functional.mse_loss(output, subject.normal("intrain/targets", tuple(output.shape)))
        found = gradients(loss, parameters)
    zero = torch.zeros((), dtype=double, device=noise.device)
    largest = [zero if g is None else g.abs().max().to(double) for g in found]
    collect([size for p, size in zip(parameters, largest, strict=True) if id(p) in matrices], "gradients of the loss")
    floor = torch.stack(largest).max() * (ROUNDINGS * torch.finfo(output.dtype).eps)
    ratios = [
        zero if g is None else torch.where(size <= floor, 0, g.to(double).std(correction=0) / size).clamp(max=1)
        for g, size in zip(found, largest, strict=True)
    ]
    return collect(ratios, "deviations of gradients")


class RatioObserver(Observer):
    """Observer of the participation ratio of each layer's channels: ``ratios`` [L], float64, 1 for constant channels."""

    reads_channels = True

    def __init__(self) -> None:
        self.traces: list[torch.Tensor] = []

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Reduces one layer to the traces of C and C^2."""
        import torch

        double = sum_dtype(output.device)
        rows = (output.movedim(1, -1) if output.dim() > 3 else output).flatten(0, -2)
        centred = rows - rows.mean(dim=0)
        # Both traces are those of the smaller of the two products of the rows.
        small = (centred if len(centred) < centred.shape[1] else centred.mT).to(double)
        product = small @ small.mT
        traces = torch.stack([product.diagonal().sum(), product.square().sum()])
        self.traces += [traces] * multiplicity

    def finish(self) -> Statistics:
        """Returns the ratios.

        Raises:
            CandidateFailed: If there is no activation layer, a value is not finite, or all channels of all layers are constant.
        """
        import torch

        if not self.traces:
            raise CandidateFailed(NO_ACTIVATION)
        first, second = torch.stack(self.traces).cpu().numpy().astype(float).T
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise CandidateFailed("activations hold NaN or infinity")
        alive = second > 0
        if not alive.any():
            raise CandidateFailed("all channels of all layers are constant: the signal died")
        ratios = np.ones(len(first))
        ratios[alive] = first[alive] ** 2 / second[alive]
        return {"ratios": ratios}
