"""RBFleX (Yamasaki et al., IEEE TNNLS 36(6), 2025, arXiv 2503.22733): how far apart N images lie in an untrained network.

    X [N, L_K]: all activation outputs of an image, Y [N, L_Q]: the input of the classifier
    normalise each column to [0, 1] over the N rows (eq. 1); a constant column carries no distance
    K = exp(-gamma_k ||x_i - x_j||^2), Q = exp(-gamma_q ||y_i - y_j||^2)                       (eq. 2-5)
    score = log|K (x) Q| = N (log|K| + log|Q|)                                                 (eq. 6-7)

A space whose features are round-off (`SearchSpace.features` is "none") is scored by K alone: N log|K|. Its networks are dead where
the map that the features come from is zero.

Normalisation is per column and squared distances add up over layers, so X never exists: each layer is reduced to its Gram
matrix while the forward runs, and memory is bounded by the largest layer. Gammas, kernels and HDA rules read these statistics
only; changing one costs no forward. Gamma hardly matters once it is small (the flat limit): then it only adds a constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.passes.observer import NO_ACTIVATION, CandidateFailed, Observer, Statistics, rows_of
from rbflex_evo.fitness.passes.row_sums import RowStatistics, reduce_rows
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces import Parameters as AnyParameters

from .hda import detect
from .kernels import (
    flat_log_determinant,
    floored_log_determinant,
    linear_kernel,
    log_determinants,
    psnr_kernel,
    rbf_log_determinant,
    squared_distances,
    ssim_kernel,
)

if TYPE_CHECKING:
    import torch

    from rbflex_evo.spaces import SearchSpace

# The constants of the published scripts for convolutional networks, the same for every space.
PUBLISHED_GAMMAS = (2.68690173088039e-12, 1.02460061284506e-11)

# What the rows of each part are.
ROWS = {"k": "activations", "q": "features"}

Gamma = Annotated[float, Field(gt=0)]


class RbflexParameters(AnyParameters):
    """Parameters of the score.

    Attributes:
        gamma: ``hda`` (the minimum over detected candidates), ``hda_max``, ``random`` (log-uniform in [1e-20, 1e-1]),
            ``published`` (the paper's scripts' constants), ``flat`` (the gamma-free limit), or two numbers [gamma_k, gamma_q].
        networks: how many networks HDA looks at (the paper's M).
        kernel: ``rbf``, or one of the paper's comparisons (Fig. 10).
        mode: ``published`` observes what the published code observes, on raw cells, and sets its gammas.
    """

    gamma: Literal["hda", "hda_max", "random", "published", "flat"] | Annotated[list[Gamma], Field(min_length=2, max_length=2)] = (
        "hda"
    )
    networks: int = Field(default=10, ge=1)
    kernel: Literal["rbf", "linear", "psnr", "ssim"] = "rbf"
    mode: Literal["standard", "published"] = "standard"


class Rbflex(Proxy):
    """N (log|K| + log|Q|); higher is better, always negative for the RBF kernel.

    Args:
        gammas: gamma_k and gamma_q where they are known.
        parts: "kq", or "k" for spaces whose features say nothing.
    """

    name = "rbflex"
    description = "how far apart N images lie, by RBF kernels over activations and last features"
    Parameters = RbflexParameters
    parameters: RbflexParameters

    def __init__(
        self,
        parameters: AnyParameters | None = None,
        gammas: Sequence[float] | None = None,
        parts: Literal["kq", "k"] = "kq",
    ) -> None:
        super().__init__(parameters)
        self.gammas = gammas
        self.parts = parts
        gamma = self.parameters.gamma
        if gamma == "published" or self.parameters.mode == "published":
            self.gammas = PUBLISHED_GAMMAS
        elif isinstance(gamma, list):
            self.gammas = (gamma[0], gamma[1])

    @property
    def layers(self) -> Literal["activations", "published"]:
        return "published" if self.parameters.mode == "published" else "activations"

    @property
    def identity(self) -> dict[str, object]:
        return super().identity | ({} if self.parts == "kq" else {"parts": self.parts})

    def for_space(self, space: SearchSpace) -> Rbflex:
        return Rbflex(self.parameters, self.gammas, "k" if space.features == "none" else "kq")

    def observer(self) -> Observer:
        return RbflexObserver(self.parts)

    @property
    def _rule(self) -> str:
        return self.parameters.gamma if isinstance(self.parameters.gamma, str) else "given"

    @property
    def calibration_networks(self) -> int:
        wanted = self.parameters.kernel == "rbf" and self.gammas is None
        return self.parameters.networks if wanted and self._rule in ("hda", "hda_max") else 0

    @property
    def calibration_identity(self) -> dict[str, object]:
        return {"rule": self._rule, "networks": self.calibration_networks}

    def calibrate(self, samples: Sequence[Statistics], rng: np.random.Generator) -> dict[str, float]:
        if self.gammas is not None or self._rule == "flat" or self.parameters.kernel != "rbf":
            return {}
        if self._rule == "random":
            return {f"gamma_{part}": float(10.0 ** rng.uniform(-20, -1)) for part in self.parts}
        return {f"gamma_{part}": detect([_moments(statistics, part) for statistics in samples], self._rule) for part in self.parts}

    def calibrated(self, values: Mapping[str, float]) -> Rbflex:
        if not values:
            return self
        return Rbflex(self.parameters, [values[f"gamma_{part}"] for part in self.parts], self.parts)

    def score(self, statistics: Statistics) -> float:
        n = len(statistics["k_gram"])
        total = 0.0
        for position, part in enumerate(self.parts):
            gram = statistics[f"{part}_gram"]
            live = int(statistics[f"{part}_live"])
            total += self._log_determinant(gram, statistics[f"{part}_normalised_sums"], live, position)
        score = n * total
        if not math.isfinite(score):
            raise CandidateFailed(f"the determinant is {score:g}")
        return score

    def score_many(self, statistics: Statistics) -> np.ndarray:
        if self.parameters.kernel != "rbf":
            return super().score_many(statistics)
        flat = self._rule == "flat" and self.gammas is None
        if self.gammas is None and not flat:
            raise ConfigError(_NO_GAMMAS)
        total = np.zeros(len(statistics["k_gram"]))
        for position, part in enumerate(self.parts):
            gamma = None if self.gammas is None else self.gammas[position]
            values = log_determinants(statistics[f"{part}_gram"], gamma)
            total += np.where(statistics[f"{part}_live"] > 0, values, np.nan)
        return statistics["k_gram"].shape[1] * total

    def _log_determinant(self, gram: np.ndarray, sums: np.ndarray, length: int, position: int) -> float:
        kernel = self.parameters.kernel
        try:
            if kernel == "rbf":
                distances = squared_distances(gram)
                if self._rule == "flat" and self.gammas is None:
                    return flat_log_determinant(distances)
                if self.gammas is None:
                    raise ConfigError(_NO_GAMMAS)
                return rbf_log_determinant(distances, self.gammas[position])
            matrix = {
                "linear": lambda: linear_kernel(gram),
                "psnr": lambda: psnr_kernel(gram, length),
                "ssim": lambda: ssim_kernel(gram, sums, length),
            }[kernel]()
            return floored_log_determinant(matrix)
        except ConfigError:
            raise
        except ValueError as error:
            raise CandidateFailed(str(error)) from None


_NO_GAMMAS = "rbflex has no gammas yet: calibrate it on networks of the space, or set gamma"


def _moments(statistics: Statistics, part: str) -> tuple[np.ndarray, np.ndarray, int]:
    return statistics[f"{part}_sums"], statistics[f"{part}_squares"], int(statistics[f"{part}_length"])


class RbflexObserver(Observer):
    """Reduces X and Y to what the score needs, while they pass.

    Statistics, for part k (X) and q (Y): ``gram`` [N, N] of the normalised rows (its diagonal is their sums of squares),
    ``normalised_sums`` [N], ``sums`` [N] and ``squares`` [N] of the raw rows, ``length`` (all columns), ``live`` (columns
    that are not constant); all float64 or int64.
    """

    reduction = "row_sums"

    def __init__(self, parts: str = "kq") -> None:
        self.parts = {part: RowStatistics() for part in parts}
        self.magnitude: torch.Tensor | None = None  # the largest number of the map that the features come from

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        self.parts["k"].add(rows_of(output[None])[0], None, multiplicity)

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        return reduce_rows(rows_of(outputs))

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        self.parts["k"].take(reduced, columns, multiplicity)

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:
        self.magnitude = magnitude
        if "q" in self.parts:
            self.parts["q"].add(output, magnitude)

    def take_features(self, reduced: torch.Tensor, columns: int, magnitude: torch.Tensor) -> None:
        self.magnitude = magnitude
        if "q" in self.parts:
            self.parts["q"].take(reduced, columns)

    def fork(self) -> RbflexObserver:
        other = RbflexObserver()
        other.parts = {part: rows.fork() for part, rows in self.parts.items()}
        other.magnitude = self.magnitude
        return other

    def finish(self) -> Statistics:
        if not self.parts["k"].columns:
            raise CandidateFailed(NO_ACTIVATION)
        found = {f"{part}_{name}": array for part, rows in self.parts.items() for name, array in rows.finish().items()}
        if not all(np.isfinite(array).all() for array in found.values()):
            raise CandidateFailed("activations or features hold NaN or infinity")
        for part, name in ROWS.items():
            dead = not found[f"{part}_live"] if part in self.parts else self.magnitude is not None and not self.magnitude
            if dead:
                raise CandidateFailed(f"all images have equal {name}: no path from input to output, or the signal died")
        return found
