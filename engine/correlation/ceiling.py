"""How high Kendall can be: what training runs of the same architectures, or weight seeds of the same score, agree on.

    between     Kendall of one training run's accuracies with another's, mean over the pairs of runs
    of_others   Kendall of one run's accuracies with the mean of its other runs, mean over the runs

Accuracies of several runs are averaged before scores are judged. An order that knew the expected accuracies would therefore reach
about `of_others` or a little more. Nothing is extrapolated from one run.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rbflex_evo.engine.agreement.kendall import kendall, ranked

# Fewest architectures with two runs.
FEWEST = 3


@dataclass(frozen=True)
class Ceiling:
    """Agreement of the training runs of one table.

    Attributes:
        architectures: Number of architectures with at least two runs.
        between: Kendall of one run with another; None if it is unknown.
        of_others: Kendall of one run with the mean of the others; None if it is unknown.
        reason: Why there is no ceiling; empty if there is one.
    """

    architectures: int
    between: float | None = None
    of_others: float | None = None
    reason: str = ""


def ceiling(runs: np.ndarray) -> Ceiling:
    """Returns the agreement of training runs.

    Args:
        runs: Accuracies, float64 [N, R], NaN where an architecture lacks a run.
    """
    several = int((np.isfinite(runs).sum(axis=1) > 1).sum())
    if several < FEWEST:
        return Ceiling(several, reason="the table has one training run of each architecture")
    between = [_agreement(runs[:, a], runs[:, b]) for a, b in combinations(range(runs.shape[1]), 2)]
    others = [_agreement(runs[:, a], _mean(np.delete(runs, a, axis=1))) for a in range(runs.shape[1])]
    found = _defined_mean(between), _defined_mean(others)
    if None in found:
        return Ceiling(several, reason="the accuracies of a training run are all equal")
    return Ceiling(several, *found)


def repeatability(scores: np.ndarray) -> float | None:
    """Returns Kendall between a score's values under two weight seeds, mean over the pairs of seeds; None where undefined.

    Args:
        scores: Float64 [S, N], a row for each seed, NaN where a network failed, which then ranks last.
    """
    return _defined_mean([kendall(ranked(one), ranked(other)) for one, other in combinations(scores, 2)])


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    both = np.isfinite(first) & np.isfinite(second)
    return kendall(first[both], second[both]) if both.sum() >= FEWEST else math.nan


def _mean(runs: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # An architecture without another run has none.
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(runs, axis=1))


def _defined_mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else None
