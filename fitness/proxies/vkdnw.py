"""VKDNW (Tybl & Neumann, CVPR 2025, arXiv 2502.04975): entropy of the spectrum of the Fisher information of the weights.

    F = mean_n J_n^T (diag(p_n) - p_n p_n^T) J_n     Fisher information; J_n [classes, weights] of the logits, p_n the softmax
    d_1 .. d_9 = the deciles of F's eigenvalues, normalised to sum 1
    VKDNW = - sum_k d_k log d_k       (eq. 11)
    VKDNW_single = layers + VKDNW     (eq. 12)

F covers one weight per layer, the first, of the first layers. With q = sqrt(p), diag(p) - p p^T is the square of
diag(q) (I - q q^T), so F's eigenvalues are squared singular values and never negative.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import ConfigError, Parameters, SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rbflex_evo.fitness.passes.subject import Subject


class VkdnwParameters(Parameters):
    """Parameters of the score.

    Attributes:
        form: ``single`` is the number of layers plus the entropy, by which the paper ranks; ``entropy`` is the entropy alone.
        layers: Most layers that the Fisher information covers.
    """

    form: Literal["single", "entropy"] = "single"
    layers: int = Field(128, ge=2)


class Vkdnw(Proxy):
    """Entropy of the Fisher spectrum's deciles, plus the number of layers with parameters in the form ``single``; higher is better.

    Cost: one forward and one backward per class, to one weight of each of 128 layers. There is no loss and no labels: the
    expectation over labels is that of the network's softmax. As in the published code, batch normalisation is in evaluation mode
    with the initial running statistics (mean 0, variance 1), so images are independent. Pitfalls: F has at most N (classes - 1)
    eigenvalues that are not 0, so with few images some deciles are 0 and add nothing. The number of layers decides first, and the
    entropy (at most log 9) orders networks of equal depth. The score is only defined for classifiers with one output vector per
    image.
    """

    name = "vkdnw"
    description = "layers plus the entropy of the Fisher information's spectrum"
    needs = "network"
    cost = "backward"
    Parameters = VkdnwParameters
    measured_by = ("layers",)
    parameters: VkdnwParameters

    def check(self, space: SearchSpace) -> None:
        """Refuses a space whose networks are not classifiers.

        Raises:
            ConfigError: If the loss of `space` is not the cross-entropy.
        """
        if space.loss != "cross_entropy":
            raise ConfigError(f"{self.name} is defined for classifiers, but {space.name} is none; leave it out")

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``eigenvalues`` [weights] of F, ascending, and ``layers`` [], the number of modules with own parameters.

        Raises:
            CandidateFailed: If a gradient is not finite, or the output is not one vector per image.
        """
        self.check(subject.space)
        jacobian, probabilities = _jacobian(subject, self.parameters.layers)
        if not (np.isfinite(jacobian).all() and np.isfinite(probabilities).all()):
            raise CandidateFailed("gradients of the logits hold NaN or infinity")
        roots = np.sqrt(probabilities)[:, :, None]
        scaled = roots * jacobian
        rows = scaled - roots * (roots * scaled).sum(axis=1, keepdims=True)
        n, classes, weights = rows.shape
        values = np.linalg.svd(rows.reshape(n * classes, weights), compute_uv=False) ** 2 / n
        values = np.concatenate([np.zeros(weights - len(values)), values[::-1]])
        # A module's own parameters have its name in common.
        layers = len({name.rpartition(".")[0] for name, p in subject.lean.named_parameters() if p.requires_grad})
        return {"eigenvalues": values, "layers": np.array(layers)}

    def score(self, statistics: Statistics) -> float:
        """Returns the entropy, plus the number of layers in the form ``single``.

        Raises:
            CandidateFailed: If all deciles are zero.
        """
        deciles = np.quantile(statistics["eigenvalues"], np.arange(1, 10) / 10)
        if not deciles.any():
            raise CandidateFailed("no more than a tenth of the weights change the prediction: no path, or the signal died")
        shares = deciles / deciles.sum()
        shares = shares[shares > 0]
        entropy = float(-(shares * np.log(shares)).sum())
        return entropy + (float(statistics["layers"]) if self.parameters.form == "single" else 0.0)


