"""A table of layers that were timed one by one (ProxylessNAS, Cai et al., ICLR 2019; nn-Meter, Zhang et al., MobiSys 2021).

    entry(kernel)  = median of the times of the kernels of its shape, each timed within a forward pass
    cost(network)  = a (sum of its entries) + b (number of its kernels) + c

Eager networks alone have entries, since a runtime that merges layers runs others. A shape that was never timed has the value of a
line for its kind, with non-negative coefficients for multiply-accumulates, weights and traffic. a, b and c are not negative, and
are fitted to the costs of whole networks by the squared relative error: they hold what a forward takes between its kernels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace

from .cutting import Kernel, cut
from .predictor import Predictor, State

# Sizes of the line for a kind: 1, multiply-accumulates, weights, traffic.
SIZES = 4


class Layers(Predictor):
    """A table of the measured times of kernels, calibrated to whole networks.

    Args:
        space: Search space of the genotypes.
        seed: Not used.
        times: Milliseconds of the kernels of each architecture that it is fitted to, in the order of `cut`; None for a predictor
            that is restored.
    """

    name = "layers"
    description = "table of layers that are timed one by one (ProxylessNAS)"

    def __init__(self, space: SearchSpace, seed: int = 0, times: Mapping[Genotype, Sequence[float]] | None = None) -> None:
        super().__init__(space, seed)
        self.times = times
        self.entries: dict[str, float] = {}
        self.lines: dict[str, np.ndarray] = {}
        self.calibration = np.zeros(3)
        self._kernels: dict[Genotype, list[Kernel]] = {}

    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        if self.times is None:
            raise ConfigError("'layers' is fitted to the times of kernels; measure them")
        of_label: dict[str, list[float]] = defaultdict(list)
        of_kind: dict[str, list[tuple[list[float], float]]] = defaultdict(list)
        for genotype in genotypes:
            for kernel, taken in zip(self._cut(genotype), self.times[genotype], strict=True):
                of_label[kernel.label].append(taken)
                of_kind[kernel.kind].append((sizes_of(kernel), taken))
        self.entries = {label: float(np.median(taken)) for label, taken in sorted(of_label.items())}
        self.lines = {kind: line_of(*zip(*rows, strict=True)) for kind, rows in sorted(of_kind.items())}
        self.calibration = relative(self._features(genotypes), values)

    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return np.asarray(self._features(genotypes) @ self.calibration)

    def _features(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Returns the sum of entries, the number of kernels and 1, float64 [architectures, 3]."""
        rows = [self._cut(genotype) for genotype in genotypes]
        return np.array([[sum(map(self._entry, kernels)), len(kernels), 1.0] for kernels in rows])

    def _entry(self, kernel: Kernel) -> float:
        known = self.entries.get(kernel.label)
        if known is not None:
            return known
        line = self.lines.get(kernel.kind)
        if line is None:
            raise CandidateFailed(f"no kernel of the kind {kernel.kind!r} was timed")
        return float(np.dot(sizes_of(kernel), line))

    def _cut(self, genotype: Genotype) -> list[Kernel]:
        if genotype not in self._kernels:
            self._kernels[genotype] = cut(self.space, genotype, "eager")
        return self._kernels[genotype]

    def state(self) -> State:
        """Returns the entries, the lines and the calibration."""
        plain = {"labels": list(self.entries), "kinds": list(self.lines)}
        lines = np.array(list(self.lines.values())).reshape(-1, SIZES)
        return State(plain, {"entries": np.array(list(self.entries.values())), "lines": lines, "calibration": self.calibration})

    def restore(self, state: State) -> None:
        """Takes over entries, lines and calibration."""
        self.entries = dict(zip(state.plain["labels"], state.arrays["entries"].tolist(), strict=True))
        self.lines = dict(zip(state.plain["kinds"], state.arrays["lines"].reshape(-1, SIZES), strict=True))
        self.calibration = state.arrays["calibration"].reshape(3)
        self.fitted = True


def sizes_of(kernel: Kernel) -> list[float]:
    """Returns what the line for a kind reads of a kernel: 1, multiply-accumulates, weights and traffic."""
    return [1.0, kernel.flops, kernel.weights, kernel.traffic]


def line_of(sizes: Sequence[Sequence[float]], taken: Sequence[float]) -> np.ndarray:
    """Returns the non-negative coefficients of sizes for times, float64 [SIZES]."""
    return relative(np.array(sizes), np.array(taken))


def relative(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the non-negative coefficients of features that have the least squared relative error.

    Args:
        features: float64 [rows, features].
        values: float64 [rows], above 0.
    """
    from scipy.optimize import nnls

    scales = np.maximum(features.max(axis=0), 1e-12)
    solved, _ = nnls(features / scales / values[:, None], np.ones(len(values)))
    return np.asarray(solved / scales)
