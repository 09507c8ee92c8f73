"""A quantity as a sum along the genes, learnt from some genotypes and checked on others.

    order      of the genes, in which few earlier genes interact with later ones (see `interactions`)
    state      values of the earlier genes that interact with later ones; classes of values where only a rule of the encoding does
    step       from a state by the value of the next gene to a state; a genotype is a path from the empty state to the empty state
    P(s), S(s) one fixed beginning and one fixed end of the genotypes that pass the state s
    w(step)    = f(P(s), value, S(s')) - f(P(s'), S(s'))  for a step from s to s'
    f(path)    = f(P(end)) + sum of w over its steps

The sum telescopes for every path if what comes before a state and what comes after it add up, which is so if genes interact in
no other pairs. It is checked on random genotypes and on random paths. Interactions are looked for in quantities that are fast to
compute: the genes that shape a layer interact in its parameters or its multiply-accumulates. If a check fails, they are looked for
in more genotypes, and then in the quantities themselves. At last, the quantity is refused.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rbflex_evo.fitness.costs.metric import create_metric
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace
from rbflex_evo.spaces.encodings.domain import Domain

from .interactions import NOISE, Pair, Vector, bound_pairs, frontiers, interacting, order_of
from .quantity import Quantity, cost_quantity, scored

# Random genotypes that interactions are looked for in, and how many times as many if a check fails.
CONTEXTS, MORE = 6, 4
# Seconds for looking for interactions in quantities that are not fast, and the most and fewest genotypes that this may be.
LOOKING, MOST_CONTEXTS, FEWEST_CONTEXTS = 30.0, 60, 3
CHECKS = 500
# Steps of a sum; more would have to be told apart than is worth the time.
MOST_STEPS = 300_000
# Quantities that are no whole numbers are counted in this share of their size.
UNIT = 1e-11

State = tuple[int, ...]


class NotAdditive(ConfigError):
    """Raised if a quantity is no sum over the genes that can be added up in reasonable time."""


class OutOfTime(ConfigError):
    """Raised if a proof takes longer than it may."""


class Clock:
    """The time that a proof may take.

    Args:
        seconds: Seconds from now on; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.started = time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def check(self) -> None:
        """Checks that time is left.

        Raises:
            OutOfTime: If none is left.
        """
        if self.seconds is not None and self.passed > self.seconds:
            raise OutOfTime(f"the proof takes longer than {self.seconds:g} s; allow more time")


@dataclass(frozen=True)
class Step:
    """A step of a genotype's path: from a state, by the value of a gene, to a state; both states by their numbers."""

    before: int
    value: int
    after: int


@dataclass(frozen=True)
class Paths:
    """The genotypes of a space as paths.

    Attributes:
        order: Positions of the genes in the order in which they are chosen.
        steps: Steps of each gene, in that order; those of no complete path are left out.
        beginnings: Values of the chosen genes of one path to each state, for every number of chosen genes.
        ends: Values of the remaining genes of one path from each state, in the order of the genes.
    """

    order: tuple[int, ...]
    steps: tuple[tuple[Step, ...], ...]
    beginnings: tuple[tuple[tuple[int, ...], ...], ...]
    ends: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def count(self) -> int:
        """Number of steps."""
        return sum(map(len, self.steps))

    def genotype(self, values: Sequence[int]) -> Genotype:
        """Returns the genotype of values in the order of `order`."""
        genes = [0] * len(self.order)
        for position, value in zip(self.order, values, strict=True):
            genes[position] = value
        return tuple(genes)

    @cached_property
    def followers(self) -> list[dict[tuple[int, int], int]]:
        """Number of the step by (state, value) for each gene."""
        return [{(step.before, step.value): number for number, step in enumerate(steps)} for steps in self.steps]

    def path(self, genotype: Genotype) -> list[int]:
        """Returns the number of the step of each gene of a genotype."""
        state, numbers = 0, []
        for k, position in enumerate(self.order):
            number = self.followers[k][state, genotype[position]]
            numbers.append(number)
            state = self.steps[k][number].after
        return numbers


def paths_of(domain: Domain, pairs: set[Pair]) -> Paths:
    """Returns the genotypes of an encoding as paths.

    Args:
        domain: The genotypes.
        pairs: Pairs of genes that interact in a quantity; those that rules of the encoding read are added.

    Raises:
        NotAdditive: If there are too many states.
    """
    joined = pairs | bound_pairs(domain)
    order = order_of(domain, joined)
    kept = frontiers(order, joined)
    classes = _Classes(domain, order, pairs)
    states: list[dict[State, int]] = [{(): 0}]
    begin: list[list[tuple[int, ...]]] = [[()]]
    steps: list[list[Step]] = []
    for k, gene in enumerate(order):
        place = {position: i for i, position in enumerate(order[: k + 1])}
        rules = [bond for bond in domain.bonds if gene in bond.positions and set(bond.positions) <= place.keys()]
        known: dict[State, int] = {}
        beginnings: list[tuple[int, ...]] = []
        found = []
        for before, values in enumerate(begin[k]):
            for value in domain.values[gene]:
                extended = (*values, value)
                if not all(rule.holds(*(extended[place[i]] for i in rule.positions)) for rule in rules):
                    continue
                state = tuple(classes.of(position, extended[place[position]], k) for position in kept[k + 1])
                if state not in known:
                    known[state] = len(known)
                    beginnings.append(extended)
                found.append(Step(before, value, known[state]))
        steps.append(found)
        states.append(known)
        begin.append(beginnings)
        if sum(map(len, steps)) > MOST_STEPS:
            raise NotAdditive("too many genes interact to add up their parts")
    return _complete(tuple(order), steps, begin)


