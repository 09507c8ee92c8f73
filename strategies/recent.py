"""Percentiles among the last told candidates: one scale for every objective.

A temperature or a reward needs a known scale. Utilities of a rank aggregate lie in [0, 1], but a raw score does not (RBFleX
scores are around -9000). The percentile of x is the share of the last `memory` told candidates whose utility is lower than
that of x; equal ones count half. It lies in [0, 1] for every objective and does not change under a monotone transform of a
score. It is computed whenever it is needed, because ranks change with every evaluation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from .strategy import View


class Recent:
    """The keys of the last told candidates, without their utilities.

    Args:
        memory: Largest number of keys.
        keys: Keys to begin with, the latest last.
    """

    def __init__(self, memory: int, keys: Iterable[str] = ()) -> None:
        self._keys = deque(keys, maxlen=memory)

    def add(self, keys: Iterable[str]) -> None:
        """Adds told keys, the latest last."""
        self._keys.extend(keys)

    def to_json(self) -> list[str]:
        """Returns the keys, the latest last."""
        return list(self._keys)

    def worth(self, keys: Sequence[str], view: View) -> tuple[np.ndarray, np.ndarray]:
        """Returns the current utilities of `keys` and their percentiles, each float64 [len(keys)]."""
        utilities = view.utility([*keys, *self._keys])
        values, recent = utilities[: len(keys)], utilities[len(keys) :]
        return values, percentiles(values, recent)


def percentiles(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Returns, for each value, the share of `among` below it, with equal ones counted half, float64 [len(values)]."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + upto) / (2 * len(ordered)))
