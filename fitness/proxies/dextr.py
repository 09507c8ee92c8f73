"""Dextr (Asthana, Conrad, Ortmanns & Belagiannis, TMLR 2025, arXiv 2508.12977): independent channels and a curved output.

    a = log(1 + sum over layers of sigma_min / sigma_max)    singular values of the layer's map [channels, positions] of one image
    b = log(1 + sum over points of kappa)                     extrinsic curvature of the curve of outputs
    score = a b / (a + b)

    x(t) = u cos t + v sin t                                  a circle of inputs, u and v random, orthogonal, of length 1
    kappa = |f'|^-3 sqrt(|f'|^2 |f''|^2 - (f' . f'')^2)        f' and f'' derivatives of the network's output f(x(t)) by t

The paper's abstract and the authors' code were available to us. The code takes one point of the circle, t = 0, and one image. Both
pass through batch normalisation in training mode, that is with their own statistics. It differs from ours in two ways. It derives
ten outputs that are drawn at random; here the curve has all outputs. It sums over all modules, containers included, so that its
score depends on how the modules are nested; here each layer with weights and each activation counts once.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.data.inputs import refuse_words
from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import Parameters, SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rbflex_evo.fitness.passes.subject import Subject


class DextrParameters(Parameters):
    """Parameters of the score.

    Attributes:
        points: Number of points of the circle, from t = 0 at equal distances; their curvatures are added. The code takes 1.
    """

    points: int = Field(default=1, ge=1)


class Dextr(Proxy):
    """Harmonic-mean form of the channels' inverse condition numbers and the output's curvature; higher is better.

    Cost class: backward. It takes a forward of the first image and, for each point, a forward and four passes backwards, each of
    the graph of those before. Pitfalls: a map with as many positions as channels, or fewer, has a small least singular value. A
    layer whose output is a vector contributes 1. The curvature of one point depends on the draw of the circle.
    """

    name = "dextr"
    description = "Dextr: inverse condition numbers of maps, and curvature of the output over a circle of inputs"
    needs = "network"
    cost = "backward"
    Parameters = DextrParameters
    measured_by = ("points",)
    parameters: DextrParameters

    def check(self, space: SearchSpace) -> None:
        """Refuses a space of words, which form no circle.

        Raises:
            ConfigError: If the inputs of `space` are words.
        """
        refuse_words(self.name, "moves the input along a circle", space)

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``inverse_conditions`` [layers] and ``curvatures`` [points], float64."""
        from rbflex_evo.fitness.passes.layer_outputs import rows_of, show_layers
        from rbflex_evo.fitness.passes.watch import image_norm

        grams: list[Tensor] = []

        def keep(output: Tensor) -> None:
            grams.append(gram_of(rows_of(output)[0][0]))

        show_layers(subject.network, subject.images[:1], image_norm, keep)
        return {"inverse_conditions": inverse_conditions(grams), "curvatures": self._curvatures(subject)}

    def _curvatures(self, subject: Subject) -> np.ndarray:
        """Returns the curvature at each point of the circle, NaN where the output does not move."""
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        from rbflex_evo.fitness.passes.backward import training

        network, shape = subject.network, tuple(subject.images.shape[1:])
        first, second = subject.normal("dextr/circle", (2, *shape))
        first = first / first.norm()
        second = second - (first * second).sum() * first
        second = second / second.norm()
        found = []
        # Torch's fused forms of attention have a first derivative only.
        with training(network, differentiable_norm), sdpa_kernel(SDPBackend.MATH):
            for point in range(self.parameters.points):
                t = torch.tensor(2 * torch.pi * point / self.parameters.points).to(first).requires_grad_()
                output = network((first * torch.cos(t) + second * torch.sin(t))[None]).flatten()
                velocity = derivative(output, t)
                acceleration = derivative(velocity, t)
                found.append(curvature(velocity.detach().cpu().double().numpy(), acceleration.detach().cpu().double().numpy()))
        return np.array(found)

    def score(self, statistics: Statistics) -> float:
        """Returns a b / (a + b).

        Raises:
            CandidateFailed: If the output does not move with the input, or does so along a line.
        """
        curvatures = statistics["curvatures"]
        if not np.isfinite(curvatures).all():
            raise CandidateFailed("the output does not move with the input: no path from input to output, or the signal died")
        a, b = np.log1p(statistics["inverse_conditions"].sum()), np.log1p(curvatures.sum())
        if not a or not b:
            raise CandidateFailed("no layer has linearly independent channels" if not a else "the curve of outputs is a line")
        return float(a * b / (a + b))


def derivative(values: Tensor, t: Tensor) -> Tensor:
    """Returns the derivative of `values` [L] by the number `t`, differentiable itself, by two passes backwards; 0 without a path.

    The gradient of sum u_l values_l by t is linear in u, and its gradient by u is the derivative.

    Raises:
        CandidateFailed: If an operation of the network has no further derivative in torch.
    """
    import torch

    u = torch.zeros_like(values, requires_grad=True)
    if not values.requires_grad:
        return u.detach()
    try:
        (weighted,) = torch.autograd.grad(values, t, u, create_graph=True, allow_unused=True)
        if weighted is None:
            return u.detach()
        (found,) = torch.autograd.grad(weighted, u, create_graph=True)
    except RuntimeError as error:
        # Torch has no class of its own for "derivative for aten::NAME is not implemented".
        if "is not implemented" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise CandidateFailed(f"an operation of the network cannot be derived more than once ({reason}); leave dextr out") from None
    return found


def differentiable_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises as `watch.image_norm` does, by operations that have derivatives of any order; torch's has two."""
    if prod(input.shape[2:]) > 1:
        group = tuple(range(2, input.dim()))
        input = input - input.mean(group, keepdim=True)
        input = input * (input.square().mean(group, keepdim=True) + eps).rsqrt()
    shape = (1, -1) + (1,) * (input.dim() - 2)
    if weight is not None:
        input = input * weight.view(shape)
    return input if bias is None else input + bias.view(shape)


def curvature(velocity: np.ndarray, acceleration: np.ndarray) -> float:
    """Returns the extrinsic curvature of a curve from its first and second derivative [L], NaN if it does not move."""
    speed = float(np.linalg.norm(velocity))
    if not speed or not np.isfinite(speed):
        return float("nan")
    # The part of the acceleration across the curve; the difference of products in the formula would cancel.
    across = acceleration - (acceleration @ velocity) / speed**2 * velocity
    return float(np.linalg.norm(across)) / speed**2


def gram_of(rows: Tensor) -> Tensor:
    """Returns the smaller Gram matrix of a map [positions, C], float64 on the CPU."""
    matrix = rows.cpu().double()
    return matrix.mT @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.mT


def inverse_conditions(grams: Sequence[Tensor]) -> np.ndarray:
    """Returns least divided by largest singular value of the maps with these Gram matrices, float64; 0 for zeros.

    Raises:
        CandidateFailed: If a map holds NaN or infinity.
    """
    import torch

    if not all(bool(gram.isfinite().all()) for gram in grams):
        raise CandidateFailed("outputs of layers hold NaN or infinity")
    found = np.zeros(len(grams))
    for size in {len(gram) for gram in grams}:
        of_size = [i for i, gram in enumerate(grams) if len(gram) == size]
        squares = torch.linalg.eigvalsh(torch.stack([grams[i] for i in of_size])).clamp(min=0).numpy()
        found[of_size] = np.sqrt(np.divide(squares[:, 0], squares[:, -1], out=np.zeros(len(of_size)), where=squares[:, -1] > 0))
    return found
