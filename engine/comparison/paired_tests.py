"""Statistics over the seeds of a comparison: inter-quartile means with bootstrap bands, and paired tests.

Inter-quartile means with bootstrap bands are what Agarwal et al. (NeurIPS 2021, "Deep reinforcement learning at the edge of the
statistical precipice") recommend over means and medians of few runs; Holm's correction is Holm (Scand. J. Statist. 6, 1979); the
effect size is the matched-pairs rank-biserial correlation (Kerby, Comprehensive Psychology 3, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Band:
    """Inter-quartile means [points] and the bounds of their bootstrap interval; NaN where a run has no value."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Paired:
    """Two contenders over the seeds that both have.

    Attributes:
        wins: seeds where the first is higher.
        ties: seeds where both are equal.
        losses: seeds where the second is higher.
        p: of Wilcoxon's signed-rank test, two-sided; 1 where all pairs are equal, None without pairs.
        effect: rank-biserial correlation in [-1, 1], positive where the first is higher; None without pairs.
    """

    wins: int
    ties: int
    losses: int
    p: float | None
    effect: float | None


def interquartile_mean(values: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Returns the mean of the middle half of the runs; a run on its border counts by the part of it that lies inside.

    Args:
        values: float64 [runs].
        counts: int [samples, runs], how often each sample holds each run; None for once each.

    Returns:
        float64 [samples], or [] without counts.
    """
    order = np.argsort(values)
    weights = np.ones((1, len(values))) if counts is None else counts[:, order].astype(np.float64)
    upper = np.cumsum(weights, axis=1)
    total = upper[:, -1:]
    inside = np.clip(upper, total / 4, 3 * total / 4) - np.clip(upper - weights, total / 4, 3 * total / 4)
    means: np.ndarray = inside @ values[order] / (total[:, 0] / 2)
    return np.asarray(means[0]) if counts is None else means


def band(values: np.ndarray, rng: np.random.Generator, resamples: int) -> Band:
    """Returns inter-quartile means over runs, with the percentile bootstrap over runs.

    Args:
        values: float64 [runs, points].
        rng: Generator of the bootstrap.
        resamples: Number of bootstrap resamples.
    """
    runs, points = values.shape
    mean, low, high = (np.full(points, np.nan) for _ in range(3))
    counts = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    for point in np.flatnonzero(np.isfinite(values).all(axis=0)):
        mean[point] = interquartile_mean(values[:, point])
        means = interquartile_mean(values[:, point], counts)
        low[point], high[point] = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Band(mean, low, high)


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Compares two contenders, both float64 [seeds] in the same order of seeds; higher is better.

    Pairs that are equal are left out of the test, as Wilcoxon (1945) does.
    """
    differences = first - second
    wins, ties, losses = (int(np.sum(np.sign(differences) == sign)) for sign in (1, 0, -1))
    if not len(differences):
        return Paired(0, 0, 0, None, None)
    if ties == len(differences):
        return Paired(0, ties, 0, 1.0, 0.0)
    from scipy.stats import rankdata, wilcoxon

    unequal = differences[differences != 0]
    ranks = rankdata(np.abs(unequal))
    effect = float(np.sum(ranks * np.sign(unequal)) / np.sum(ranks))
    return Paired(wins, ties, losses, float(wilcoxon(unequal).pvalue), effect)


def holm(values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number by Holm's step-down method, in the order given."""
    adjusted = np.empty(len(values))
    largest = 0.0
    for step, position in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min(1.0, (len(values) - step) * values[position]))
        adjusted[position] = largest
    return [float(value) for value in adjusted]
