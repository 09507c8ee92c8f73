"""A search without networks: a known landscape behind a view that has only the contract's methods.

The conformance checks of strategies run on it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import numpy as np

from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.metric import CostSubject, Metric
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint, Constraints
from rbflex_evo.fitness.objective.limited import LimitedView
from rbflex_evo.fitness.objective.objective import RANK, Objective
from rbflex_evo.spaces import Encoding, Genotype, GenotypeError, Parameters, SearchSpace
from rbflex_evo.spaces.conformance.checking import CheckFailed

OBJECTIVES = {
    "score": Objective(("near",)),
    "archive": Objective(("near", "large"), rule="log"),
    "generation": Objective(("near", "large"), rule="linear", reference="generation"),
    "pareto": Objective(("near", "size"), rule="pareto", minimised=("size",)),
    "pareto with ranks": Objective(
        (RANK, "size"), rule="pareto", minimised=("size",), aggregate=Objective(("near", "large"), rule="log")
    ),
}


class Size(Metric):
    """Cost metric: the sum of the genes."""

    name = "size"
    walkable = True

    def cost(self, architecture: CostSubject) -> float:
        """Returns the sum of the genes."""
        return float(sum(architecture.genotype))


class World:
    """A landscape in which candidates score higher the nearer their genes are to a fixed target; two genotypes may share a key.

    Args:
        encoding: Encoding of the genotypes.
        objective: Name of an objective of `OBJECTIVES`.
        succeeds_every: One key in this many succeeds and the others fail; None if all fail.
        flat: True if every candidate gets the same scores.
        limit: Largest sum of genes that the constraint allows; None for no constraint.
        handling: Handling of candidates that break the constraint.
    """

    def __init__(
        self,
        encoding: Encoding,
        objective: str = "score",
        succeeds_every: int | None = 1,
        flat: bool = False,
        limit: float | None = None,
        handling: Literal["reject", "deb"] = "reject",
    ) -> None:
        self.encoding = encoding
        self.objective = objective
        self.succeeds_every = succeeds_every
        self.flat = flat
        self.limit, self.handling = limit, handling
        constraints = Constraints(() if limit is None else (Constraint("size", maximum=limit),), handling)
        self.archive = ArchiveView(OBJECTIVES[objective], key_of, constraints.ordering)
        # The only metric reads genes, so no space is needed.
        nowhere = cast(SearchSpace, None)
        self.book = CostBook([Size(Parameters(), nowhere)], nowhere, genes_of)
        self.limits = LimitedView(self.archive, constraints, self.book, cap=None)
        self.view = NarrowView(self.limits)

    def __len__(self) -> int:
        return len(self.archive)

    def copy(self) -> World:
        """Returns a world with the same evaluated candidates."""
        twin = World(self.encoding, self.objective, self.succeeds_every, self.flat, self.limit, self.handling)
        for evaluation in self.archive.evaluations:
            twin.archive.add(evaluation)
        twin.limits.in_flight |= self.limits.in_flight
        return twin

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """Evaluates genotypes; the returned scores cannot be read, but the archive behind the view holds them."""
        found = [self._evaluate(genotype) for genotype in genotypes]
        self.limits.in_flight.difference_update(evaluation.key for evaluation in found)
        return found

    def _evaluate(self, genotype: Genotype) -> Evaluation:
        key = key_of(genotype)
        if not self.limits.admits(key):
            return self.limits.rejection(key, genotype)
        failures = {} if self._succeeds(key) else dict.fromkeys(("near", "large"), "synthetic failure")
        scores = {} if failures else self._scores(genotype)
        self.archive.add(Evaluation(genotype, key, scores, failures, costs=self.book.look(key).costs))
        return Evaluation(genotype, key, HiddenScores(), failures, costs=AnyCost(genotype))

    def _succeeds(self, key: str) -> bool:
        return self.succeeds_every is not None and zlib.crc32(key.encode()) % self.succeeds_every == 0

    def _scores(self, genotype: Genotype) -> dict[str, float]:
        genes = canonical(genotype)
        if self.flat:
            return {"near": -1.0, "large": 0.0}
        return {"near": -float(sum((gene - 1) ** 2 for gene in genes)) - 9000.0, "large": float(sum(genes))}


class AnyCost(dict[str, float]):
    """Costs by any name, since a strategy may ask a search to count any metric: weighted sums of the genes of the key."""

    def __init__(self, genotype: Genotype) -> None:
        super().__init__()
        self._genes = canonical(genotype)

    def __missing__(self, name: str) -> float:
        return float(sum(gene * (1 + zlib.crc32(f"{name} {i}".encode()) % 3) for i, gene in enumerate(self._genes)))


def canonical(genotype: Genotype) -> Genotype:
    """Returns the representative of the key of a genotype: the first two genes are interchangeable."""
    return (*sorted(genotype[:2]), *genotype[2:])


def key_of(genotype: Genotype) -> str:
    """Returns the key of a genotype."""
    return " ".join(map(str, canonical(genotype)))


def genes_of(key: str) -> Genotype:
    """Returns the representative genotype of a key."""
    return tuple(map(int, key.split()))


class NarrowView:
    """A view with the methods of the contract only.

    Args:
        archive: View of the evaluated candidates and the constraints.
    """

    def __init__(self, archive: LimitedView) -> None:
        self._archive = archive

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the utility of each key.

        Raises:
            CheckFailed: If a key was not evaluated.
        """
        self._check(keys, "utility")
        return self._archive.utility(keys)

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the objectives of each key.

        Raises:
            CheckFailed: If a key was not evaluated.
        """
        self._check(keys, "objectives")
        return self._archive.objectives(keys)

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the constraint violation of each key.

        Raises:
            CheckFailed: If a key was not evaluated.
        """
        self._check(keys, "violations")
        return self._archive.violations(keys)

    def _check(self, keys: Sequence[str], method: str) -> None:
        for key in keys:
            if not self._archive.seen(key) or key in self._archive.in_flight:
                raise CheckFailed(
                    f"view.{method}() was asked for {key!r}, which was not evaluated yet; ask for keys of told evaluations"
                )

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""
        return self._archive.key(genotype)

    def seen(self, key: str) -> bool:
        """True if the key was evaluated, is in flight or is rejected by the constraint."""
        return self._archive.seen(key)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CheckFailed(
            f"it used view.{name}; a view has utility(keys), objectives(keys), violations(keys), key(genotype) and seen(key) only"
        )


