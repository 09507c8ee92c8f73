"""Multi-objective ranking: non-dominated sorting, crowding, front, knee and hypervolume. All objectives are maximised.

a dominates b     a is at least as good in every objective and better in one
fronts            front 0 holds the non-dominated candidates, front 1 those that are non-dominated without front 0, and so on
crowding          (Deb et al., IEEE TEC 6, 2002) of a candidate in its front: the distance between its two neighbours as a share
                  of the front's range, summed over the objectives; infinite at either end
knee              of a front scaled to [0, 1] in every objective, the candidate nearest to the ideal point (1, ..., 1)
hypervolume       (Zitzler & Thiele, 1998) the volume that the front dominates above a reference point
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def fronts(values: np.ndarray) -> np.ndarray:
    """Returns the number of the front of each row of `values` [n, objectives], int64 [n]."""
    import moocore

    if not len(values):
        return np.empty(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(values, maximise=True), dtype=np.int64)


def crowding(values: np.ndarray) -> np.ndarray:
    """Returns the crowding distances float64 [n] within one front `values` [n, objectives] of distinct rows."""
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances


def utilities(values: np.ndarray) -> np.ndarray:
    """Returns utilities float64 [n] in (0, 1] of the rows of `values` [n, objectives], by front and then by crowding distance.

    The utility is 1 minus the share of better rows. Equal rows have the same utility and do not crowd each other.
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
    """Returns the distances float64 [n] of the rows of `values` from the ideal point of `among`, in units of its ranges."""
    if not len(among):
        return np.empty(len(values))
    best = among.max(axis=0)
    span = np.where(np.ptp(among, axis=0) > 0, np.ptp(among, axis=0), 1.0)
    return np.asarray(np.sqrt((((best - values) / span) ** 2).sum(axis=1)))


class Front:
    """Incrementally updated set of non-dominated candidates, including all equal ones.

    Args:
        objectives: Number of objectives.

    Attributes:
        positions: Positions of the members, in the order in which they were added.
    """

    def __init__(self, objectives: int) -> None:
        self.positions: list[int] = []
        self._rows = np.empty((0, objectives))

    def add(self, position: int, row: np.ndarray) -> bool:
        """Adds a candidate; returns True if it is on the front."""
        at_least = (self._rows >= row).all(axis=1)
        if (at_least & (self._rows > row).any(axis=1)).any():
            return False
        kept = ~((row >= self._rows).all(axis=1) & (row > self._rows).any(axis=1))
        self._rows = np.concatenate([self._rows[kept], row[None]])
        self.positions = [*(self.positions[i] for i in np.flatnonzero(kept)), position]
        return True

    @property
    def rows(self) -> np.ndarray:
        """Objectives of the members, float64 [members, objectives], in the order of `positions`."""
        return self._rows


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Returns the volume that the rows of `values` [n, objectives] dominate above `reference` [objectives]."""
    import moocore

    above = values[(values > reference).all(axis=1)]
    return float(moocore.hypervolume(above, ref=reference, maximise=True)) if len(above) else 0.0


@dataclass(frozen=True)
class Volumes:
    """Hypervolume as a function of the number of evaluations.

    Attributes:
        counts: Numbers of evaluations at which the hypervolume increased, and the last one; int64 [k].
        shares: Hypervolume at these numbers as a share of the box between `reference` and `ideal`, float64 [k].
        volume: Final hypervolume in the product of the units of the objectives.
        reference: Given reference point, or the worst value of each objective in the run; float64 [objectives].
        ideal: Best value of each objective in the run, float64 [objectives].
    """

    counts: np.ndarray
    shares: np.ndarray
    volume: float
    reference: np.ndarray
    ideal: np.ndarray


def volumes(values: np.ndarray, reference: np.ndarray | None = None) -> Volumes | None:
    """Returns the hypervolume after every evaluation, or None if all candidates failed or are infeasible.

    Args:
        values: Objectives in the order of evaluation, float64 [n, objectives]; NaN if a candidate failed or is infeasible.
        reference: Reference point of the hypervolume; None for the worst value of each objective in the run.
    """
    known = values[~np.isnan(values).any(axis=1)]
    if not len(known):
        return None
    reference = known.min(axis=0) if reference is None else np.asarray(reference, dtype=np.float64)
    ideal = np.maximum(known.max(axis=0), reference)
    # In units of the box, to lose no digits in products of different scales; a side of length 0 counts as 1.
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
