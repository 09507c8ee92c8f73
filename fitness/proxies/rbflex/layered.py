"""Layered RBFleX: the product of one kernel for each activation layer, each measured by its number of independent units.

RBFleX joins two kernels, K of all activation layers side by side and Q of the features, by a Kronecker product (Yamasaki et al.,
IEEE TNNLS 36(6), 2025, eq. 6-7). In K one wide early layer outweighs all others. Here each activation layer has a kernel of its
own, so that depth and width count:

    log|K_1 (x) ... (x) K_L (x) Q|  ~  sum over layers l of m_l term_l, plus w term_Q

    m_l: number of times that the layer counts, w: weight of the features
    D_l: squared distances of layer l alone, each column normalised to [0, 1] over the N images (eq. 1)
    lambda: eigenvalues of -Z^T D_l Z; Z: orthonormal basis of the vectors of N entries whose sum is zero

Two terms are available:

    spectrum      term_l = log(gamma U_l r_l / (N - 1))   U_l: units of the layer, r_l = exp(-sum_i p_i log p_i): effective rank,
                                                          p_i = lambda_i / sum lambda
    determinant   term_l = sum_i log(gamma lambda_i)      lambda raised to 1e-5 of the largest

`determinant` is the limit of log|exp(-gamma D_l)| for small gammas without the constant log N, so no exponential is formed. Its
eigenvalues are the product of the number of units, the mean spread of a unit after eq. 1 and the shape of the spectrum. Of the
three, the spread orders networks worst, and `spectrum` leaves it out: it keeps the number of units and the effective
rank r_l of the distances (Roy & Vetterli, EUSIPCO 2007) as a part of the full rank N - 1.

gamma sets the worth of one more layer; if it is so small that a layer's term is negative, more layers lower the score. It is left
out of Q. A layer in which all images are equal is left out, and so are features that carry no information
(`SearchSpace.features` is "none").

The method is this project's own; it is not published. Its form, gamma and w were chosen with known accuracies of NATS-Bench,
NAS-Bench-101, NAS-Bench-Macro, TransNAS-Bench-101, DARTS and AutoFormer (``python -m benchmarks layered_forms``).
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
        form: Term of a layer, ``spectrum`` or ``determinant``.
        gamma: Inverse width of the layers' kernels. Its logarithm is added for each layer, N - 1 times by ``determinant``.
        multiplicity: Whether a map that several layers compute counts once for each of them, or once in all.
        features: Weight of the features' term; 0 leaves them out.
    """

    form: Literal["spectrum", "determinant"] = "spectrum"
    gamma: float = Field(default=math.exp(-6), gt=0)
    multiplicity: bool = True
    features: float = Field(default=2.0, ge=0)


class Layered(Proxy):
    """Layered RBFleX score, the sum of one term for each activation layer and one for the features; higher is better.

    Args:
        parameters: Parameters of the score.
        parts: "kq", or "k" for spaces whose features carry no information.
    """

    name = "layered"
    version = 2
    description = "how far apart N images lie in each layer: its units and the effective rank of their distances"
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
        """Returns the sum of the layers' terms, plus the weighted term of the features.

        Raises:
            CandidateFailed: If all images are equal in every layer.
        """
        eigenvalues, units = statistics["eigenvalues"], statistics["units"]
        if not self.parameters.multiplicity:
            # Two layers have equal eigenvalues only if they are one map.
            eigenvalues, first = np.unique(eigenvalues, axis=0, return_index=True)
            units = units[first]
        alive = eigenvalues[:, -1] > 0
        if not alive.any():
            raise CandidateFailed("all images have equal activations in every layer")
        total = float(self._terms(eigenvalues[alive], units[alive], self.parameters.gamma).sum())
        if self.parameters.features and "q_eigenvalues" in statistics:
            total += self.parameters.features * float(self._terms(statistics["q_eigenvalues"], statistics["q_units"], 1.0))
        return total

    def _terms(self, eigenvalues: np.ndarray, units: np.ndarray, gamma: float) -> np.ndarray:
        """Returns the term [...] of layers with these eigenvalues [..., N - 1] and units [...]."""
        if self.parameters.form == "determinant":
            return np.asarray(flat_log_determinants(eigenvalues) + eigenvalues.shape[-1] * math.log(gamma))
        terms: np.ndarray = np.log(units) + spectral_entropies(eigenvalues) + math.log(gamma / eigenvalues.shape[-1])
        return terms


def flat_log_determinants(eigenvalues: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Returns log|-Z^T D Z| [...] from its ascending eigenvalues [..., N - 1], of which at least one is positive.

    Eigenvalues below `floor` times the largest one are raised to that value.
    """
    values: np.ndarray = np.log(np.maximum(eigenvalues, floor * eigenvalues[..., -1:])).sum(axis=-1)
    return values


def spectral_entropies(eigenvalues: np.ndarray) -> np.ndarray:
    """Returns the entropy [...] of eigenvalues [..., N - 1] as parts of their sum, which is the logarithm of the effective rank.

    At least one eigenvalue must be positive. Negative ones are round-off and count as zero.
    """
    parts = np.maximum(eigenvalues, 0.0)
    parts = parts / parts.sum(axis=-1, keepdims=True)
    entropies: np.ndarray = -(parts * np.log(np.where(parts > 0, parts, 1.0))).sum(axis=-1)
    return entropies


class LayeredObserver(Observer):
    """Observer that reduces each activation layer, and the features, to the eigenvalues of the distances between images.

    Statistics: ``eigenvalues`` float64 [L, N - 1] of -Z^T D_l Z for each of L layers in the order of the forward, ascending, and
    zeros for a layer without a live column; ``units`` int64 [L], the values of the layer per image; ``q_eigenvalues`` float64
    [N - 1] of the features and ``q_units`` int64 [], their values per image.

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
        """Returns the eigenvalues and the units of each layer.

        Raises:
            CandidateFailed: If RBFleX cannot score the network either: it has no activation layer, a value is not finite, or all
                images have equal rows.
        """
        whole = self.rows.finish()
        layers = self.rows.parts["k"].separately()
        eigenvalues = _eigenvalues(layers["gram"], layers["live"])
        found = {
            name: array.repeat(layers["multiplicity"], axis=0)
            for name, array in {"eigenvalues": eigenvalues, "units": layers["length"]}.items()
        }
        if "q_gram" in whole:
            found |= {"q_eigenvalues": _eigenvalues(whole["q_gram"], whole["q_live"]), "q_units": whole["q_length"]}
        return found


def _eigenvalues(gram: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Returns the eigenvalues [..., N - 1] of -Z^T D Z for Gram matrices [..., N, N], zeros where no column is live."""
    basis = centred_basis(gram.shape[-1])
    values: np.ndarray = np.linalg.eigvalsh(-basis.T @ squared_distances(gram) @ basis)
    return np.where(np.asarray(live)[..., None] > 0, values, 0.0)