class HiddenScores(Mapping[str, float]):
    """Scores that raise CheckFailed when they are read, because a strategy must not read them."""

    def __getitem__(self, name: str) -> float:
        raise CheckFailed("it read Evaluation.scores; ask view.utility(keys) instead, which applies the objective")

    def __iter__(self) -> Iterator[str]:
        self[""]
        return iter(())

    def __len__(self) -> int:
        self[""]
        return 0


class VariableLengthEncoding(Encoding):
    """Encoding of 1 to `longest` genes of 0..2, of unknown size and without enumeration.

    It presents itself as the encoding of a space that is too large to enumerate.

    Args:
        longest: Largest number of genes.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def validate(self, genotype: Genotype) -> None:
        """Checks that a genotype has an allowed length and allowed genes."""
        if not 1 <= len(genotype) <= self.longest or not all(0 <= gene <= 2 for gene in genotype):
            raise GenotypeError(f"expected 1 to {self.longest} genes of 0..2, but it is {genotype}")

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Returns a random genotype of random length."""
        return tuple(int(gene) for gene in rng.integers(0, 3, size=rng.integers(1, self.longest + 1)))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Returns a genotype that differs in a gene or in its length."""
        choices = list(self.neighbours(genotype))
        return choices[int(rng.integers(len(choices)))]

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Returns two genotypes made of the parents' genes."""
        cut = int(rng.integers(1, min(len(first), len(second)) + 1))
        return (*first[:cut], *second[cut:]), (*second[:cut], *first[cut:])

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields the genotypes one edit away."""
        if len(genotype) > 1:
            yield genotype[:-1]
        if len(genotype) < self.longest:
            yield from ((*genotype, gene) for gene in range(3))
        for i, old in enumerate(genotype):
            yield from ((*genotype[:i], gene, *genotype[i + 1 :]) for gene in range(3) if gene != old)

    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns how far apart two genotypes lie."""
        return float(abs(len(first) - len(second)) + sum(a != b for a, b in zip(first, second, strict=False)))
