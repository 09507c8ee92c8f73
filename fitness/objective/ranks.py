"""How many values of a growing set lie below a given one, for several members at once and many values in one call.

A rank among 10^5 candidates changes with every candidate, so the set takes single values all the time and is asked about
hundreds. It is kept as sorted runs, the logarithmic method of Bentley & Saxe (J. Algorithms 1, 1980): new values become a run
of their own, and neighbouring runs are merged while one is less than `RATIO` times as long as the next. There are
log_RATIO(n) runs at most, a value is moved O(RATIO log n) times in all, and every look-up is a bisection in numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

RATIO = 16


class Ranks:
    """A growing set of candidates, each with one value a member.

    Args:
        members: values that a candidate has.
        values: of the candidates to begin with.

    Attributes:
        runs: float64 [members, length] each, every row sorted by itself, the longest run first.
    """

    def __init__(self, members: int, values: Iterable[Sequence[float]] = ()) -> None:
        self.members = members
        self.runs: list[np.ndarray] = []
        self._new: list[Sequence[float]] = list(values)
        self._length = len(self._new)

    def __len__(self) -> int:
        return self._length

    def add(self, values: Sequence[float]) -> None:
        """Takes one candidate."""
        self._new.append(values)
        self._length += 1

    def counts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns, each as float64 [n, members], how many of the set are below and at most the values `rows` [n, members]."""
        self._settle()
        less, upto = np.zeros(rows.shape), np.zeros(rows.shape)
        for k in range(self.members):
            # Neighbouring bisections of ordered values take the same turns: twice as fast as in any order.
            order = np.argsort(rows[:, k])
            ordered = rows[order, k]
            less[order, k] = sum(np.searchsorted(run[k], ordered, side="left") for run in self.runs)
            upto[order, k] = sum(np.searchsorted(run[k], ordered, side="right") for run in self.runs)
        return less, upto

    def _settle(self) -> None:
        """Makes runs of what was added."""
        if not self._new:
            return
        self.runs.append(np.sort(np.array(self._new, dtype=np.float64).T, axis=1))
        self._new = []
        while len(self.runs) > 1 and self.runs[-2].shape[1] < RATIO * self.runs[-1].shape[1]:
            last = self.runs.pop()
            # A stable sort of two sorted halves is a merge: its cost is linear.
            self.runs[-1] = np.sort(np.concatenate([self.runs[-1], last], axis=1), axis=1, kind="stable")
