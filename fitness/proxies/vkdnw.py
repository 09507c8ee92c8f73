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

    from rbflex_evo.fitness.passes.backward import gradients, inputs_of, weights_of
    from rbflex_evo.fitness.passes.watch import CONVOLUTIONS, Rewired, evaluation_mode

    network, images = subject.lean, inputs_of(subject)
    # Change of each weight for image n: the weights are shared, but one backward gives a gradient per image.
    changes = {
        weight: torch.zeros(len(images), dtype=subject.dtype, device=images.device, requires_grad=True)
        for weight in weights_of(network)[:layers]
    }
    replaced: dict[Any, Callable[..., Any]] = {convolve: _changed_convolution(convolve, changes) for convolve in CONVOLUTIONS}
    replaced[functional.linear] = _changed_linear(changes)
    with evaluation_mode(network), torch.enable_grad(), Rewired(replaced, {}):
        logits = network(images)
    if logits.dim() != 2:
        raise CandidateFailed(f"vkdnw wants one vector of logits an image, but the output has shape {list(logits.shape)}")
    found = []
    for column in logits.unbind(dim=1):
        parts = gradients(column.sum(), list(changes.values()), retain_graph=True)
        found.append(torch.stack([torch.zeros_like(column) if part is None else part for part in parts], dim=1))
    jacobian = torch.stack(found, dim=1).detach().cpu().numpy().astype(float)
    return jacobian, logits.detach().cpu().double().softmax(dim=1).numpy()


def _changed_convolution(
    convolve: Callable[..., torch.Tensor], changes: dict[nn.Parameter, torch.Tensor]
) -> Callable[..., torch.Tensor]:
    """Returns the convolution with a change of its first weight for each image."""

    def run(
        x: torch.Tensor,
        weight: nn.Parameter,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> torch.Tensor:
        output = convolve(x, weight, bias, stride, padding, dilation, groups)
        change = changes.get(weight)
        if change is None or len(x) != len(change):
            return output
        first = weight.new_zeros(1, 1, *weight.shape[2:])
        first.view(-1)[0] = 1
        share = convolve(x[:, :1], first, None, stride, padding, dilation)
        output[:, :1] += change.view(-1, *[1] * (share.dim() - 1)) * share
        return output

    return run


def _changed_linear(changes: dict[nn.Parameter, torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns the linear layer with a change of its first weight for each image."""
    from torch.nn import functional

    def run(x: torch.Tensor, weight: nn.Parameter, bias: Any = None) -> torch.Tensor:
        output = functional.linear(x, weight, bias)
        change = changes.get(weight)
        if change is None or len(x) != len(change):
            return output
        output[..., 0] += change.view(-1, *[1] * (x.dim() - 2)) * x[..., 0]
        return output

    return run
