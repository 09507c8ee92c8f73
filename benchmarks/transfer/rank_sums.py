"""Kendall's tau-b of many rank sums at once, by the signs of all pairs of networks.

    u(x) = sum_k w_k r_k(x)   or   sum_k w_k log r_k(x)            r_k: rank of x by score k among the reference set
    tau-b = sum_pairs sign(u_x - u_y) sign(a_x - a_y) / sqrt(pairs untied by u * pairs untied by a)

As in `fitness.objective`, the reference set is the networks that no member failed on, and the others tie below all of them. So
ranks depend on which networks a set of members fails on, and are kept once for each such group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import rankdata

Rule = Literal["linear", "log"]
# Sums of logarithms of ranks that are closer than this are equal.
EQUAL = 1e-9
# Differences that are held at once.
ELEMENTS = 2_000_000


class RankSums:
    """The networks of one setting.

    Args:
        scores: float64 [networks, scores], NaN where a score failed.
        accuracies: float64 [tasks, networks].
    """

    def __init__(self, scores: np.ndarray, accuracies: np.ndarray) -> None:
        self._scores = scores
        self._alive = np.isfinite(scores)
        self._first, self._second = np.triu_indices(len(scores), k=1)
        signs = np.sign(accuracies[:, self._first] - accuracies[:, self._second])
        self._signs = signs.T.astype(np.float32)
        self._untied = np.abs(signs).sum(axis=1)
        self._differences: dict[tuple[bytes, str], np.ndarray] = {}

    def taus(self, members: Sequence[Sequence[int]], weights: Sequence[Sequence[int]], rule: Rule) -> np.ndarray:
        """Returns tau-b float64 [sets, tasks], NaN where it is undefined.

        Args:
            members: Columns of the scores of each set.
            weights: Whole weights of the same members.
            rule: Whether ranks or their logarithms are added.
        """
        found = np.full((len(members), self._signs.shape[1]), np.nan)
        alive = np.array([self._alive[:, list(columns)].all(axis=1) for columns in members])
        groups: dict[tuple[bytes, int], list[int]] = {}
        for i, columns in enumerate(members):
            groups.setdefault((alive[i].tobytes(), len(columns)), []).append(i)
        step = max(1, ELEMENTS // max(1, len(self._first)))
        for rows in groups.values():
            differences = self._of(alive[rows[0]], rule)
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                columns, factors = np.array([members[i] for i in part]), np.array([weights[i] for i in part])
                found[part] = self._tau(differences, columns, factors.astype(differences.dtype))
        return found

    def _tau(self, differences: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        sums = differences[columns[:, 0]] * weights[:, :1]
        for k in range(1, columns.shape[1]):
            term = differences[columns[:, k]]
            sums += term if (weights[:, k] == 1).all() else term * weights[:, k : k + 1]
        if sums.dtype == np.float64:
            sums[np.abs(sums) < EQUAL] = 0.0
        signs = np.sign(sums).astype(np.float32)
        # Sums of up to 2^24 signs are exact in float32.
        agreeing = (signs @ self._signs).astype(np.float64)
        untied = np.abs(signs).sum(axis=1, dtype=np.float64)[:, None] * self._untied
        found: np.ndarray = np.divide(agreeing, np.sqrt(untied), out=np.full_like(agreeing, np.nan), where=untied > 0)
        return found

    def _of(self, alive: np.ndarray, rule: Rule) -> np.ndarray:
        """Returns differences [scores, pairs] of ranks among living networks, doubled to be whole, or of their logarithms."""
        key = alive.tobytes(), rule
        if key not in self._differences:
            ranks = np.zeros(self._scores.shape[::-1], dtype=np.int64)
            for k, column in enumerate(self._scores.T):
                # Scores that fail on a living network are in no set of this group.
                if alive.any() and np.isfinite(column[alive]).all():
                    ranks[k, alive] = np.rint(2 * rankdata(column[alive])).astype(np.int64)
            values = ranks.astype(np.int32) if rule == "linear" else np.log(np.maximum(ranks, 1))
            self._differences[key] = values[:, self._first] - values[:, self._second]
        return self._differences[key]
