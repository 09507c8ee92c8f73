"""Layered RBFleX: the product of one RBF kernel for each activation layer, in the flat limit.

RBFleX joins two kernels, K of all activation layers side by side and Q of the features, by a Kronecker product (Yamasaki et al.,
IEEE TNNLS 36(6), 2025, eq. 6-7). In K one wide early layer outweighs all others. Here each activation layer has a kernel of its
own, so that depth and width count:

    log|K_1 (x) ... (x) K_L (x) Q|  ~  sum over layers l of m_l (flat_l + c) + flat_Q

    D_l: squared distances of layer l alone, each column normalised to [0, 1] over the images (eq. 1)
    flat_l = log|-Z^T D_l Z|, eigenvalues raised to 1e-5 of the largest; Z: orthonormal basis of the vectors whose sum is zero
    m_l: number of times that the layer counts,  c = (N - 1) log gamma

This is the limit of log|exp(-gamma D_l)| for small gammas without the constant log N, so no exponential is formed and gamma only
sets the worth of one more layer. If c is so low that a layer's term is negative, more layers lower the score. A layer in which all
images are equal is left out, and so are features that carry no information (`SearchSpace.features` is "none").

The method is this project's own; it is not published. Its default gamma was chosen with known accuracies of NATS-Bench,
NAS-Bench-101, NAS-Bench-Macro, TransNAS-Bench-101 and AutoFormer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import Parameters as AnyParameters

from .kernels import FLOOR, centred_basis, squared_distances
from .score import RbflexObserver

if TYPE_CHECKING:
    import torch

    from rbflex_evo.spaces import SearchSpace


class LayeredParameters(AnyParameters):
    """Parameters of the score. All of them are read by `Layered.score` alone, so changing one costs no forward.

    Attributes:
        gamma: Inverse width of the layers' kernels. Its logarithm times N - 1 is added for each layer (c = -75 for 16 images by
            default).
        multiplicity: Whether a map that several layers compute counts once for each of them, or once in all.
        features: Whether the features count, too.
    """

    gamma: float = Field(default=math.exp(-5), gt=0)
    multiplicity: bool = True
    features: bool = True


class Layered(Proxy):
    """Layered RBFleX score, the sum of the log-determinants of one kernel for each layer; higher is better.

    Args:
        parameters: Parameters of the score.
        parts: "kq", or "k" for spaces whose features carry no information.
    """

    name = "layered"
    description = "how far apart N images lie in each layer, by one RBF kernel for each activation layer"
    Parameters = LayeredParameters
    parameters: LayeredParameters

    def __init__(self, parameters: AnyParameters | None = None, parts: Literal["kq", "k"] = "kq") -> None:
        super().__init__(parameters)
        self.parts = parts

    @property
    def identity(self) -> dict[str, object]:
        """Everything that the statistics depend on, with the parts if the features are left out."""
        return super().identity | ({} if self.parts == "kq" else {"parts": self.parts})

    def for_space(self, space: SearchSpace) -> Layered:
        """Returns the score for `space`: of activations alone if its features carry no information."""
        return Layered(self.parameters, "k" if space.features == "none" else "kq")

    def observer(self) -> Observer:
        """Returns an observer that reduces each layer to the eigenvalues of its distances."""
        return LayeredObserver(self.parts)

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over layers of m_l (flat_l + c), plus flat_Q.

        Raises:
            CandidateFailed: If all images are equal in every layer.
        """
        eigenvalues = statistics["eigenvalues"]
        # Two layers have equal eigenvalues only if they are one map.
        layers = flat_log_determinants(eigenvalues if self.parameters.multiplicity else np.unique(eigenvalues, axis=0))
        alive = layers[np.isfinite(layers)]
        if not len(alive):
            raise CandidateFailed("all images have equal activations in every layer")
        total = float((alive + eigenvalues.shape[1] * math.log(self.parameters.gamma)).sum())
        if self.parameters.features and "q_eigenvalues" in statistics:
            total += float(flat_log_determinants(statistics["q_eigenvalues"]))
        return total


def flat_log_determinants(eigenvalues: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Returns log|-Z^T D Z| [...] from its ascending eigenvalues [..., N - 1], -infinity if all images are equal.

    Eigenvalues below `floor` times the largest one are raised to that value.
    """
    largest = eigenvalues[..., -1:]
    with np.errstate(divide="ignore"):
        values: np.ndarray = np.log(np.maximum(eigenvalues, floor * np.maximum(largest, 0.0))).sum(axis=-1)
    return values


class LayeredObserver(Observer):
    """Observer that reduces each activation layer, and the features, to the eigenvalues of the distances between images.

    Statistics: ``eigenvalues`` float64 [L, N - 1] of -Z^T D_l Z for each of L layers in the order of the forward, ascending, and
    zeros for a layer without a live column; ``q_eigenvalues`` float64 [N - 1] of the features.

    Args:
        parts: "kq", or "k" without the features.
    """

    reduction = "row_sums"

    def __init__(self, parts: str = "kq") -> None:
        self.rows = RbflexObserver(parts)

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Reduces one activation layer."""
        self.rows.activation(name, output, multiplicity)

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        """Returns `reduce_rows` of one layer's outputs [K, N, ...]."""
        return self.rows.reduce(outputs)

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        """Adds one reduced layer."""
        self.rows.take(reduced, columns, multiplicity)

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:
        """Reduces the features [N, L_Q]."""
        self.rows.features(output, magnitude)

    def take_features(self, reduced: torch.Tensor, columns: int, magnitude: torch.Tensor) -> None:
        """Adds the reduced features."""
        self.rows.take_features(reduced, columns, magnitude)

    def fork(self) -> LayeredObserver:
        """Returns another observer that has seen the same layers so far."""
        other = LayeredObserver()
        other.rows = self.rows.fork()
        return other

    def finish(self) -> Statistics:
        """Returns the eigenvalues of each layer.

        Raises:
            CandidateFailed: If RBFleX cannot score the network either: it has no activation layer, a value is not finite, or all
                images have equal rows.
        """
        whole = self.rows.finish()
        layers = self.rows.parts["k"].separately()
        found = {"eigenvalues": _eigenvalues(layers["gram"], layers["live"]).repeat(layers["multiplicity"], axis=0)}
        return found | ({"q_eigenvalues": _eigenvalues(whole["q_gram"], whole["q_live"])} if "q_gram" in whole else {})


def _eigenvalues(gram: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Returns the eigenvalues [..., N - 1] of -Z^T D Z for Gram matrices [..., N, N], zeros where no column is live."""
    basis = centred_basis(gram.shape[-1])
    values: np.ndarray = np.linalg.eigvalsh(-basis.T @ squared_distances(gram) @ basis)
    return np.where(np.asarray(live)[..., None] > 0, values, 0.0)
