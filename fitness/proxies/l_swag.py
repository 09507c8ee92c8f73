"""L-SWAG (Casarin et al., CVPR 2025, arXiv 2505.07300): even gradients of the layers of a band of depths, times SWAP's patterns.

L-SWAG = sum over layers l of the band of log sum_w 1 / sqrt(Var_b |g_b|)  x  Psi                             (eq. 1)

g_b = dL_b/dw for batch b;  Psi: number of distinct patterns (see `swap`) of the activation layers up to the end of the band
the depth of layer l of L is 100 l / L percent                                                                (eq. 6-8)
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics, sum_dtype
from rbflex_evo.spaces import ConfigError, Parameters

from .proxy import Proxy
from .swap import SwapObserver

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject


class LSwagParameters(Parameters):
    """Parameters of the score.

    Attributes:
        batches: Largest number of batches that the images are split into; each has at least 2 images.
        start: Percentage of depth above which layers count.
        end: Percentage of depth up to which layers and patterns count.
    """

    batches: int = Field(default=4, ge=2)
    start: float = Field(default=0, ge=0, lt=100)
    end: float = Field(default=100, gt=0, le=100)

    @model_validator(mode="after")
    def _in_order(self) -> LSwagParameters:
        if self.start >= self.end:
            raise ValueError(f"start must be below end, but they are {self.start:g} and {self.end:g}")
        return self


class LSwag(Proxy):
    """Sum over layers of log sum_w 1 / sqrt(Var|g|), times the number of activation patterns; higher is better.

    Layers are convolutions and linear layers in the order of their registration; patterns are those of the activation layers in the
    order of the forward, from the first one as in eq. 7. Batch normalisation takes the statistics of each batch, and of all images
    for the patterns. Cost: one backward of each batch, one forward. The loss is the task's; labels are the data's or seeded random
    ones. The paper chooses a band of depths for each benchmark, at a spike of the gradients' deviations, and gives no values that
    hold elsewhere, so by default all layers count; another band costs no pass. It does not say how many batches the variance is
    over. ZiCo, on which it builds, has two; then a few weights whose gradients nearly agree outweigh their layer, and float32
    changes the score by 1 or 2 %, so the default here is four (1e-4 at most in our checks). Variances are of the population;
    weights of variance 0 are omitted, and so are layers without another weight. Pitfalls: the score grows with depth, and if
    gradients are large (deviations above 1) its first factor may be negative.
    """

    name = "l_swag"
    description = "evenness of the gradients of a band of layers, times the number of activation patterns"
    needs = "network"
    cost = "backward"
    uses_labels = True
    measured_by = ("batches",)
    Parameters = LSwagParameters
    parameters: LSwagParameters

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``evenness`` [layers], float64, and ``patterns`` [activation layers], the number in the layers so far.

        Raises:
            ConfigError: If there are fewer than 4 images.
        """
        from rbflex_evo.fitness.passes.backward import collect
        from rbflex_evo.fitness.passes.watch import run_observed

        sums = _evenness(subject, self.parameters.batches)
        observer = PatternsSoFar()
        run_observed(subject.network, subject.images, [observer], subject.classifier, "batch")
        return {"evenness": collect(sums, "deviations of gradients"), **observer.finish()}

    def score(self, statistics: Statistics) -> float:
        """Returns the product over the band.

        Raises:
            CandidateFailed: If no layer of the band has a gradient that varies, or all units respond alike.
        """
        evenness = self._band(statistics["evenness"])
        patterns = self._band(statistics["patterns"], from_start=True)
        evenness = evenness[evenness > 0]
        where = f"between {self.parameters.start:g} and {self.parameters.end:g} % of the depth"
        if not len(evenness):
            raise CandidateFailed(f"no layer {where} has a gradient that varies; widen the band by start and end")
        if not len(patterns) or patterns[-1] < 2:
            raise CandidateFailed(f"all units up to {self.parameters.end:g} % of the depth respond to the images alike")
        return float(np.log(evenness).sum() * patterns[-1])

    def _band(self, layers: np.ndarray, from_start: bool = False) -> np.ndarray:
        depths = 100 * np.arange(1, len(layers) + 1) / len(layers)
        chosen: np.ndarray = layers[((depths > self.parameters.start) | from_start) & (depths <= self.parameters.end)]
        return chosen


def _evenness(subject: Subject, batches: int) -> list[torch.Tensor]:
    """Returns sum_w 1 / sqrt(Var|g|) of each layer, float64, 0 for a layer without a gradient that varies."""
    import torch

    from rbflex_evo.fitness.passes.backward import gradients, inputs_of, training, weights_of

    network, images = subject.network, inputs_of(subject)
    batches = min(batches, len(images) // 2)
    if batches < 2:
        raise ConfigError(f"l_swag compares batches of at least 2 images, but there are {len(images)} images; take at least 4")
    weights = weights_of(network)
    double = sum_dtype(images.device)
    bounds = [len(images) * i // batches for i in range(batches + 1)]
    sizes: list[list[torch.Tensor]] = [[] for _ in weights]
    for first, last in pairwise(bounds):
        part = slice(first, last)
        with training(network):
            found = gradients(subject.loss(network(images[part]), part), weights)
        for seen, gradient in zip(sizes, found, strict=True):
            if gradient is not None:
                seen.append(gradient.abs())
    sums = []
    for seen in sizes:
        if len(seen) < batches:
            sums.append(torch.zeros((), dtype=double, device=images.device))
            continue
        deviations = torch.stack(seen).to(double).std(dim=0, correction=0)
        sums.append(torch.where(deviations == 0, 0, 1 / deviations).sum())
    return sums


class PatternsSoFar(Observer):
    """Observer that counts the distinct patterns of units layer by layer: ``patterns`` [L], those of layers 1 .. l."""

    def __init__(self) -> None:
        self.seen = SwapObserver()
        self.counts: list[int] = []

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Adds the patterns of one activation layer."""
        import torch

        self.seen.activation(name, output, multiplicity)
        if self.seen.codes:
            self.seen.codes = [torch.unique(torch.cat(self.seen.codes), dim=0)]
        self.counts.append(int(self.seen.finish()["patterns"]))

    def finish(self) -> Statistics:
        """Returns the counts.

        Raises:
            CandidateFailed: If there is no activation layer.
        """
        self.seen.finish()
        return {"patterns": np.array(self.counts)}
