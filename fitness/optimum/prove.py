"""Proves the optimum of quantities over a whole space, or their Pareto front, within limits.

    enumeration           all architectures of a small space, one by one
    dynamic programming   quantities that add up along the genes, whatever the size of the space (`sums`, `dynamic_programming`)

A small space is enumerated, which assumes nothing. In a larger one, the proof rests on the sums: they are checked on random
networks and on the networks that are found, and whole numbers are compared exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rbflex_evo.fitness.objective import pareto
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace
from rbflex_evo.spaces.encodings.distinct import is_small

from .dynamic_programming import Axis, front_of
from .interactions import NOISE
from .quantity import Goal, Limit, Quantity, scored
from .sums import Clock, NotAdditive, Sum, sum_of

Method = Literal["enumeration", "dynamic programming"]

# Genotypes of a space that is enumerated even though dynamic programming may be possible.
FEW = 40_000
# Genotypes of the largest space that is enumerated at all.
MOST = 1_000_000
# Distance of the reference point from the worst values, in units of the range.
BELOW = 0.1
# Members of a front whose quantities are computed again from the networks.
RECOUNTED = 1000


@dataclass(frozen=True)
class Optimal:
    """An architecture of a proved front.

    Attributes:
        genotype: Genotype of the network that is built to score it.
        key: Canonical key.
        values: Value of each quantity of the question, goals first.
    """

    genotype: Genotype
    key: str
    values: dict[str, float]


@dataclass(frozen=True)
class Proof:
    """The proved optimum, or the proved Pareto front.

    Attributes:
        goals: Goals of the question.
        limits: Limits of the question.
        front: Architectures whose goals no other architecture within the limits dominates, one for each vector of goals, best in
            the first goal first. It is the optimum alone for one goal, and empty if nothing is within the limits.
        method: How it was proved.
        architectures: Number of genotypes that the proof is about; None if the encoding does not know it.
        checked: Number of networks on which sums were compared with values; 0 for enumeration.
        exact: Whether all numbers are whole, so that none was rounded.
        seconds: Duration of the proof.
    """

    goals: tuple[Goal, ...]
    limits: tuple[Limit, ...]
    front: tuple[Optimal, ...]
    method: Method
    architectures: int | None
    checked: int
    exact: bool
    seconds: float

    @property
    def best(self) -> Optimal | None:
        """The architecture that is best in the first goal, or None if nothing is within the limits."""
        return self.front[0] if self.front else None

    def oriented(self) -> np.ndarray:
        """Returns the goals of the front, negated where they are minimised, float64 [front, goals]."""
        signs = [1.0 if goal.maximised else -1.0 for goal in self.goals]
        rows = [[sign * one.values[goal.quantity.name] for sign, goal in zip(signs, self.goals, strict=True)] for one in self.front]
        return np.array(rows, dtype=np.float64).reshape(len(self.front), len(self.goals))

    def ratio(self, found: np.ndarray, reference: np.ndarray | None = None) -> float:
        """Returns the hypervolume of what a search found as a share of that of the proved front.

        Args:
            found: Goals of what was found, negated where they are minimised, float64 [n, goals].
            reference: Reference point in the same orientation. By default, it is a tenth of the range of the proved front below
                the worst of each goal on the proved front and among what was found, so that the ends of a front count.
        """
        true = self.oriented()
        span = np.where(np.ptp(true, axis=0) > 0, np.ptp(true, axis=0), 1.0)
        if reference is None:
            reference = np.concatenate([true, found]).min(axis=0) - BELOW * span
        zero = np.zeros(len(span))
        whole = pareto.hypervolume((true - reference) / span, zero)
        return pareto.hypervolume((found - reference) / span, zero) / whole if whole else float("nan")


def prove(
    space: SearchSpace,
    goals: Sequence[Goal],
    limits: Sequence[Limit] = (),
    *,
    seconds: float | None = None,
    method: Method | None = None,
) -> Proof:
    """Proves the optimum of one goal, or the Pareto front of several, over all architectures of a space within limits.

    Args:
        space: The search space.
        goals: What to maximise or minimise, at least one quantity, each once.
        limits: Bounds on quantities.
        seconds: Seconds that it may take; None for no limit.
        method: How to prove it; by default enumeration of a small space, and dynamic programming in others.

    Raises:
        NotAdditive: If the space is too large to be enumerated and a quantity does not add up along its genes.
        OutOfTime: If it takes too long.
        ConfigError: If a name occurs twice or not at all.
    """
    names = [goal.quantity.name for goal in goals]
    if not goals or len(set(names)) < len(names):
        raise ConfigError(f"an optimum needs goals, each of them once, but they are {', '.join(names) or 'none'}")
    clock = Clock(seconds)
    asked: list[Goal | Limit] = [*goals, *limits]
    quantities = list({one.quantity.name: one.quantity for one in asked}.values())
    if method is None:
        fast = all(quantity.fast for quantity in quantities)
        method = "enumeration" if is_small(space.encoding, FEW if fast else FEW // 20) else "dynamic programming"
        if method == "dynamic programming":
            try:
                return _added(space, goals, limits, quantities, clock)
            except NotAdditive as refused:
                if not is_small(space.encoding, MOST):
                    raise NotAdditive(f"{refused}; {space.name} is too large to be enumerated") from None
                method = "enumeration"
    if method == "enumeration":
        if not is_small(space.encoding, MOST):
            raise ConfigError(f"{space.name} has more than {MOST:,} genotypes or no order of them, so it is not enumerated")
        return _enumerated(space, goals, limits, quantities, clock)
    return _added(space, goals, limits, quantities, clock)


def _enumerated(
    space: SearchSpace, goals: Sequence[Goal], limits: Sequence[Limit], quantities: Sequence[Quantity], clock: Clock
) -> Proof:
    known: dict[str, Genotype] = {}
    inside: list[tuple[str, dict[str, float]]] = []
    for genotype in space.encoding.enumerate():
        clock.check()
        key = space.key(genotype)
        if key in known:
            continue
        known[key] = genotype
        try:
            network = scored(space, genotype)
            values = {quantity.name: quantity.shown(quantity.of(network)) for quantity in quantities}
        except CandidateFailed:
            continue
        if all(limit.holds(values[limit.quantity.name]) for limit in limits):
            inside.append((key, values))
    signs = {goal.quantity.name: 1.0 if goal.maximised else -1.0 for goal in goals}
    rows = np.array([[sign * values[name] for name, sign in signs.items()] for _, values in inside])
    front = [Optimal(space.representative(inside[i][0]), *inside[i]) for i in _first_best(rows)]
    exact = bool((rows == np.round(rows)).all())
    return Proof(tuple(goals), tuple(limits), tuple(front), "enumeration", space.encoding.size, 0, exact, clock.passed)


def _first_best(rows: np.ndarray) -> list[int]:
    if not len(rows):
        return []
    if rows.shape[1] == 1:
        return [int(np.argmax(rows[:, 0]))]
    distinct, first = np.unique(rows, axis=0, return_index=True)
    chosen = first[pareto.fronts(distinct) == 0]
    ordered: list[int] = chosen[np.argsort(-rows[chosen, 0], kind="stable")].tolist()
    return ordered


def _optimal(space: SearchSpace, genotype: Genotype, quantities: Sequence[Quantity], sums: np.ndarray) -> Optimal:
    key = space.key(genotype)
    values = {one.name: one.shown(float(value)) for one, value in zip(quantities, sums, strict=True)}
    return Optimal(space.representative(key), key, values)


def _added(
    space: SearchSpace, goals: Sequence[Goal], limits: Sequence[Limit], quantities: Sequence[Quantity], clock: Clock
) -> Proof:
    found = sum_of(space, quantities, clock)
    genotypes = front_of(found, _axes(goals, limits, quantities), clock)
    _recount(space, found, quantities, genotypes, clock)
    front = [_optimal(space, genotype, quantities, found.of(genotype)) for genotype in genotypes]
    if not found.exact or any(goal.quantity.rounded for goal in goals):
        # Of members that differ by rounding alone, one is left.
        signs = {goal.quantity.name: 1.0 if goal.maximised else -1.0 for goal in goals}
        rows = np.array([[sign * float(f"{one.values[name]:.9g}") for name, sign in signs.items()] for one in front])
        front = [front[i] for i in _first_best(rows)]
    checked = found.checked + min(len(genotypes), RECOUNTED)
    return Proof(
        tuple(goals), tuple(limits), tuple(front), "dynamic programming", space.encoding.size, checked, found.exact, clock.passed
    )


def _axes(goals: Sequence[Goal], limits: Sequence[Limit], quantities: Sequence[Quantity]) -> list[Axis]:
    """Returns the axes of the goals, in order, and then those of the bounds that are not on one of them."""
    place = {quantity.name: i for i, quantity in enumerate(quantities)}
    least: dict[tuple[int, int], float] = {}
    for limit in limits:
        for sign, bound in ((1, limit.minimum), (-1, limit.maximum)):
            if bound is not None:
                which = (place[limit.quantity.name], sign)
                least[which] = max(least.get(which, -np.inf), sign * limit.quantity.bound(bound))
    wanted = [(place[goal.quantity.name], 1 if goal.maximised else -1) for goal in goals]
    others = [which for which in least if which not in wanted]
    return [Axis(*which, which in wanted, least.get(which)) for which in (*wanted, *others)]


def _recount(space: SearchSpace, found: Sum, quantities: Sequence[Quantity], genotypes: Sequence[Genotype], clock: Clock) -> None:
    """Compares the sums of what was found with the quantities of its networks.

    Raises:
        NotAdditive: If they differ.
    """
    places = np.unique(np.linspace(0, len(genotypes) - 1, min(len(genotypes), RECOUNTED)).astype(int)).tolist()
    for place in places:
        clock.check()
        genotype = genotypes[place]
        network = scored(space, genotype)
        for quantity, total, unit in zip(quantities, found.of(genotype), found.units, strict=True):
            value = quantity.of(network)
            if abs(value - total) > (0.0 if unit == 1 else NOISE * abs(value)):
                raise NotAdditive(
                    f"{quantity.name} of {space.notation(genotype)} is {value:.10g}, but its parts add up to {total:.10g}"
                )
