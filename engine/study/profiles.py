"""Performance profiles: the share of settings in which a contender comes within a bound of the best contender.

Dolan and More (Mathematical Programming 91, 2002). `ratios` are theirs, for a cost such as evaluations. A regret may be 0, which
has no ratio, so `distances` takes differences, in units that make settings comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Profile:
    """A staircase: the share of settings in which the contender is at most `bounds[i]` worse than the best is `shares[i]`.

    Attributes:
        bounds: float64 [steps], rising.
        shares: float64 [steps], in (0, 1].
    """

    bounds: np.ndarray
    shares: np.ndarray


def ratios(costs: np.ndarray) -> np.ndarray:
    """Returns each cost divided by the least one of its setting, [settings, contenders].

    Args:
        costs: float64 [settings, contenders], positive; NaN if a contender did not solve the setting, which gives infinity.
    """
    known = np.where(np.isnan(costs), np.inf, costs)
    best = known.min(axis=1, keepdims=True)
    solved = np.isfinite(best)
    return np.where(np.isfinite(known), known / np.where(solved, best, 1.0), np.inf)


def distances(losses: np.ndarray) -> np.ndarray:
    """Returns each loss minus the least one of its setting, [settings, contenders].

    Args:
        losses: float64 [settings, contenders], comparable between settings; NaN if a contender has none, which gives infinity.
    """
    known = np.where(np.isnan(losses), np.inf, losses)
    best = known.min(axis=1, keepdims=True)
    return np.where(np.isfinite(known), known - np.where(np.isfinite(best), best, 0.0), np.inf)


def profile(measures: np.ndarray) -> Profile:
    """Returns the profile of a contender from its ratios or distances [settings]; infinite ones are never reached."""
    bounds, counts = np.unique(measures[np.isfinite(measures)], return_counts=True)
    return Profile(bounds, np.cumsum(counts) / max(len(measures), 1))
