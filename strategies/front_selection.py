"""Which members of one front survive if not all can: three orders of a front, best first.

    crowding      the least crowded ones (Deb et al., IEEE Trans. Evol. Comput. 6(2), 2002)
    epsilon       objectives are divided into boxes of `epsilon` of the range of the front (Laumanns et al., Evol. Comput. 10(3),
                  2002); one member of each box, the one nearest to the best corner of its box, comes before the second one of
                  any box; equally placed members are ordered by crowding
    hypervolume   the member that adds least to the hypervolume of the front is last; the others are ordered without it
                  (Beume, Naujoks & Emmerich, European J. Oper. Res. 181(3), 2007)

Objectives are scaled to the range of the front. The reference point of the hypervolume lies a tenth of the range below the worst
value of each objective, so that the ends of the front add something.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from rbflex_evo.fitness.objective import pareto

Selection = Literal["crowding", "epsilon", "hypervolume"]
# Distance of the reference point from the worst values, in units of the range.
BELOW = 0.1


def order_of(rows: np.ndarray, selection: Selection, epsilon: float) -> np.ndarray:
    """Returns the positions of the members of one front, best first; int64 [n].

    Args:
        rows: Objectives of the members, higher is better, float64 [n, objectives].
        selection: Name of the order.
        epsilon: Size of a box as a share of the range of the front; used by "epsilon" only.
    """
    span = np.ptp(rows, axis=0)
    scaled = (rows - rows.min(axis=0)) / np.where(span > 0, span, 1.0)
    if selection == "hypervolume":
        return _by_contribution(scaled)
    crowd = _crowding(scaled)
    if selection == "crowding":
        return np.argsort(-crowd, kind="stable")
    return np.lexsort((-crowd, _places_in_boxes(scaled, epsilon)))


def _crowding(rows: np.ndarray) -> np.ndarray:
    """Returns crowding distances, float64 [n]; members of equal objectives after the first one have none."""
    distinct, first = np.unique(rows, axis=0, return_index=True)
    result = np.zeros(len(rows))
    result[first] = np.round(pareto.crowding(distinct), 12)
    return result


def _places_in_boxes(scaled: np.ndarray, epsilon: float) -> np.ndarray:
    """Returns the place of each member in its box, 0 for the one nearest to the best corner; int64 [n]."""
    # A value on a boundary belongs to the box below, so that the best value has no box of its own.
    boxes = np.ceil(np.round(scaled / epsilon, 9)).clip(min=1)
    distance = np.round(((boxes - scaled / epsilon) ** 2).sum(axis=1), 9)
    _, box = np.unique(boxes, axis=0, return_inverse=True)
    box = box.reshape(-1)
    places = np.empty(len(scaled), dtype=np.int64)
    for number in range(box.max(initial=-1) + 1):
        members = np.flatnonzero(box == number)
        places[members[np.argsort(distance[members], kind="stable")]] = np.arange(len(members))
    return places


def _by_contribution(scaled: np.ndarray) -> np.ndarray:
    import moocore

    if scaled.shape[1] == 1:
        # The members of a front of one objective are equal.
        return np.arange(len(scaled))
    reference = np.full(scaled.shape[1], -BELOW)
    left = np.arange(len(scaled))
    removed: list[int] = []
    while len(left) > 1:
        adds = np.round(moocore.hv_contributions(scaled[left], ref=reference, maximise=True), 12)
        # Of equal members, the last one goes.
        least = len(left) - 1 - int(np.argmin(adds[::-1]))
        removed.append(int(left[least]))
        left = np.delete(left, least)
    return np.array([*left.tolist(), *reversed(removed)], dtype=np.int64)
