"""RBFleX (Yamasaki et al., IEEE TNNLS 36(6), 2025, arXiv 2503.22733): distances between N images in an untrained network.

    X [N, L_K]: all activation outputs of an image, Y [N, L_Q]: the input of the classifier
    normalise each column to [0, 1] over the N rows (eq. 1); a constant column carries no distance
    K = exp(-gamma_k ||x_i - x_j||^2), Q = exp(-gamma_q ||y_i - y_j||^2)                       (eq. 2-5)
    score = log|K (x) Q| = N (log|K| + log|Q|)                                                 (eq. 6-7)

A space whose features are round-off (`SearchSpace.features` is "none") is scored by K alone: N log|K|. Its networks are dead if the
map that the features are pooled from is zero.

Normalisation is per column and squared distances add up over layers, so X is never stored: each layer is reduced to its Gram
matrix while the forward runs, and memory is bounded by the largest layer. Gammas, kernels and HDA rules read these statistics
only, so changing one costs no forward. If gamma is small (the flat limit), its value hardly matters: it only adds a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rbflex_evo.fitness.passes.observer import NO_ACTIVATION, CandidateFailed, Observer, Statistics, rows_of
from rbflex_evo.fitness.passes.reductions.row_sums import RowStatistics, reduce_rows
from rbflex_evo.fitness.passes.repair import Repair, RepairParameters, without_no_repair
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError, refuse_without_effect
from rbflex_evo.spaces import Parameters as AnyParameters
from rbflex_evo.spaces.errors import shown

from .hda import detect
from .kernels import Flat, Kernel, Linear, NormalisedRows, Psnr, Rbf, Ssim

if TYPE_CHECKING:
    import torch

    from rbflex_evo.spaces import SearchSpace

# Constants of the published scripts for convolutional networks, the same for every space.
PUBLISHED_GAMMAS = (2.68690173088039e-12, 1.02460061284506e-11)

# Content of the rows of each part.
ROWS = {"k": "activations", "q": "features"}

ROUND_OFF = (
    "the features of all images are equal up to round-off, as averages of normalised maps are; score the activations alone with "
    "features=False"
)

Gamma = Annotated[float, Field(gt=0)]


class RbflexParameters(RepairParameters):
    """Parameters of the score; `repair` and `masked` are NCD's.

    Attributes:
        gamma: ``hda`` (the minimum over detected candidates), ``hda_max`` (the maximum), ``random`` (log-uniform in
            [1e-20, 1e-1]), ``published`` (the constants of the paper's scripts), ``flat`` (the gamma-free limit), or two numbers
            [gamma_k, gamma_q].
        networks: Number of networks that HDA reads (the paper's M).
        kernel: ``rbf``, or one of the paper's comparisons (Fig. 10).
        features: Whether the last features are scored (Q), too; False for the activations alone (K).
        mode: ``standard``, or ``published`` for the layers of the published code on raw cells, with its gammas.
    """

    gamma: Literal["hda", "hda_max", "random", "published", "flat"] | Annotated[list[Gamma], Field(min_length=2, max_length=2)] = (
        "hda"
    )
    networks: int = Field(default=10, ge=1)
    kernel: Literal["rbf", "linear", "psnr", "ssim"] = "rbf"
    features: bool = True
    mode: Literal["standard", "published"] = "standard"

    @model_validator(mode="after")
    def _with_effect(self) -> RbflexParameters:
        if self.kernel != "rbf":
            refuse_without_effect(self, "gamma", f"with kernel {self.kernel!r}, which has none")
            refuse_without_effect(self, "networks", f"with kernel {self.kernel!r}, which has no gamma to detect")
        if self.mode == "published":
            refuse_without_effect(self, "gamma", "in mode 'published', which has the gammas of the published code")
            refuse_without_effect(self, "networks", "in mode 'published', which detects no gamma")
        if self.gamma not in ("hda", "hda_max"):
            refuse_without_effect(self, "networks", f"with gamma {shown(self.gamma)}, which is not detected")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the plain values, without the defaults of later parameters, so that runs from before them can go on."""
        values = without_no_repair(plain(self))
        return {name: value for name, value in values.items() if name != "features" or not value}


class Rbflex(Proxy):
    """RBFleX score N (log|K| + log|Q|); higher is better, always negative for the RBF kernel.

    Args:
        parameters: Parameters of the score.
        kernels: Kernel of each part, as a calibration gives them. Ignored if the parameters decide the kernels.
        parts: "kq", or "k" for spaces whose features carry no information; "k" if the parameters leave the features out.
    """

    name = "rbflex"
    description = "how far apart N images lie, by RBF kernels over activations and last features"
    Parameters = RbflexParameters
    parameters: RbflexParameters

    def __init__(
        self,
        parameters: AnyParameters | None = None,
        kernels: Mapping[str, Kernel] | None = None,
        parts: Literal["kq", "k"] = "kq",
    ) -> None:
        super().__init__(parameters)
        self.kernels = _decided_kernels(self.parameters) or kernels or {}
        self.parts: Literal["kq", "k"] = parts if self.parameters.features else "k"

    @property
    def scores_raw_network(self) -> bool:
        """True in mode ``published``."""
        return self.parameters.mode == "published"

    @property
    def repair(self) -> Repair | None:
        """The changes of the observed forward."""
        return self.parameters.changes

    @property
    def identity(self) -> dict[str, object]:
        """Everything that the statistics depend on, with the parts if the features are left out."""
        return super().identity | ({} if self.parts == "kq" else {"parts": self.parts})

    def for_space(self, space: SearchSpace) -> Rbflex:
        """Returns the score for `space`: of activations alone if its features carry no information."""
        return Rbflex(self.parameters, self.kernels, "k" if space.features == "none" else "kq")

    def observer(self) -> Observer:
        """Returns an observer that reduces activations and features to Gram matrices and moments."""
        return RbflexObserver(self.parts)

    @property
    def _rule(self) -> str:
        return self.parameters.gamma if isinstance(self.parameters.gamma, str) else "given"

    @property
    def calibration_networks(self) -> int:
        """Number of networks that HDA looks at, 0 if nothing has to be detected."""
        return self.parameters.networks if not self.kernels and self._rule in ("hda", "hda_max") else 0

    @property
    def calibration_identity(self) -> dict[str, object]:
        """Rule and number of networks of the calibration."""
        return {"rule": self._rule, "networks": self.calibration_networks}

    def calibrate(self, samples: Sequence[Statistics], rng: np.random.Generator) -> dict[str, float]:
        """Returns ``gamma_k`` and ``gamma_q``, detected or random, or an empty dictionary if the kernels are known."""
        if self.kernels:
            return {}
        if self._rule == "random":
            return {f"gamma_{part}": float(10.0 ** rng.uniform(-20, -1)) for part in self.parts}
        return {f"gamma_{part}": detect([_moments(statistics, part) for statistics in samples], self._rule) for part in self.parts}

    def calibrated(self, values: Mapping[str, float]) -> Rbflex:
        """Returns the score with RBF kernels of these gammas."""
        if not values:
            return self
        return Rbflex(self.parameters, {part: Rbf(values[f"gamma_{part}"]) for part in self.parts}, self.parts)

    def score(self, statistics: Statistics) -> float:
        """Returns log|K (x) Q| (eq. 6-7).

        Raises:
            CandidateFailed: If a kernel matrix has no positive eigenvalue.
            ConfigError: If the kernels are not known yet.
        """
        score = float(self.score_many({name: array[None] for name, array in statistics.items()})[0])
        if np.isnan(score):
            raise CandidateFailed("the kernel has no positive eigenvalue")
        return score

    def score_many(self, statistics: Statistics) -> np.ndarray:
        """Returns log|K (x) Q| = N (log|K| + log|Q|) of M candidates (eq. 6-7), NaN where a kernel has no positive eigenvalue."""
        if not self.kernels:
            raise ConfigError("rbflex has no gammas yet: calibrate it on networks of the space, or set gamma")
        n = statistics["k_gram"].shape[1]
        log_determinants = np.sum([self.kernels[part].log_determinants(_rows(statistics, part)) for part in self.parts], axis=0)
        scores: np.ndarray = n * log_determinants
        return scores


def _decided_kernels(parameters: RbflexParameters) -> dict[str, Kernel]:
    """Returns the kernel of each part if the parameters decide it, else an empty dictionary: gammas have to be found."""
    rivals: dict[str, Kernel] = {"linear": Linear(), "psnr": Psnr(), "ssim": Ssim()}
    gamma = PUBLISHED_GAMMAS if parameters.mode == "published" or parameters.gamma == "published" else parameters.gamma
    if parameters.kernel != "rbf":
        return dict.fromkeys(ROWS, rivals[parameters.kernel])
    if gamma == "flat":
        return dict.fromkeys(ROWS, Flat())
    return {} if isinstance(gamma, str) else dict(zip(ROWS, map(Rbf, gamma), strict=True))


def _rows(statistics: Statistics, part: str) -> NormalisedRows:
    return NormalisedRows(statistics[f"{part}_gram"], statistics[f"{part}_normalised_sums"], statistics[f"{part}_live"])


def _moments(statistics: Statistics, part: str) -> tuple[np.ndarray, np.ndarray, int]:
    return statistics[f"{part}_sums"], statistics[f"{part}_squares"], int(statistics[f"{part}_length"])


class RbflexObserver(Observer):
    """Observer that reduces X and Y to Gram matrices and moments.

    Statistics, for part k (X) and q (Y), float64 or int64: ``gram`` [N, N] and ``normalised_sums`` [N] of the normalised rows,
    ``sums`` [N] and ``squares`` [N] of the raw rows, ``length`` [], the number of columns, and ``live`` [], the number of columns
    that are not constant.

    Args:
        parts: "kq", or "k" without the features.
    """

    reduction = "row_sums"

    def __init__(self, parts: str = "kq") -> None:
        self.parts = {part: RowStatistics() for part in parts}
        self.magnitude: torch.Tensor | None = None  # Largest value of the map that the features come from.

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Reduces one activation layer."""
        self.parts["k"].add(rows_of(output[None])[0], None, multiplicity)

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        """Returns `reduce_rows` of one layer's outputs [K, N, ...]."""
        return reduce_rows(rows_of(outputs))

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        """Adds one reduced layer."""
        self.parts["k"].take(reduced, columns, multiplicity)

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:
        """Reduces the features [N, L_Q]."""
        self.magnitude = magnitude
        if "q" in self.parts:
            self.parts["q"].add(output, magnitude)

    def take_features(self, reduced: torch.Tensor, columns: int, magnitude: torch.Tensor) -> None:
        """Adds the reduced features."""
        self.magnitude = magnitude
        if "q" in self.parts:
            self.parts["q"].take(reduced, columns)

    def fork(self) -> RbflexObserver:
        """Returns another observer that has seen the same layers so far."""
        other = RbflexObserver()
        other.parts = {part: rows.fork() for part, rows in self.parts.items()}
        other.magnitude = self.magnitude
        return other

    def finish(self) -> Statistics:
        """Returns the statistics of both parts.

        Raises:
            CandidateFailed: If there is no activation layer, a value is not finite, or all images have equal rows.
        """
        if not self.parts["k"].columns:
            raise CandidateFailed(NO_ACTIVATION)
        found = {f"{part}_{name}": array for part, rows in self.parts.items() for name, array in rows.finish().items()}
        if not all(np.isfinite(array).all() for array in found.values()):
            raise CandidateFailed("activations or features hold NaN or infinity")
        for part, name in ROWS.items():
            dead = not found[f"{part}_live"] if part in self.parts else self.magnitude is not None and not self.magnitude
            if dead and part == "q" and "q" in self.parts and _differ(found):
                raise CandidateFailed(ROUND_OFF)
            if dead:
                raise CandidateFailed(f"all images have equal {name}: no path from input to output, or the signal died")
        return found


def _differ(statistics: Statistics) -> bool:
    """Returns True if the features of the images differ at all. Those of a dead network are the same in every digit."""
    return any(np.ptp(statistics[f"q_{name}"]) > 0 for name in ("sums", "squares"))
