"""Errors of predictions: median relative error with an interval, and rank correlation.

relative error    |predicted - measured| / measured
interval          2.5th and 97.5th percentile of the median over bootstrap samples of the architectures
cross-validated   every architecture is predicted by a predictor that was fitted to the other folds
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rbflex_evo.spaces import Genotype

from .predictor import Predictor

RESAMPLES = 1000
FOLDS = 5


@dataclass(frozen=True)
class Errors:
    """Errors of the predictions of some architectures.

    Attributes:
        median: Median relative error, as a share.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        within_10: Share of the architectures whose relative error is at most 10 %.
        spearman: Spearman's correlation of predicted and measured costs; NaN if either is constant.
        rows: Number of architectures.
    """

    median: float
    low: float
    high: float
    within_10: float
    spearman: float
    rows: int

    def as_values(self) -> dict[str, float]:
        """Returns the errors as JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"median error {100 * self.median:.2g} % ({100 * self.low:.2g} .. {100 * self.high:.2g} %), "
            f"Spearman {self.spearman:.3f}, {self.rows} architectures"
        )


def errors_of(values: np.ndarray, predicted: np.ndarray, seed: int = 0) -> Errors:
    """Returns the errors of predictions.

    Args:
        values: Measured costs, float64 [architectures], above 0.
        predicted: Predicted costs, float64 [architectures].
        seed: Seed of the bootstrap.
    """
    from scipy.stats import spearmanr

    relative = np.abs(predicted - values) / values
    rng = np.random.Generator(np.random.PCG64(seed))
    samples = rng.integers(len(values), size=(RESAMPLES, len(values))) if len(values) <= RESAMPLES else None
    medians = np.median(relative[samples], axis=1) if samples is not None else _blockwise(relative, rng)
    low, high = np.percentile(medians, (2.5, 97.5))
    constant = np.ptp(values) == 0 or np.ptp(predicted) == 0
    spearman = float("nan") if constant else float(spearmanr(values, predicted)[0])
    within = float(np.mean(relative <= 0.1))
    return Errors(float(np.median(relative)), float(low), float(high), within, spearman, len(values))


def _blockwise(relative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns bootstrapped medians without holding all samples of a large set at once."""
    return np.array([np.median(relative[rng.integers(len(relative), size=len(relative))]) for _ in range(RESAMPLES // 5)])


def fewest(least: int, folds: int = FOLDS) -> int:
    """Returns the smallest number of architectures of which all but one fold, the largest, are at least `least`."""
    return next(number for number in itertools.count(max(least, 2)) if number - -(-number // min(folds, number)) >= least)


def cross_validated(
    make: Callable[[], Predictor], genotypes: Sequence[Genotype], values: np.ndarray, folds: int = FOLDS, seed: int = 0
) -> Errors:
    """Returns the errors of every architecture when predicted from the other folds.

    Args:
        make: Returns a new predictor.
        genotypes: Architectures, at least two.
        values: Their costs, float64 [architectures].
        folds: Number of folds; at most the number of architectures.
        seed: Seed of the folds.
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(genotypes))
    predicted = np.empty(len(genotypes))
    for held in np.array_split(order, min(folds, len(order))):
        rest = np.setdiff1d(order, held)
        predictor = make()
        predictor.fit([genotypes[i] for i in rest], values[rest])
        predicted[held] = predictor.predict([genotypes[i] for i in held])
    return errors_of(values, predicted, seed)