def _jacobian(subject: Subject, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gradients [N, classes, weights] of each image's logits and the softmax [N, classes], float64."""
    import torch
    from torch.nn import functional

    from rbflex_evo.fitness.passes.backward import inputs_of, weights_of
    from rbflex_evo.fitness.passes.watch import CONVOLUTIONS, Rewired, evaluation_mode

    network, images = subject.lean, inputs_of(subject)
    calls = _Calls({weight: place for place, weight in enumerate(weights_of(network)[:layers])}, len(images))
    replaced: dict[Any, Callable[..., Any]] = {convolve: partial(calls.convolution, convolve) for convolve in CONVOLUTIONS}
    replaced[functional.linear] = calls.linear
    with evaluation_mode(network), torch.enable_grad(), Rewired(replaced, {}):
        logits = network(images)
    if logits.dim() != 2:
        raise CandidateFailed(f"vkdnw wants one vector of logits an image, but the output has shape {list(logits.shape)}")
    jacobian = torch.zeros(*logits.shape, len(calls.places), dtype=logits.dtype, device=logits.device)
    if logits.requires_grad and calls.edges:
        for column in range(logits.shape[1]):
            total = logits[:, column].sum()
            found = torch.autograd.grad(total, calls.edges, retain_graph=True, allow_unused=True)
            for place, share, channels, gradient in zip(calls.made, calls.shares, calls.channels, found, strict=True):
                if gradient is not None:
                    jacobian[:, column, place] += (gradient.select(channels, 0) * share).reshape(len(share), -1).sum(dim=1)
    return jacobian.cpu().numpy().astype(float), logits.detach().cpu().double().softmax(dim=1).numpy()


class _Calls:
    """Calls of layers: what the first weight of each multiplies, and where the gradient of its output is.

    The first weight adds its multiple of the first channel of the input to the first channel of the output. Its gradient for one
    image is therefore the product of that part of the input with the gradient of the output: weights are shared by all images, but
    one backward gives a gradient of each.

    Args:
        places: Number of each weight.
        images: Number of images.
    """

    def __init__(self, places: dict[nn.Parameter, int], images: int) -> None:
        self.places = places
        self.images = images
        self.made: list[int] = []
        self.shares: list[torch.Tensor] = []
        self.channels: list[int] = []
        self.edges: list[Any] = []

    def convolution(
        self,
        convolve: Callable[..., torch.Tensor],
        input: torch.Tensor,
        weight: nn.Parameter,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> torch.Tensor:
        """Computes a convolution and keeps the call."""
        from rbflex_evo.fitness.passes.watch import served

        output: torch.Tensor = served(convolve)(input, weight, bias, stride, padding, dilation, groups)
        if weight in self.places and len(input) == self.images and output.requires_grad:
            first = weight.new_zeros(1, 1, *weight.shape[2:])
            first.view(-1)[0] = 1
            share = convolve(input.detach()[:, :1].contiguous(), first, None, stride, padding, dilation)
            self._keep(weight, share.squeeze(1), 1, output)
        return output

    def linear(self, input: torch.Tensor, weight: nn.Parameter, bias: Any = None) -> torch.Tensor:
        """Computes a linear layer and keeps the call."""
        from torch.nn import functional

        output = functional.linear(input, weight, bias)
        if weight in self.places and len(input) == self.images and output.requires_grad:
            self._keep(weight, input.detach()[..., 0].clone(), -1, output)
        return output

    def _keep(self, weight: nn.Parameter, share: torch.Tensor, channels: int, output: torch.Tensor) -> None:
        from torch.autograd.graph import get_gradient_edge

        self.made.append(self.places[weight])
        self.shares.append(share)
        self.channels.append(channels)
        # Not the output itself, which an activation may change in place.
        self.edges.append(get_gradient_edge(output))
