"""Ranks of contenders over several settings, and tests of whether they differ.

A setting (space, objective, budget) is one observation: within it, contenders are ranked by the mean of their runs, 1 for the best
and the mean of the places for ties. This is Demsar's procedure (JMLR 7, 2006), with settings in place of data sets. Friedman's test
with the F statistic of Iman and Davenport says whether the contenders differ at all, and the critical difference of Nemenyi's test
says which mean ranks differ. Seeds are no further observations: runs in one setting say nothing about other settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05
# Digits in which means are equal although they were added up in another order.
DIGITS = 9


@dataclass(frozen=True)
class Friedman:
    """Friedman's test.

    Attributes:
        chi_square: Friedman's statistic, corrected for ties.
        f: Iman and Davenport's statistic; None if all settings rank the contenders in the same way, where it is infinite.
        p: p-value of `f`, 0 where it is infinite.
    """

    chi_square: float
    f: float | None
    p: float


def rounded(losses: np.ndarray) -> np.ndarray:
    """Returns means [settings, contenders] to `DIGITS` significant digits, so that equal ones are equal."""
    return np.array([[float(f"{loss:.{DIGITS}g}") for loss in row] for row in losses]).reshape(losses.shape)


def ranks_of(losses: np.ndarray) -> np.ndarray:
    """Returns the rank of each contender within each setting, float64 [settings, contenders], 1 for the least loss.

    Args:
        losses: float64 [settings, contenders]; NaN if a contender has no value, which ranks last.
    """
    from scipy.stats import rankdata

    ranks: np.ndarray = rankdata(np.where(np.isnan(losses), np.inf, losses), axis=1)
    return ranks


def chi_square_of(mean_ranks: np.ndarray, settings: int) -> float:
    """Returns Friedman's statistic from mean ranks [contenders], not corrected for ties (Demsar, section 3.2.2)."""
    count = len(mean_ranks)
    return float(12 * settings / (count * (count + 1)) * (np.sum(mean_ranks**2) - count * (count + 1) ** 2 / 4))


def iman_davenport(chi_square: float, contenders: int, settings: int) -> float | None:
    """Returns the F statistic of Friedman's, with k - 1 and (k - 1)(N - 1) degrees of freedom; None if it is infinite."""
    rest = settings * (contenders - 1) - chi_square
    return (settings - 1) * chi_square / rest if rest > 1e-9 * settings else None


def friedman(ranks: np.ndarray) -> Friedman | None:
    """Tests whether contenders differ, from ranks [settings, contenders].

    Returns:
        The test, or None if there are fewer than two settings or contenders, or all ranks are equal.
    """
    settings, contenders = ranks.shape
    ties = _ties(ranks) if settings > 1 and contenders > 1 else 0.0
    if ties == 0:
        return None
    from scipy.stats import f as f_distribution

    chi_square = chi_square_of(ranks.mean(axis=0), settings) / ties
    f = iman_davenport(chi_square, contenders, settings)
    freedom = contenders - 1
    p = 0.0 if f is None else float(f_distribution.sf(f, freedom, freedom * (settings - 1)))
    return Friedman(chi_square, f, p)


def _ties(ranks: np.ndarray) -> float:
    """Returns the divisor that corrects Friedman's statistic for ties: 1 without ties, 0 if all are tied."""
    settings, contenders = ranks.shape
    groups = [np.unique(row, return_counts=True)[1] for row in ranks]
    lost = sum(int(np.sum(counts**3 - counts)) for counts in groups)
    return 1.0 - lost / float(settings * contenders * (contenders**2 - 1))


def critical_difference(contenders: int, settings: int, level: float = LEVEL) -> float | None:
    """Returns the least difference of two mean ranks that Nemenyi's test tells apart; None with fewer than two of either."""
    if contenders < 2 or settings < 2:
        return None
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - level, contenders, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(contenders * (contenders + 1) / (6 * settings)))


def groups_of(mean_ranks: Sequence[float], difference: float) -> list[list[int]]:
    """Returns the largest groups of at least two contenders whose mean ranks differ by less than the critical difference.

    Args:
        mean_ranks: Mean rank of each contender.
        difference: The critical difference.

    Returns:
        Positions in `mean_ranks`, the best first.
    """
    order = sorted(range(len(mean_ranks)), key=lambda position: mean_ranks[position])
    found: list[list[int]] = []
    reached = 0
    for start, position in enumerate(order):
        end = start
        while end < len(order) and mean_ranks[order[end]] - mean_ranks[position] < difference:
            end += 1
        # A group that ends where an earlier one ended is a part of it.
        if end - start > 1 and end > reached:
            found.append(order[start:end])
        reached = max(reached, end)
    return found
