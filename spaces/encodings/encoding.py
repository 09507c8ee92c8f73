"""What may be done with a genotype: draw it, vary it, combine it, enumerate it.

A genotype is a hashable tuple of integers and nothing else. Operators belong to the encoding, selection belongs to the
strategy, so every strategy works on every encoding and a plug-in encoding changes nothing else.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from rbflex_evo.spaces.errors import GenotypeError

Genotype = tuple[int, ...]


class Encoding(ABC):
    """The genes of a genotype and the operators on them. Every random draw comes from the generator passed in."""

    @property
    def size(self) -> int | None:
        """The number of valid genotypes, or None where it is not known."""
        return None

    @abstractmethod
    def validate(self, genotype: Genotype) -> None:
        """Checks one genotype.

        Raises:
            GenotypeError: saying what is wrong with it.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws one valid genotype, uniformly where the encoding can."""

    @abstractmethod
    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Returns a valid genotype that differs from `genotype` in at least one gene where the space has another.

        Each gene changes with `probability`; None changes exactly one.
        """

    @abstractmethod
    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Returns two valid children whose genes come from the parents."""

    @abstractmethod
    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields every valid genotype one step away; a neighbour of a neighbour's neighbour list holds `genotype`."""

    @abstractmethod
    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns a symmetric distance, 0 only between equal genotypes."""

    def repair(self, genotype: Sequence[int]) -> Genotype:
        """Returns the nearest valid genotype; the default accepts only what is valid already.

        Raises:
            GenotypeError: if it cannot be repaired.
        """
        repaired = tuple(int(gene) for gene in genotype)
        self.validate(repaired)
        return repaired

    def enumerate(self) -> Iterator[Genotype]:
        """Yields every genotype once, in a fixed order.

        Raises:
            NotImplementedError: where the space is not enumerable.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be enumerated")


class VectorEncoding(Encoding):
    """A fixed number of categorical genes, varied by DEAP's operators.

    Args:
        categories: the number of values of each gene; gene i takes 0 .. categories[i] - 1.
        names: what each gene is called in errors and reports.
    """

    def __init__(self, categories: Sequence[int], names: Sequence[str] | None = None) -> None:
        self.categories = tuple(int(count) for count in categories)
        if not self.categories or min(self.categories) < 1:
            raise ValueError(f"categories must be positive and at least one, but they are {self.categories}")
        self.names = tuple(names) if names else tuple(f"gene {i}" for i in range(len(self.categories)))
        if len(self.names) != len(self.categories):
            raise ValueError(f"{len(self.names)} names for {len(self.categories)} genes")
        self._free = [i for i, count in enumerate(self.categories) if count > 1]

    @property
    def size(self) -> int:
        size = 1
        for count in self.categories:
            size *= count
        return size

    def validate(self, genotype: Genotype) -> None:
        if len(genotype) != len(self.categories):
            raise GenotypeError(f"a genotype has {len(self.categories)} genes, but {genotype} has {len(genotype)}")
        for name, gene, count in zip(self.names, genotype, self.categories, strict=True):
            if not 0 <= gene < count:
                raise GenotypeError(f"{name} of {genotype} must be in 0..{count - 1}, but it is {gene}")

    def sample(self, rng: np.random.Generator) -> Genotype:
        return tuple(int(gene) for gene in rng.integers(0, self.categories))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        if not self._free:
            return genotype
        # DEAP mutates offsets, not genes: an offset of 1 .. count - 1 cannot give the old value back.
        offsets = self._offsets(rng, probability) if probability else {}
        if not offsets:
            chosen = self._free[int(rng.integers(len(self._free)))]
            offsets = {chosen: int(rng.integers(1, self.categories[chosen]))}
        genes = list(genotype)
        for i, offset in offsets.items():
            genes[i] = (genes[i] + offset) % self.categories[i]
        return tuple(genes)

    def _offsets(self, rng: np.random.Generator, probability: float) -> dict[int, int]:
        from deap import tools

        offsets = [0] * len(self._free)
        highest = [self.categories[i] - 1 for i in self._free]
        with deap_random(rng):
            tools.mutUniformInt(offsets, low=[1] * len(offsets), up=highest, indpb=probability)
        return {i: offset for i, offset in zip(self._free, offsets, strict=True) if offset}

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        from deap import tools

        with deap_random(rng):
            one, two = tools.cxUniform(list(first), list(second), indpb=0.5)
        return tuple(one), tuple(two)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        for i, count in enumerate(self.categories):
            for gene in range(count):
                if gene != genotype[i]:
                    yield (*genotype[:i], gene, *genotype[i + 1 :])

    def distance(self, first: Genotype, second: Genotype) -> float:
        return float(sum(a != b for a, b in zip(first, second, strict=True)))

    def repair(self, genotype: Sequence[int]) -> Genotype:
        if len(genotype) != len(self.categories):
            raise GenotypeError(f"a genotype has {len(self.categories)} genes, but {genotype} has {len(genotype)}")
        return tuple(min(max(int(g), 0), count - 1) for g, count in zip(genotype, self.categories, strict=True))

    def enumerate(self) -> Iterator[Genotype]:
        for index in range(self.size):
            genes = []
            for count in reversed(self.categories):
                index, gene = divmod(index, count)
                genes.append(gene)
            yield tuple(reversed(genes))


@contextmanager
def deap_random(rng: np.random.Generator) -> Iterator[None]:
    """Lends DEAP, which draws from the global `random`, a state seeded by `rng`; the global state comes back after."""
    state = random.getstate()
    random.seed(int(rng.integers(2**63)))
    try:
        yield
    finally:
        random.setstate(state)
