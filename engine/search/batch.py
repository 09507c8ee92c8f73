"""A batch of genotypes from the ask of the strategy until its evaluations are told.

Several batches may be outstanding at a time. The loop asks for batch k once batch k - 1 - ahead was told, where `ahead` follows
from the strategy and its parameters alone. Therefore the journal does not depend on how many workers there are or on which of
them is ready first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.limited import Look
from rbflex_evo.spaces import Genotype


@dataclass
class Batch:
    """Genotypes that were asked for together.

    Attributes:
        genotypes: The genotypes, in the order of the strategy.
        keys: Their keys.
        new: Genotype by key of the candidates to evaluate; the others are known, or repeat a key of this batch.
        generation: Generation of the strategy after the ask; 0 for a warm start.
        first_look: Number of looks that were counted before this ask.
        looks: Looks of this ask that are not in the journal yet.
        answered: Number of new ones, the first ones, that the journal of an earlier session holds.
        measured: Evaluations of the other new ones, in order, as they arrive; None if measuring has not begun.
    """

    genotypes: list[Genotype]
    keys: list[str]
    new: dict[str, Genotype]
    generation: int
    first_look: int
    looks: list[Look] = field(default_factory=list)
    answered: int = 0
    measured: Iterator[Evaluation] | None = None

    def to_measure(self) -> list[tuple[str, Genotype]]:
        """Returns the (key, genotype) pairs that the journal does not hold."""
        return list(self.new.items())[self.answered :]

    def to_json(self) -> dict[str, Any]:
        """Returns what a snapshot holds of the batch."""
        chosen = {key: position for position, key in reversed([*enumerate(self.keys)])}
        return {
            "genotypes": [list(genotype) for genotype in self.genotypes],
            "new": [chosen[key] for key in self.new],
            "generation": self.generation,
            "first_look": self.first_look,
            "looks": [asdict(look) for look in self.looks],
        }

    @classmethod
    def of_json(cls, data: dict[str, Any], keys: Sequence[str]) -> Batch:
        """Returns the batch that `to_json` wrote.

        Args:
            data: The data of the snapshot.
            keys: Keys of its genotypes.
        """
        genotypes = genotypes_of(data)
        new = {keys[position]: genotypes[position] for position in data["new"]}
        looks = [Look(**look) for look in data["looks"]]
        return cls(genotypes, list(keys), new, data["generation"], data["first_look"], looks)


def genotypes_of(data: dict[str, Any]) -> list[Genotype]:
    """Returns the genotypes of a batch in a snapshot."""
    return [tuple(genotype) for genotype in data["genotypes"]]
