"""An encoding of named choices, some of which are active only under a condition, with forbidden combinations.

    genotype = one gene per choice: its position among the values of the choice, or INACTIVE (-1)

A choice is active if its condition holds for the genes that the condition reads, all of which must be active themselves. Inactive
genes have one value, so every network has one genotype. A combination is forbidden if a rule holds for active genes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rbflex_evo.spaces.errors import ConfigError, GenotypeError

from .domain import Bond, Domain
from .encoding import Encoding, Genotype, Variable, check_genes, check_length

INACTIVE = -1
# Number of draws after which a rarely allowed combination is looked for by enumeration.
TRIES = 100
# Most combinations that are enumerated to count them, or to find an allowed one.
MOST_COUNTED = 100_000


@dataclass(frozen=True)
class Rule:
    """A condition on genes.

    Attributes:
        reads: Positions of the genes that the rule reads.
        holds: Returns whether the rule holds for the values of these genes, in this order.
        text: The rule in words, for messages.
        partial: Whether genes may be INACTIVE when `holds` is called. Otherwise, a rule that reads an inactive gene does not hold.
    """

    reads: tuple[int, ...]
    holds: Callable[..., bool]
    text: str
    partial: bool = False

    def of(self, genes: Sequence[int]) -> bool:
        """Returns whether the rule holds for a genotype."""
        return self.of_values(*(genes[i] for i in self.reads))

    def of_values(self, *values: int) -> bool:
        """Returns whether the rule holds for the values of the genes that it reads."""
        return (self.partial or INACTIVE not in values) and self.holds(*values)


@dataclass(frozen=True)
class Gene:
    """One choice.

    Attributes:
        name: Name of the choice.
        count: Number of its values.
        ordered: Whether only the previous and the next value are neighbours of a value, instead of all other values.
        condition: Rule under which the choice is active; None for a choice that is always active.
    """

    name: str
    count: int
    ordered: bool = False
    condition: Rule | None = None

    def steps(self, value: int) -> list[int]:
        """Returns the values that are one step away."""
        if self.ordered:
            return [other for other in (value - 1, value + 1) if 0 <= other < self.count]
        return [other for other in range(self.count) if other != value]


class ConditionalEncoding(Encoding):
    """Named choices with conditions and forbidden combinations.

    `sample` draws every active choice uniformly and repeats forbidden draws. This is uniform over genotypes if no choice has a
    condition.

    Args:
        genes: The choices.
        forbidden: Rules that a genotype must not satisfy.

    Raises:
        ConfigError: If conditions depend on each other in a circle, or every combination is forbidden.
    """

    def __init__(self, genes: Sequence[Gene], forbidden: Sequence[Rule] = ()) -> None:
        self.genes = tuple(genes)
        self.forbidden = tuple(forbidden)
        self.names = tuple(gene.name for gene in self.genes)
        if not self.genes or any(gene.count < 1 for gene in self.genes):
            raise ValueError(f"expected at least one choice, each of at least one value, but they are {self.genes}")
        self._order = _in_order(self.genes)
        self.sample(np.random.Generator(np.random.PCG64(0)))

    @property
    def size(self) -> int | None:
        """Number of valid genotypes, or None if there are too many to count them under conditions and forbidden combinations."""
        return self._size

    @cached_property
    def _size(self) -> int | None:
        total = 1
        for group in self._groups():
            count = self._count(group)
            if count is None:
                return None
            total *= count
        return total

    def _groups(self) -> list[set[int]]:
        """Returns the choices in groups such that no rule reads choices of two groups."""
        groups = [{i} for i in range(len(self.genes))]
        conditions = [{i, *gene.condition.reads} for i, gene in enumerate(self.genes) if gene.condition is not None]
        for joined in (*conditions, *(set(rule.reads) for rule in self.forbidden)):
            touched = [group for group in groups if group & joined]
            groups = [group for group in groups if not group & joined] + ([set().union(*touched)] if touched else [])
        return groups

    def _count(self, group: set[int]) -> int | None:
        """Returns the number of combinations of a group of choices, or None if there are too many to count them."""
        rules = [rule for rule in self.forbidden if group.issuperset(rule.reads)]
        bound = math.prod(self.genes[i].count for i in group)
        if not rules and not any(self.genes[i].condition for i in group):
            return bound
        if bound > MOST_COUNTED:
            return None
        # Choices of other groups have no influence, so they are kept at one value.
        every = self._completions([None if i in group else 0 for i in range(len(self.genes))])
        return sum(not any(rule.of(genes) for rule in rules) for genes in every)

    def validate(self, genotype: Genotype) -> None:
        """Checks the range of each gene, which genes are active, and that the combination is not forbidden."""
        check_length(genotype, len(self.genes))
        ranges = (range(INACTIVE if gene.condition else 0, gene.count) for gene in self.genes)
        check_genes(genotype, self.names, ranges)
        for i, gene in enumerate(self.genes):
            if gene.condition is not None and (genotype[i] != INACTIVE) != gene.condition.of(genotype):
                state = "must not be" if genotype[i] == INACTIVE else "must be"
                raise GenotypeError(
                    f"{gene.name} of {genotype} {state} inactive ({INACTIVE}): it is active where {gene.condition.text}"
                )
        broken = self._broken(genotype)
        if broken is not None:
            raise GenotypeError(f"{genotype} is forbidden: {broken.text}")

    def _broken(self, genotype: Sequence[int]) -> Rule | None:
        """Returns the first rule that forbids a combination, or None."""
        return next((rule for rule in self.forbidden if rule.of(genotype)), None)

    def settled(self, wanted: Sequence[int | None], draw: Callable[[int], int]) -> Genotype:
        """Returns the genotype with the wanted values of the choices that are active.

        Args:
            wanted: Value of each choice, where INACTIVE or None leave the value to `draw`.
            draw: Returns a value for the choice at a position.
        """
        genes = [INACTIVE] * len(self.genes)
        for i in self._order:
            condition = self.genes[i].condition
            if condition is None or condition.of(genes):
                value = wanted[i]
                genes[i] = draw(i) if value is None or value == INACTIVE else value
        return tuple(genes)

    def _completions(self, wanted: Sequence[int | None]) -> Iterator[Genotype]:
        """Yields every genotype with the wanted values, where None or INACTIVE stand for any value; forbidden ones, too."""
        pending: list[tuple[int, Genotype]] = [(0, (INACTIVE,) * len(self.genes))]
        while pending:
            done, genes = pending.pop()
            if done == len(self._order):
                yield genes
                continue
            i = self._order[done]
            condition, value = self.genes[i].condition, wanted[i]
            if condition is not None and not condition.of(genes):
                pending.append((done + 1, genes))
                continue
            values = range(self.genes[i].count) if value is None or value == INACTIVE else [value]
            pending += [(done + 1, (*genes[:i], one, *genes[i + 1 :])) for one in reversed(values)]

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws one valid genotype: every active choice uniformly, again if the combination is forbidden."""
        for _ in range(TRIES):
            drawn = self.settled([None] * len(self.genes), self._drawing(rng))
            if self._broken(drawn) is None:
                return drawn
        allowed = self._first()
        if not allowed:
            raise ConfigError("no combination of the choices was found that is not forbidden; relax 'forbidden'")
        return allowed[int(rng.integers(len(allowed)))]

    def _first(self) -> list[Genotype]:
        """Returns the valid genotypes among the first combinations."""
        every = itertools.islice(self._completions([None] * len(self.genes)), MOST_COUNTED)
        return [genes for genes in every if self._broken(genes) is None]

    def _drawing(self, rng: np.random.Generator) -> Callable[[int], int]:
        return lambda i: int(rng.integers(self.genes[i].count))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Changes each active choice with `probability`; None, or a draw that changes nothing, changes one choice by one step.

        Choices that become active are drawn uniformly.
        """
        for _ in range(TRIES):
            wanted = self._changed(genotype, rng, probability) if probability else genotype
            if wanted == genotype:
                wanted = self._stepped(genotype, rng)
            mutated = self.settled(wanted, self._drawing(rng))
            if mutated != genotype and self._broken(mutated) is None:
                return mutated
        others = [other for other in self._first() if other != genotype]
        return others[int(rng.integers(len(others)))] if others else genotype

    def _changed(self, genotype: Genotype, rng: np.random.Generator, probability: float) -> Genotype:
        genes = list(genotype)
        for i, gene in enumerate(self.genes):
            if genes[i] != INACTIVE and gene.count > 1 and rng.random() < probability:
                genes[i] = (genes[i] + int(rng.integers(1, gene.count))) % gene.count
        return tuple(genes)

    def _stepped(self, genotype: Genotype, rng: np.random.Generator) -> Genotype:
        free = [i for i, gene in enumerate(self.genes) if genotype[i] != INACTIVE and gene.count > 1]
        if not free:
            return genotype
        i = free[int(rng.integers(len(free)))]
        steps = self.genes[i].steps(genotype[i])
        return (*genotype[:i], steps[int(rng.integers(len(steps)))], *genotype[i + 1 :])

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Swaps each choice with probability 1/2; returns the parents if no draw is allowed.

        A choice that is active in a child takes the value of the other parent where its own parent does not have it.
        """
        for _ in range(TRIES):
            swapped = rng.random(len(self.genes)) < 0.5
            one = [b if swap else a for a, b, swap in zip(first, second, swapped, strict=True)]
            two = [a if swap else b for a, b, swap in zip(first, second, swapped, strict=True)]
            children = self._child(one, two, rng), self._child(two, one, rng)
            if all(self._broken(child) is None for child in children):
                return children
        return first, second

    def _child(self, genes: Sequence[int], others: Sequence[int], rng: np.random.Generator) -> Genotype:
        wanted = [other if gene == INACTIVE else gene for gene, other in zip(genes, others, strict=True)]
        return self.settled(wanted, self._drawing(rng))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields every valid genotype in which one choice differs by one step; choices that become active take every value."""
        for i, gene in enumerate(self.genes):
            for value in gene.steps(genotype[i]) if genotype[i] != INACTIVE else ():
                for neighbour in self._completions((*genotype[:i], value, *genotype[i + 1 :])):
                    if self._broken(neighbour) is None:
                        yield neighbour

    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns the number of choices that differ; two values of an ordered choice differ by less than 1 if they are near."""
        return float(sum(self._difference(*each) for each in zip(self.genes, first, second, strict=True)))

    def _difference(self, gene: Gene, a: int, b: int) -> float:
        if gene.ordered and INACTIVE not in (a, b):
            return abs(a - b) / max(1, gene.count - 1)
        return float(a != b)

    def repair(self, genotype: Sequence[int]) -> Genotype:
        """Returns the genotype with every gene in its range, inactive genes marked, and missing genes at their first value.

        Raises:
            GenotypeError: If the length is wrong or the combination is forbidden, and there are too many to find the nearest one.
        """
        check_length(genotype, len(self.genes))
        clipped = [min(max(int(value), INACTIVE), gene.count - 1) for value, gene in zip(genotype, self.genes, strict=True)]
        repaired = self.settled(clipped, lambda i: 0)
        if self._broken(repaired) is not None and self.size is not None and self.size <= MOST_COUNTED:
            return min(self.enumerate(), key=lambda other: self.distance(repaired, other))
        self.validate(repaired)
        return repaired

    def domain(self) -> Domain:
        """Returns the values of each choice, and the conditions and forbidden combinations as rules."""
        values = tuple((*([INACTIVE] if gene.condition else []), *range(gene.count)) for gene in self.genes)
        active = [Bond((i, *gene.condition.reads), _active(gene.condition)) for i, gene in enumerate(self.genes) if gene.condition]
        allowed = [Bond(rule.reads, _allowed(rule)) for rule in self.forbidden]
        return Domain(values, (*active, *allowed), self.names)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One variable for each choice."""
        return tuple(Variable(gene.name, gene.count, gene.ordered) for gene in self.genes)

    def decode(self, value_of: Callable[[int], int]) -> Genotype:
        """Returns the genotype of the values of active choices; only these are read.

        Raises:
            GenotypeError: If the combination is forbidden.
        """
        genotype = self.settled([None] * len(self.genes), value_of)
        self.validate(genotype)
        return genotype

    def encode(self, genotype: Genotype) -> list[int | None]:
        """Returns the genes as values, None for inactive ones."""
        return [None if gene == INACTIVE else gene for gene in genotype]

    def enumerate(self) -> Iterator[Genotype]:
        """Yields every genotype once, the values of the first choice slowest unless a condition asks for another order."""
        return (genes for genes in self._completions([None] * len(self.genes)) if self._broken(genes) is None)


def _active(condition: Rule) -> Callable[..., bool]:
    return lambda own, *read: (own != INACTIVE) == condition.of_values(*read)


def _allowed(rule: Rule) -> Callable[..., bool]:
    return lambda *read: not rule.of_values(*read)


def _in_order(genes: Sequence[Gene]) -> list[int]:
    """Returns the positions of the genes such that each comes after those that its condition reads.

    Raises:
        ConfigError: If there is no such order.
    """
    order: list[int] = []
    waiting = list(range(len(genes)))
    while waiting:
        ready = [i for i in waiting if (rule := genes[i].condition) is None or set(rule.reads) <= set(order)]
        if not ready:
            names = ", ".join(genes[i].name for i in waiting)
            raise ConfigError(f"the conditions of {names} depend on each other in a circle; remove one")
        order.append(ready[0])
        waiting.remove(ready[0])
    return order
