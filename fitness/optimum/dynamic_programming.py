"""The optimum or the whole Pareto front of sums along paths, by dynamic programming over sets of non-dominated partial sums.

    A(empty) = {0}
    for each gene in order, for each state s' after it:
        A(s') = { a + w(step) : step from s to s', a in A(s) }
        drop what no end brings within the limits
        drop what another member dominates
    front = A(end)

All sums are whole numbers. An axis is a quantity and a direction in which more is better: each goal is one, and each bound on a
quantity is one with a least value. What is certain to satisfy a bound that is no goal is cut to the least value that is, so that
members which differ in nothing else dominate each other. (Multi-objective dynamic programming: Brown & Strauch, J. Math. Anal.
Appl. 12, 1965; for a knapsack with the same dominance, Nemhauser & Ullmann, Management Science 15, 1969.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rbflex_evo.spaces import Genotype

from .sums import Clock, NotAdditive, Sum

# Members of all sets together, for each of which a few numbers are kept.
MOST_MEMBERS = 30_000_000
# Largest sum whose neighbours are float64 numbers.
LARGEST = 2**52


@dataclass(frozen=True)
class Axis:
    """A direction in which a quantity is better.

    Attributes:
        quantity: Position of the quantity in the sum.
        sign: 1 if more is better, -1 if less is.
        goal: Whether it is a goal, not only a limit.
        least: Least value of sign x quantity that is allowed; None for no limit.
    """

    quantity: int
    sign: int
    goal: bool
    least: float | None = None


@dataclass(frozen=True)
class _Layer:
    """Members of the states after one gene, one after another: where each came from, and the value of the gene."""

    parents: np.ndarray
    values: np.ndarray


def front_of(found: Sum, axes: Sequence[Axis], clock: Clock) -> list[Genotype]:
    """Returns one genotype for each vector of goals that no other one within the limits dominates; none if none is within.

    Args:
        found: The quantities as sums.
        axes: Goals and limits, at least one goal.
        clock: The time that it may take.

    Raises:
        NotAdditive: If there are too many members or too large sums.
        OutOfTime: If it takes too long.
    """
    columns, signs = [axis.quantity for axis in axes], np.array([axis.sign for axis in axes])
    weights = [signs * rows[:, columns] for rows in found.weights]
    least = _least(found, axes)
    best_end, worst_end = _ends(found, weights)
    _check_size(found, weights)
    cut = np.array([axis.least is not None and not axis.goal for axis in axes])
    members = {0: (signs * found.base[columns])[None]}
    offsets = {0: 0}
    layers: list[_Layer] = []
    kept = 0
    for k, steps in enumerate(found.paths.steps):
        arriving: dict[int, list[tuple[np.ndarray, np.ndarray, int]]] = {}
        for number, step in enumerate(steps):
            if step.before in members:
                rows = members[step.before]
                origins = offsets[step.before] + np.arange(len(rows))
                arriving.setdefault(step.after, []).append((rows + weights[k][number], origins, step.value))
        members, offsets, parents, values, count = {}, {}, [], [], 0
        for state, parts in arriving.items():
            clock.check()
            rows = np.concatenate([part for part, _, _ in parts])
            origins = np.concatenate([origin for _, origin, _ in parts])
            genes = np.repeat([value for _, _, value in parts], [len(part) for part, _, _ in parts])
            possible = (rows + best_end[k + 1][state] >= least).all(axis=1)
            rows, origins, genes = rows[possible], origins[possible], genes[possible]
            if not len(rows):
                continue
            certain = least - worst_end[k + 1][state]
            rows = np.where(cut, np.minimum(rows, certain), rows)
            chosen = non_dominated(rows)
            members[state], offsets[state] = rows[chosen], count
            count += len(chosen)
            parents.append(origins[chosen])
            values.append(genes[chosen])
        kept += count
        if kept > MOST_MEMBERS:
            raise NotAdditive(
                f"more than {MOST_MEMBERS:,} partial networks would have to be kept; set tighter limits or fewer goals"
            )
        if not count:
            return []
        layers.append(_Layer(np.concatenate(parents), np.concatenate(values)))
    goals = [i for i, axis in enumerate(axes) if axis.goal]
    last = non_dominated(members[0][:, goals])
    return [_genotype(found, layers, int(i)) for i in last]


def _least(found: Sum, axes: Sequence[Axis]) -> np.ndarray:
    """Returns the least allowed sum of each axis, int64 [axes]; a very small number for no limit."""
    none = -(np.iinfo(np.int64).max // 4)
    # A sum in units may be above its value by a rounding error, which must not break a limit that the value keeps.
    return np.array(
        [
            none
            if axis.least is None or axis.least == -np.inf
            else int(
                np.ceil(axis.least / found.units[axis.quantity] - (0 if found.units[axis.quantity] == 1 else len(found.weights)))
            )
            for axis in axes
        ],
        dtype=np.int64,
    )


def _ends(found: Sum, weights: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the largest and the smallest sum from each state to the end, each [states, axes], by the number of chosen genes."""
    width = weights[0].shape[1]
    best, worst = [np.zeros((1, width), dtype=np.int64)], [np.zeros((1, width), dtype=np.int64)]
    for k in range(len(weights) - 1, -1, -1):
        size = len(found.paths.beginnings[k])
        limit = np.iinfo(np.int64).max // 4
        high, low = np.full((size, width), -limit), np.full((size, width), limit)
        for number, step in enumerate(found.paths.steps[k]):
            high[step.before] = np.maximum(high[step.before], weights[k][number] + best[-1][step.after])
            low[step.before] = np.minimum(low[step.before], weights[k][number] + worst[-1][step.after])
        best.append(high)
        worst.append(low)
    return best[::-1], worst[::-1]


def _check_size(found: Sum, weights: Sequence[np.ndarray]) -> None:
    largest = np.abs(found.base).max() + sum(int(np.abs(rows).max()) for rows in weights)
    if largest > LARGEST:
        raise NotAdditive(f"sums up to {largest:.3g} are too large to be added up exactly")


def non_dominated(rows: np.ndarray) -> np.ndarray:
    """Returns the positions of the rows [n, axes] that no other row dominates, the first of equal ones, best in axis 0 first."""
    if rows.shape[1] == 1:
        return np.array([int(np.argmax(rows[:, 0]))])
    if rows.shape[1] == 2:
        order = np.lexsort((-rows[:, 1], -rows[:, 0]))
        second = rows[order, 1]
        before = np.maximum.accumulate(np.concatenate([[np.iinfo(np.int64).min], second[:-1]]))
        return np.asarray(order[second > before])
    import moocore

    distinct, first = np.unique(rows, axis=0, return_index=True)
    chosen = first[np.asarray(moocore.is_nondominated(distinct.astype(np.float64), maximise=True), dtype=bool)]
    return np.asarray(chosen[np.argsort(-rows[chosen, 0], kind="stable")])


def _genotype(found: Sum, layers: Sequence[_Layer], member: int) -> Genotype:
    values: list[int] = []
    for layer in reversed(layers):
        values.append(int(layer.values[member]))
        member = int(layer.parents[member])
    return found.paths.genotype(values[::-1])
