"""Several objectives at once: non-dominated sorting, crowding, the front, its knee and its hypervolume. All are maximised.

a dominates b     a is at least as good in every objective and better in one
fronts            front 0 is what nothing dominates, front 1 what nothing dominates without front 0, and so on
crowding          (Deb et al., IEEE TEC 6, 2002) of a candidate in its front: the distance between its two neighbours as a share
                  of the front's range, summed over the objectives; infinite at either end
knee              of a front scaled to [0, 1] in every objective, the candidate nearest to the ideal point (1, ..., 1)
hypervolume       (Zitzler & Thiele, 1998) the volume that the front dominates above a reference point
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def fronts(values: np.ndarray) -> np.ndarray:
    """Returns int64 [n], the front of each row of `values` [n, objectives]."""
    import moocore

    if not len(values):
        return np.empty(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(values, maximise=True), dtype=np.int64)


def crowding(values: np.ndarray) -> np.ndarray:
    """Returns float64 [n], the crowding distance of each row of one front `values` [n, objectives], whose rows are distinct."""
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances


def utilities(values: np.ndarray) -> np.ndarray:
    """Returns float64 [n] in (0, 1]: the better the front of a row of `values` [n, objectives] the higher, then the less crowded.

    1 minus the share of the rows that are better; equal rows are worth the same, and crowd nobody.
    """
    distinct, places = np.unique(values, axis=0, return_inverse=True)
    places = places.reshape(-1)
    front = fronts(distinct)
    crowd = np.empty(len(distinct))
    for number in range(front.max(initial=-1) + 1):
        members = np.flatnonzero(front == number)
        crowd[members] = crowding(distinct[members])
    _, level = np.unique(np.stack([front, -np.round(crowd, 12)], axis=1), axis=0, return_inverse=True)
    counts = np.bincount(level.reshape(-1)[places])
    better = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.round(1 - better[level.reshape(-1)[places]] / len(values), 12)


def by_front(values: np.ndarray) -> np.ndarray:
    """Returns the positions of the rows of `values` [n, objectives], front by front, each from its knee on; ties by position."""
    front = fronts(values)
    distance = distances_to_ideal(values, values[front == 0])
    return np.lexsort((np.arange(len(values)), np.round(distance, 12), front))


def distances_to_ideal(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Returns float64 [n], how far each row of `values` is from the best of `among` in every objective, in units of its range."""
    if not len(among):
        return np.empty(len(values))
    best = among.max(axis=0)
    span = np.where(np.ptp(among, axis=0) > 0, np.ptp(among, axis=0), 1.0)
    return np.asarray(np.sqrt((((best - values) / span) ** 2).sum(axis=1)))


class Front:
    """What nothing dominates, kept up to date as candidates come; equal rows are all kept.

    Attributes:
        positions: of the members, in the order in which they came.
    """

    def __init__(self, objectives: int) -> None:
        self.positions: list[int] = []
        self._rows = np.empty((0, objectives))

    def add(self, position: int, row: np.ndarray) -> bool:
        """Takes one candidate; returns True if it is on the front now."""
        at_least = (self._rows >= row).all(axis=1)
        if (at_least & (self._rows > row).any(axis=1)).any():
            return False
        kept = ~((row >= self._rows).all(axis=1) & (row > self._rows).any(axis=1))
        self._rows = np.concatenate([self._rows[kept], row[None]])
        self.positions = [*(self.positions[i] for i in np.flatnonzero(kept)), position]
        return True

    @property
    def rows(self) -> np.ndarray:
        """float64 [members, objectives], in the order of `positions`."""
        return self._rows


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Returns the volume that the rows of `values` [n, objectives] dominate above `reference` [objectives]."""
    import moocore

    above = values[(values > reference).all(axis=1)]
    return float(moocore.hypervolume(above, ref=reference, maximise=True)) if len(above) else 0.0


@dataclass(frozen=True)
class Volumes:
    """Hypervolume against evaluations.

    Attributes:
        counts: int64 [k], after how many evaluations it rose, and the last one.
        shares: float64 [k], the hypervolume then, as a share of the box between `reference` and `ideal`.
        volume: at the end, in the product of the objectives' units.
        reference, ideal: float64 [objectives], the worst (or the given one) and the best value of each objective in the run.
    """

    counts: np.ndarray
    shares: np.ndarray
    volume: float
    reference: np.ndarray
    ideal: np.ndarray


def volumes(values: np.ndarray, reference: np.ndarray | None = None) -> Volumes | None:
    """Returns the hypervolume after every evaluation, or None where no candidate counts.

    Args:
        values: float64 [n, objectives] in the order of evaluation, NaN where a candidate failed or is infeasible.
        reference: of the volume; None for the worst value of each objective in the run.
    """
    known = values[~np.isnan(values).any(axis=1)]
    if not len(known):
        return None
    reference = known.min(axis=0) if reference is None else np.asarray(reference, dtype=np.float64)
    ideal = np.maximum(known.max(axis=0), reference)
    # In units of the box, so that unlike objectives lose no digits in one product; a side of no length counts as 1.
    span = np.where(ideal > reference, ideal - reference, 1.0)
    scaled = (values - reference) / span
    front = Front(values.shape[1])
    counts, shares = [], []
    for position, row in enumerate(scaled):
        if not np.isnan(row).any() and front.add(position, row):
            counts.append(position + 1)
            shares.append(hypervolume(front.rows, np.zeros(len(row))))
    if counts[-1] != len(values):
        counts.append(len(values))
        shares.append(shares[-1])
    volume = shares[-1] * float(np.prod(span))
    return Volumes(np.array(counts), np.array(shares), volume, reference, ideal)
