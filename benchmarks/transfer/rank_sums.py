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
# Comparisons that are held at once: they fit into a processor's cache.
ELEMENTS = 500_000
# Number of set bits of each word of 16 bits; numpy 1 has no function that counts them.
SET_BITS = np.unpackbits(np.arange(2**16, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(axis=1, dtype=np.uint8)


class RankSums:
    """The networks of one setting.

    Args:
        scores: float64 [networks, scores], NaN where a score failed.
        accuracies: float64 [tasks, networks].
    """

    def __init__(self, scores: np.ndarray, accuracies: np.ndarray) -> None:
        self._scores = scores
        self._alive = np.isfinite(scores)
        self._better = _above(accuracies, 0.0)
        self._worse = _above(-accuracies, 0.0)
        self._untied = _count(self._better)
        self._ranks: dict[tuple[bytes, Rule], np.ndarray] = {}

    def taus(self, members: Sequence[Sequence[int]], weights: Sequence[Sequence[int]], rule: Rule) -> np.ndarray:
        """Returns tau-b float64 [sets, tasks], NaN where it is undefined.

        Args:
            members: Columns of the scores of each set.
            weights: Whole weights of the same members.
            rule: Whether ranks or their logarithms are added.
        """
        found = np.full((len(members), len(self._untied)), np.nan)
        groups: dict[bytes, list[int]] = {}
        for i, columns in enumerate(members):
            groups.setdefault(self._alive[:, list(columns)].all(axis=1).tobytes(), []).append(i)
        step = max(1, ELEMENTS // len(self._scores) ** 2)
        for mask, rows in groups.items():
            ranks = self._of(mask, rule)
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                sums = [np.asarray(weights[i], dtype=ranks.dtype) @ ranks[list(members[i])] for i in part]
                found[part] = self._tau(np.array(sums))
        return found

    def _tau(self, sums: np.ndarray) -> np.ndarray:
        above = _above(sums, EQUAL if sums.dtype == np.float64 else 0)
        untied = _count(above)[:, None] * self._untied
        pairs = zip(self._better, self._worse, strict=True)
        agreeing = np.stack([_count(above & better) - _count(above & worse) for better, worse in pairs], axis=1)
        found: np.ndarray = np.divide(agreeing, np.sqrt(untied), out=np.full_like(agreeing, np.nan), where=untied > 0)
        return found

    def _of(self, mask: bytes, rule: Rule) -> np.ndarray:
        """Returns the ranks [scores, networks] among living networks, doubled to be whole, or their logarithms; 0 of the others."""
        if (mask, rule) not in self._ranks:
            alive = np.frombuffer(mask, dtype=bool)
            ranks = np.zeros(self._scores.shape[::-1], dtype=np.int32)
            for k, column in enumerate(self._scores.T):
                # Scores that fail on a living network are in no set of this group.
                if alive.any() and np.isfinite(column[alive]).all():
                    ranks[k, alive] = np.rint(2 * rankdata(column[alive])).astype(np.int32)
            self._ranks[mask, rule] = ranks if rule == "linear" else np.log(np.maximum(ranks, 1))
        return self._ranks[mask, rule]


def _above(values: np.ndarray, margin: float) -> np.ndarray:
    """Returns whether each network is above each other one, as bits: uint16 [rows, words] of values [rows, networks]."""
    rows, count = values.shape
    flags = np.zeros((rows, count * count + -(count * count) % 16), dtype=bool)
    np.greater(values[:, :, None], values[:, None, :] + margin, out=flags[:, : count * count].reshape(rows, count, count))
    return np.packbits(flags, axis=1).view(np.uint16)


def _count(words: np.ndarray) -> np.ndarray:
    """Returns the number of set bits of each row."""
    found: np.ndarray = SET_BITS[words].sum(axis=-1, dtype=np.int64).astype(np.float64)
    return found
