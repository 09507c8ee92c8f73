"""Genotypes of a fixed number of categorical genes, varied by the operators of DEAP."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from .domain import Domain
from .encoding import Encoding, Genotype, Variable, check_genes, check_length, hamming_distance


class VectorEncoding(Encoding):
    """A fixed number of categorical genes, varied by the operators of DEAP.

    Args:
        categories: Number of values of each gene; gene i takes 0 .. categories[i] - 1.
        names: Name of each gene in errors and reports.
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
        """Number of valid genotypes."""
        return math.prod(self.categories)

    def validate(self, genotype: Genotype) -> None:
        """Checks the number of genes and their ranges."""
        check_genes(genotype, self.names, map(range, self.categories))

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws one valid genotype uniformly."""
        return tuple(rng.integers(0, self.categories).tolist())

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Changes each gene with `probability`; None, or a draw that changes nothing, changes exactly one."""
        if not self._free:
            return genotype
        # DEAP mutates offsets instead of genes: an offset of 1 .. count - 1 always changes the value.
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
        """Swaps each gene of the parents with probability 1/2."""
        from deap import tools

        with deap_random(rng):
            one, two = tools.cxUniform(list(first), list(second), indpb=0.5)
        return tuple(one), tuple(two)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields every valid genotype that differs in one gene."""
        for i, count in enumerate(self.categories):
            for gene in range(count):
                if gene != genotype[i]:
                    yield (*genotype[:i], gene, *genotype[i + 1 :])

    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns the number of genes that differ."""
        return hamming_distance(first, second)

    def repair(self, genotype: Sequence[int]) -> Genotype:
        """Returns the genotype with every gene moved into its range."""
        check_length(genotype, len(self.categories))
        return tuple(min(max(int(g), 0), count - 1) for g, count in zip(genotype, self.categories, strict=True))

    def domain(self) -> Domain:
        """Returns the values of each gene; no rule binds two of them."""
        return Domain(tuple(tuple(range(count)) for count in self.categories), (), self.names)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One variable for each gene."""
        return tuple(map(Variable, self.names, self.categories))

    def decode(self, value_of: Callable[[int], int]) -> Genotype:
        """Returns the values as genes."""
        return tuple(map(value_of, range(len(self.categories))))

    def encode(self, genotype: Genotype) -> list[int | None]:
        """Returns the genes as values."""
        return list(genotype)

    def enumerate(self) -> Iterator[Genotype]:
        """Yields every genotype once, in lexicographic order."""
        return map(self._at, range(self.size))

    def at(self, index: int) -> Genotype:
        """Returns the genotype whose genes are the digits of `index`."""
        self.check_index(index)
        return self._at(index)

    def _at(self, index: int) -> Genotype:
        genes = []
        for count in reversed(self.categories):
            index, gene = divmod(index, count)
            genes.append(gene)
        return tuple(reversed(genes))


@contextmanager
def deap_random(rng: np.random.Generator) -> Iterator[None]:
    """Seeds the global `random`, from which DEAP draws, by `rng`, and restores its state afterwards."""
    state = random.getstate()
    random.seed(int(rng.integers(2**63)))
    try:
        yield
    finally:
        random.setstate(state)
