"""What a candidate is worth as a percentile among the last ones told: one scale for every objective.

A temperature or a reward only means something on a known scale. Utilities of a rank aggregate lie in [0, 1], a raw
score (RBFleX: some -9000) does not. The percentile of x is the share of the last `memory` told candidates that are
worth less than x, equals counted half: in [0, 1] for every objective, and the same under a monotone transform of a
score. It is taken anew whenever it is needed, since ranks change whenever a candidate is evaluated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from .strategy import View


class Recent:
    """The keys of the last `memory` told candidates; never what they are worth."""

    def __init__(self, memory: int, keys: Iterable[str] = ()) -> None:
        self._keys = deque(keys, maxlen=memory)

    def add(self, keys: Iterable[str]) -> None:
        """Takes told keys, the latest last."""
        self._keys.extend(keys)

    def to_json(self) -> list[str]:
        """Returns the keys, the latest last."""
        return list(self._keys)

    def worth(self, keys: Sequence[str], view: View) -> tuple[np.ndarray, np.ndarray]:
        """Returns float64 [len(keys)] twice: what those keys are worth now, and their percentiles."""
        utilities = view.utility([*keys, *self._keys])
        values, recent = utilities[: len(keys)], utilities[len(keys) :]
        return values, percentiles(values, recent)


def percentiles(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Returns float64 [len(values)], for each value the share of `among` below it, equals counted half."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + upto) / (2 * len(ordered)))
