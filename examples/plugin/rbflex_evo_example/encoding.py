"""Permutations as genotypes: gene i says which thing stands at place i. No vector of categories, since no gene changes alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from rbflex_evo.spaces import Encoding, Genotype, GenotypeError, deap_random


class PermutationEncoding(Encoding):
    """All orders of `length` things, at least two; a step swaps two of them."""

    def __init__(self, length: int) -> None:
        self.length = length

    @property
    def size(self) -> int:
        return math.factorial(self.length)

    def validate(self, genotype: Genotype) -> None:
        if sorted(genotype) != list(range(self.length)):
            raise GenotypeError(f"expected each of 0..{self.length - 1} once, but it is {genotype}")

    def sample(self, rng: np.random.Generator) -> Genotype:
        return tuple(int(gene) for gene in rng.permutation(self.length))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        from deap import tools

        genes = list(genotype)
        if probability:
            with deap_random(rng):
                tools.mutShuffleIndexes(genes, indpb=probability)
        i, j = (int(place) for place in rng.choice(self.length, 2, replace=False))
        return tuple(genes) if tuple(genes) != genotype else _swapped(genotype, i, j)

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        from deap import tools

        with deap_random(rng):
            one, two = tools.cxPartialyMatched(list(first), list(second))
        return tuple(one), tuple(two)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        return (_swapped(genotype, i, j) for i, j in itertools.combinations(range(self.length), 2))

    def distance(self, first: Genotype, second: Genotype) -> float:
        return float(sum(a != b for a, b in zip(first, second, strict=True)))

    def enumerate(self) -> Iterator[Genotype]:
        return itertools.permutations(range(self.length))


def _swapped(genotype: Genotype, i: int, j: int) -> Genotype:
    return tuple({i: genotype[j], j: genotype[i]}.get(place, gene) for place, gene in enumerate(genotype))
