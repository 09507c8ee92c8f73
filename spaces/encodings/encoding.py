"""The interface of genotype encodings: sampling, mutation, crossover, neighbours, distance and enumeration.

A genotype is a hashable tuple of integers. Operators belong to the encoding and selection belongs to the strategy, so that every
strategy works on every encoding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from rbflex_evo.spaces.errors import GenotypeError, shown

from .domain import Domain

Genotype = tuple[int, ...]
# The largest encoding whose genotypes have indices; in larger ones, a number that a user has at hand is that of some other list.
MOST_INDEXED = 1_000_000


@dataclass(frozen=True)
class Variable:
    """One of the choices that together describe a genotype.

    Attributes:
        name: Name of the choice.
        count: Number of its values, which are 0 .. count - 1.
        ordered: Whether the values are numbers, such as depths, of which near ones are similar.
    """

    name: str
    count: int
    ordered: bool = False


class Encoding(ABC):
    """Base class of encodings: the genes of a genotype and the operators on them.

    Every random draw comes from the generator that is passed in.
    """

    @property
    def size(self) -> int | None:
        """Number of valid genotypes, or None if it is unknown."""
        return None

    @abstractmethod
    def validate(self, genotype: Genotype) -> None:
        """Checks one genotype.

        Raises:
            GenotypeError: If it is invalid; the message states the reason.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws one valid genotype, uniformly if the encoding supports it."""

    @abstractmethod
    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Returns a valid genotype that differs from `genotype` in at least one gene, if the space has another genotype.

        Args:
            genotype: The genotype to mutate.
            rng: Random generator.
            probability: Probability with which each gene changes; None changes exactly one gene.
        """

    @abstractmethod
    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Returns two valid children whose genes come from the parents."""

    @abstractmethod
    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields every valid genotype one step away; the relation is symmetric."""

    @abstractmethod
    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns a symmetric distance that is 0 only between equal genotypes."""

    def repair(self, genotype: Sequence[int]) -> Genotype:
        """Returns the nearest valid genotype; by default only valid genotypes are accepted.

        Raises:
            GenotypeError: If it cannot be repaired.
        """
        repaired = tuple(int(gene) for gene in genotype)
        self.validate(repaired)
        return repaired

    def domain(self) -> Domain | None:
        """Returns the genotypes as values of positions and rules between them, or None if they are no such set (the default)."""
        return None

    @property
    def variables(self) -> tuple[Variable, ...] | None:
        """The choices that describe a genotype, for optimisers of vectors; None if there is no fixed list of choices."""
        return None

    def decode(self, value_of: Callable[[int], int]) -> Genotype:
        """Returns the genotype of values of `variables`; an encoding that has them overrides it.

        Args:
            value_of: Returns the value of the variable at a position. It is called for those that have an effect.

        Raises:
            GenotypeError: If the values describe no valid genotype.
            NotImplementedError: If the encoding has no `variables`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no variables")

    def encode(self, genotype: Genotype) -> list[int | None]:
        """Returns the values of `variables` that `decode` turns into a valid genotype; None for those without effect.

        Raises:
            NotImplementedError: If the encoding has no `variables`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no variables")

    def enumerate(self) -> Iterator[Genotype]:
        """Yields every genotype once, in a fixed order.

        Raises:
            NotImplementedError: If the encoding cannot be enumerated.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be enumerated")

    def at(self, index: int) -> Genotype:
        """Returns the genotype at a position of `enumerate`.

        Raises:
            GenotypeError: If there is no such position, or the encoding has no size, cannot be enumerated, or is too large.
        """
        self.check_index(index)
        try:
            return next(islice(self.enumerate(), index, None))
        except NotImplementedError as error:
            raise GenotypeError(f"there are no indices: {error}; give a notation") from None

    def check_index(self, index: int) -> None:
        """Checks that `index` is a position of `enumerate`.

        Raises:
            GenotypeError: If it is not, or the encoding has no size or too many genotypes for indices.
        """
        size = self.size
        if size is None or size > MOST_INDEXED:
            raise GenotypeError(
                f"there are no indices, which are for spaces of at most {MOST_INDEXED:,} genotypes; give a notation"
            )
        if not 0 <= index < size:
            raise GenotypeError(f"an index must be in 0..{size - 1}, but it is {shown(index)}")


def check_genes(genotype: Genotype, names: Sequence[str], ranges: Iterable[range]) -> None:
    """Checks the number of genes of a genotype and the range of each gene.

    Args:
        genotype: The genotype to check.
        names: Name of each gene, for error messages.
        ranges: Allowed values of each gene.

    Raises:
        GenotypeError: If the number of genes is wrong, or a gene is out of its range.
    """
    check_length(genotype, len(names))
    for name, gene, allowed in zip(names, genotype, ranges, strict=True):
        if gene not in allowed:
            raise GenotypeError(
                f"{name} of {shown(genotype)} must be in {allowed.start}..{allowed.stop - 1}, but it is {shown(gene)}"
            )


def check_length(genotype: Sequence[int], expected: int) -> None:
    """Checks the number of genes.

    Raises:
        GenotypeError: If it is not `expected`.
    """
    if len(genotype) != expected:
        raise GenotypeError(f"a genotype has {expected} genes, but {shown(tuple(genotype))} has {len(genotype)}")


def hamming_distance(first: Genotype, second: Genotype) -> float:
    """Returns the number of genes in which two genotypes of equal length differ."""
    return float(sum(a != b for a, b in zip(first, second, strict=True)))
