"""Kendall's tau-b of two orders with a bootstrap interval.

The bootstrap draws N candidates with replacement and takes percentiles. A resample is a vector of weights: how often each candidate
was drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 1000
# Candidates whose pairs with all others are counted at a time.
BLOCK = 256


@dataclass(frozen=True)
class Statistic:
    """Value of a statistic and its bootstrap interval; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def resample(count: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Returns float64 [times, count], how often each of `count` candidates was drawn in `count` draws with replacement."""
    return np.array([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(times)], dtype=np.float64)


def with_interval(value: float, found: np.ndarray) -> Statistic:
    """Returns a value with the interval of its resampled values [B], of which only finite ones count."""
    if not math.isfinite(value):
        return Statistic(None)
    # A resample may leave a statistic undefined, such as Kendall's of candidates that all tie.
    known = found[np.isfinite(found)]
    if not len(known):
        return Statistic(value)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Statistic(value, float(low), float(high))


def ranked(scores: np.ndarray) -> np.ndarray:
    """Returns int64 [N], equal for equal scores and ascending with them; failed scores tie below all others."""
    return np.unique(np.where(np.isnan(scores), -np.inf, scores), return_inverse=True)[1]


def kendall(ranks: np.ndarray, others: np.ndarray) -> float:
    """Returns Kendall's tau-b, NaN where one side is constant."""
    return float(stats.kendalltau(ranks, others).statistic) if varied(ranks, others) else math.nan


def agreement(first: np.ndarray, second: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Statistic:
    """Returns Kendall's tau-b of two scores of the same candidates, with its interval.

    Args:
        first: float64 [N], higher is better; NaN where a candidate failed, which ranks it below all others.
        second: The other score, float64 [N].
        resamples: Number of bootstrap resamples of the candidates.
        seed: Seed of the bootstrap.
    """
    one, other = ranked(first), ranked(second)
    if not len(one):
        return Statistic(None)
    weights = resample(len(one), resamples, np.random.Generator(np.random.PCG64(seed)))
    return with_interval(kendall(one, other), kendalls(one, other, weights))


def kendalls(ranks: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b of each resample [B], NaN where one side is constant.

    Pairs are counted for all resamples at once, which is exact: concordant minus discordant pairs, by the root of the product of
    the pairs that are not tied on each side.

    Args:
        ranks: int64 [N].
        others: int64 [N].
        weights: float64 [B, N], how often each resample has each candidate.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (ranks, others)]
    sums = np.zeros((3, len(weights)))
    for start in range(0, len(ranks), BLOCK):
        part = slice(start, start + BLOCK)
        first, second = (np.sign(side[:, None] - side[part]) for side in sides)
        for total, pairs in zip(sums, (first * second, first**2, second**2), strict=True):
            total += ((weights @ pairs) * weights[:, part]).sum(axis=1)
    untied = np.sqrt(sums[1] * sums[2])
    found: np.ndarray = np.divide(sums[0], untied, out=np.full(len(weights), np.nan), where=untied > 0)
    return found


def varied(first: np.ndarray, second: np.ndarray) -> bool:
    """Returns whether both sides have at least two different values, without which no correlation is defined."""
    return len(first) > 1 and bool(np.ptp(first) > 0 and np.ptp(second) > 0)