def _complete(order: tuple[int, ...], steps: list[list[Step]], begin: list[list[tuple[int, ...]]]) -> Paths:
    """Returns the paths without the steps that no complete path takes."""
    ends: list[dict[int, tuple[int, ...]]] = [{0: ()}]
    kept: list[tuple[Step, ...]] = []
    for found in reversed(steps):
        after = ends[-1]
        alive = tuple(step for step in found if step.after in after)
        here: dict[int, tuple[int, ...]] = {}
        for step in alive:
            here.setdefault(step.before, (step.value, *after[step.after]))
        kept.append(alive)
        ends.append(here)
    kept.reverse()
    ends.reverse()
    full = tuple(tuple(end.get(i, ()) for i in range(len(states))) for end, states in zip(ends, begin, strict=True))
    return Paths(order, tuple(kept), tuple(map(tuple, begin)), full)


class _Classes:
    """Classes of values: those of a gene that only rules of two genes bind to later genes, by what the rules allow these."""

    def __init__(self, domain: Domain, order: Sequence[int], pairs: set[Pair]) -> None:
        self._domain = domain
        self._place = {gene: k for k, gene in enumerate(order)}
        self._pairs = pairs
        self._known: dict[tuple[int, int, int], int] = {}

    def of(self, gene: int, value: int, now: int) -> int:
        """Returns the least value of the class of a gene's value after the gene at place `now` of the order was chosen."""
        key = (gene, value, now)
        if key not in self._known:
            alike = [
                other for other in self._domain.values[gene] if self._allows(gene, other, now) == self._allows(gene, value, now)
            ]
            self._known[key] = value if self._interacts(gene, now) else min(alike)
        return self._known[key]

    def _interacts(self, gene: int, now: int) -> bool:
        later = {i for pair in self._pairs if gene in pair for i in pair if self._place[i] > now}
        wide = any(len(bond.positions) > 2 and self._pending(bond.positions, gene, now) for bond in self._domain.bonds)
        return bool(later) or wide

    def _pending(self, positions: Sequence[int], gene: int, now: int) -> bool:
        return gene in positions and any(self._place[i] > now for i in positions)

    def _allows(self, gene: int, value: int, now: int) -> list[tuple[bool, ...]]:
        found = []
        for bond in self._domain.bonds:
            if len(bond.positions) == 2 and self._pending(bond.positions, gene, now):
                first = bond.positions[0] == gene
                other = bond.positions[1] if first else bond.positions[0]
                found.append(tuple(bond.holds(*((value, it) if first else (it, value))) for it in self._domain.values[other]))
        return found


@dataclass(frozen=True)
class Sum:
    """Quantities as sums along paths, in whole units.

    Attributes:
        paths: The paths.
        weights: Weights of the steps of each gene, int64 [steps, quantities].
        base: What is added to the weights of a path, int64 [quantities].
        units: Size of the unit of each quantity, float64 [quantities]; 1 where all values are whole numbers.
        checked: Number of genotypes whose sums were compared with their values.
    """

    paths: Paths
    weights: tuple[np.ndarray, ...]
    base: np.ndarray
    units: np.ndarray
    checked: int = 0

    @property
    def exact(self) -> bool:
        """Whether sums are whole numbers without a rounding error."""
        return bool((self.units == 1).all())

    def of(self, genotype: Genotype) -> np.ndarray:
        """Returns the sums of a genotype, float64 [quantities]."""
        numbers = self.paths.path(genotype)
        total = self.base + sum(weights[number] for weights, number in zip(self.weights, numbers, strict=True))
        return np.asarray(total * self.units)


