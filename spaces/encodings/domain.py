"""The genotypes of an encoding as values of positions and rules between few of them, for methods that go position by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bond:
    """A rule that the genes of a valid genotype satisfy.

    Attributes:
        positions: Positions of the genes that the rule reads.
        holds: Returns whether the values of these genes, in this order, satisfy the rule.
    """

    positions: tuple[int, ...]
    holds: Callable[..., bool]


@dataclass(frozen=True)
class Domain:
    """All valid genotypes: every combination of values that satisfies the rules.

    Attributes:
        values: Possible values of each gene.
        bonds: Rules between genes.
        names: Name of each gene.
    """

    values: tuple[tuple[int, ...], ...]
    bonds: tuple[Bond, ...]
    names: tuple[str, ...]

    def valid(self, genotype: Sequence[int]) -> bool:
        """Returns whether a genotype whose genes are in their ranges satisfies the rules."""
        return all(bond.holds(*(genotype[i] for i in bond.positions)) for bond in self.bonds)
