"""The genotypes of an encoding that satisfy a condition, if there are few enough to enumerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rbflex_evo.spaces.errors import GenotypeError

from .encoding import Encoding, Genotype, Variable

# Number of attempts with an operator of the inner encoding before a simpler operator is used.
TRIES = 100


class ConstrainedEncoding(Encoding):
    """The genotypes of an inner encoding that satisfy a condition; `sample` is uniform over them.

    Operators are those of the inner encoding, repeated until their result satisfies the condition.

    Args:
        inner: An encoding that can be enumerated.
        broken: Returns in one line why a genotype of `inner` violates the condition, or None if it satisfies it.
    """

    def __init__(self, inner: Encoding, broken: Callable[[Genotype], str | None]) -> None:
        self.inner = inner
        self.broken = broken
        self._all = tuple(genotype for genotype in inner.enumerate() if broken(genotype) is None)
        if not self._all:
            raise ValueError(f"no genotype of {type(inner).__name__} satisfies the condition")

    @property
    def size(self) -> int:
        """Number of valid genotypes."""
        return len(self._all)

    def validate(self, genotype: Genotype) -> None:
        """Checks one genotype against the inner encoding and the condition."""
        self.inner.validate(genotype)
        wrong = self.broken(genotype)
        if wrong is not None:
            raise GenotypeError(wrong)

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws one valid genotype uniformly."""
        return self._all[int(rng.integers(len(self._all)))]

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Mutates as the inner encoding does, or returns a neighbour or another genotype if no result satisfies the condition."""
        for _ in range(TRIES):
            mutated = self.inner.mutate(genotype, rng, probability)
            if mutated != genotype and self.broken(mutated) is None:
                return mutated
        others = list(self.neighbours(genotype)) or [other for other in self._all if other != genotype] or [genotype]
        return others[int(rng.integers(len(others)))]

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Crosses as the inner encoding does, or returns the parents if a child violates the condition."""
        for _ in range(TRIES):
            children = self.inner.crossover(first, second, rng)
            if all(self.broken(child) is None for child in children):
                return children
        return first, second

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields the neighbours of the inner encoding that satisfy the condition."""
        return (neighbour for neighbour in self.inner.neighbours(genotype) if self.broken(neighbour) is None)

    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns the distance of the inner encoding."""
        return self.inner.distance(first, second)

    def repair(self, genotype: Sequence[int]) -> Genotype:
        """Returns the repair of the inner encoding or, if it violates the condition, the nearest genotype that satisfies it."""
        repaired = self.inner.repair(genotype)
        if self.broken(repaired) is None:
            return repaired
        return min(self._all, key=lambda other: self.inner.distance(repaired, other))

    @property
    def variables(self) -> tuple[Variable, ...] | None:
        """The variables of the inner encoding."""
        return self.inner.variables

    def decode(self, value_of: Callable[[int], int]) -> Genotype:
        """Returns the genotype of the inner encoding or, if it violates the condition, the nearest genotype that satisfies it."""
        return self.repair(self.inner.decode(value_of))

    def encode(self, genotype: Genotype) -> list[int | None]:
        """Returns the values of the inner encoding."""
        return self.inner.encode(genotype)

    def enumerate(self) -> Iterator[Genotype]:
        """Yields every genotype once, in the order of the inner encoding."""
        return iter(self._all)