def sum_of(space: SearchSpace, quantities: Sequence[Quantity], clock: Clock, seed: int = 0, checks: int = CHECKS) -> Sum:
    """Learns quantities as sums, and checks them.

    Args:
        space: Search space of the architectures.
        quantities: The quantities.
        clock: The time that it may take.
        seed: Seed of the genotypes that are looked at.
        checks: Number of genotypes, and as many paths, that the sums are checked on.

    Raises:
        NotAdditive: If the genes are no independent positions, a network has no such quantity, or the sums are wrong.
        OutOfTime: If it takes too long.
    """
    domain = space.encoding.domain()
    if domain is None:
        raise NotAdditive(f"the genes of {space.name} are no positions whose parts add up")
    of = _Remembered(space, quantities, clock)
    quick = _Remembered(space, _quick(space, quantities), clock)
    rng = np.random.Generator(np.random.PCG64(seed))
    pairs: set[Pair] = set()
    wrong = ""
    for source, contexts in ((quick, CONTEXTS), (quick, MORE * CONTEXTS), (of, None)):
        # At last, the quantities themselves, in as many genotypes as their speed allows.
        count = contexts or of.affordable(len(domain.values), LOOKING)
        pairs = interacting(space.encoding, domain, source, rng, count, pairs)
        found = _weighted(paths_of(domain, pairs), of)
        wrong = _mistake(space, found, of, quantities, rng, checks)
        if not wrong:
            return Sum(found.paths, found.weights, found.base, found.units, 2 * checks)
    raise NotAdditive(f"{wrong}, so no optimum follows from parts of its networks")


def _quick(space: SearchSpace, quantities: Sequence[Quantity]) -> list[Quantity]:
    """Returns the fast quantities, and parameters and multiply-accumulates, in which the genes that shape a layer interact."""
    counts = [cost_quantity(create_metric(name, space)) for name in ("params", "flops")]
    return list({one.name: one for one in (*counts, *quantities) if one.fast}.values())


class _Remembered:
    """The values of quantities by genotype, each computed once."""

    def __init__(self, space: SearchSpace, quantities: Sequence[Quantity], clock: Clock) -> None:
        self.space, self.quantities, self.clock = space, quantities, clock
        self.known: dict[Genotype, Vector] = {}
        self.seconds = 0.0

    def affordable(self, genes: int, seconds: float) -> int:
        """Returns the number of genotypes of so many genes that interactions can be looked for in, in about `seconds`."""
        each = self.seconds / max(1, len(self.known)) * genes * (genes + 1) / 2
        return int(min(max(seconds / max(each, 1e-9), FEWEST_CONTEXTS), MOST_CONTEXTS))

    def __call__(self, genotype: Genotype) -> Vector:
        if genotype not in self.known:
            self.clock.check()
            started = time.monotonic()
            try:
                network = scored(self.space, genotype)
                self.known[genotype] = tuple(quantity.of(network) for quantity in self.quantities)
            except CandidateFailed as failed:
                raise NotAdditive(f"a network has none of {', '.join(one.name for one in self.quantities)} ({failed})") from None
            self.seconds += time.monotonic() - started
        return self.known[genotype]


def _weighted(paths: Paths, of: Callable[[Genotype], Vector]) -> Sum:
    """Returns the sums that follow from one genotype for each step."""
    rows = []
    for k, steps in enumerate(paths.steps):
        begin, end, after = paths.beginnings[k], paths.ends[k + 1], paths.beginnings[k + 1]
        rows.append(
            np.array(
                [
                    np.array(of(paths.genotype((*begin[step.before], step.value, *end[step.after]))))
                    - np.array(of(paths.genotype((*after[step.after], *end[step.after]))))
                    for step in steps
                ]
            )
        )
    base = np.array(of(paths.genotype(paths.beginnings[-1][0])))
    whole = (base == np.round(base)) & np.all([(row == np.round(row)).all(axis=0) for row in rows], axis=0)
    size = np.maximum(np.abs(base), np.max([np.abs(row).max(axis=0) for row in rows], axis=0))
    units = np.where(whole, 1.0, UNIT * np.where(size > 0, size, 1.0))
    return Sum(paths, tuple(np.round(row / units).astype(np.int64) for row in rows), np.round(base / units).astype(np.int64), units)


def _mistake(
    space: SearchSpace,
    found: Sum,
    of: Callable[[Genotype], Vector],
    quantities: Sequence[Quantity],
    rng: np.random.Generator,
    checks: int,
) -> str:
    """Returns which quantity is not the sum of its parts in samples and random paths; empty if all are."""
    for i in range(2 * checks):
        genotype = space.encoding.sample(rng) if i % 2 else random_path(found.paths, rng)
        value, total = np.array(of(genotype)), found.of(genotype)
        wrong = np.abs(value - total) > np.where(found.units == 1, 0.0, NOISE * np.abs(value))
        if wrong.any():
            place = int(np.argmax(wrong))
            return (
                f"{quantities[place].name} of {space.notation(genotype)} is {value[place]:.10g}, "
                f"but its parts add up to {total[place]:.10g}"
            )
    return ""


def random_path(paths: Paths, rng: np.random.Generator) -> Genotype:
    """Returns the genotype of a path whose every step is drawn among those from its state."""
    leaving: list[dict[int, list[Step]]] = _leaving(paths)
    state, values = 0, []
    for steps in leaving:
        step = steps[state][int(rng.integers(len(steps[state])))]
        values.append(step.value)
        state = step.after
    return paths.genotype(values)


def _leaving(paths: Paths) -> list[dict[int, list[Step]]]:
    found = []
    for steps in paths.steps:
        by_state: dict[int, list[Step]] = defaultdict(list)
        for step in steps:
            by_state[step.before].append(step)
        found.append(dict(by_state))
    return found
