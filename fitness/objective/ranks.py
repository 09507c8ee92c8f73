"""Ranks among a growing set of candidates, for several members and many candidates in one call.

The set often receives single values and is queried for hundreds. It consists of sorted runs, following the logarithmic method of
Bentley & Saxe (J. Algorithms 1, 1980): new values become a new run, and neighbouring runs are merged while one is less than
`RATIO` times as long as the next. There are at most log_RATIO(n) runs, each value is moved O(RATIO log n) times in total, and
each query is a bisection in numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

RATIO = 16


class Ranks:
    """Growing set of candidates with one value per member.

    Args:
        members: Number of values of a candidate.
        values: Values of the initial candidates.

    Attributes:
        runs: Arrays float64 [members, length] with sorted rows, the longest first.
    """

    def __init__(self, members: int, values: Iterable[Sequence[float]] = ()) -> None:
        self.members = members
        self.runs: list[np.ndarray] = []
        self._new: list[Sequence[float]] = list(values)
        self._length = len(self._new)

    def __len__(self) -> int:
        return self._length

    def add(self, values: Sequence[float]) -> None:
        """Adds one candidate."""
        self._new.append(values)
        self._length += 1

    def counts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the numbers of members below, and not above, each value of `rows` [n, members]; both float64 [n, members]."""
        self._settle()
        less, upto = np.zeros(rows.shape), np.zeros(rows.shape)
        for k in range(self.members):
            # Bisections of sorted values are twice as fast, because consecutive ones follow similar branches.
            order = np.argsort(rows[:, k])
            ordered = rows[order, k]
            less[order, k] = sum(np.searchsorted(run[k], ordered, side="left") for run in self.runs)
            upto[order, k] = sum(np.searchsorted(run[k], ordered, side="right") for run in self.runs)
        return less, upto

    def _settle(self) -> None:
        """Moves added values into runs."""
        if not self._new:
            return
        self.runs.append(np.sort(np.array(self._new, dtype=np.float64).T, axis=1))
        self._new = []
        while len(self.runs) > 1 and self.runs[-2].shape[1] < RATIO * self.runs[-1].shape[1]:
            last = self.runs.pop()
            # A stable sort merges two sorted halves in linear time.
            self.runs[-1] = np.sort(np.concatenate([self.runs[-1], last], axis=1), axis=1, kind="stable")
