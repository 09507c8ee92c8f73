"""Evolution for large spaces: a random survivor with two blocks edited, the lowest removed (Lin et al., ICCV 2021, Zen-NAS).

Also AZ-NAS (Lee & Ham, CVPR 2024), whose fitness is a rank aggregate and so changes with every evaluation: who survives is
decided by utility as it is now. Meant for budgets of 10^5 evaluations; below the population's size it only drifts.

    population <- `initial` unseen genotypes at random             (the evaluations of a warm start count as such)
    repeat:
        for each of `batch` children, asked together:
            parent <- any member of the population, all equally likely
            child  <- parent with one gene mutated, `edits` times; where that was seen, it is mutated on
        population <- the `population` best of itself and the evaluated children, by utility as it is now

    parameter    here   AZ-NAS   Zen-NAS
    population   1024     1024       512   (512 in its code, 256 in its paper)
    edits           2        2         2   (blocks replaced; the same block may be drawn twice)
    initial        11       11        11   (there: one-block edits of a network made by hand, which a general space has not)
    batch          64        1         1
    evaluations             1e5    4.8e5   (9.6e4 in its paper)

The population grows from `initial` by children, without selection, until it is full. A batch is small beside the
population, so a child that cannot have an evaluated sibling of its own batch for a parent loses little, and one
ranking of the population serves 64 evaluations. Limits on parameters or FLOPs are constraints, not the strategy's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Candidate, Unseen, best
from .strategy import Strategy, View


class LargeSpaceEvolutionParameters(Parameters):
    """Parameters of evolution for large spaces.

    Attributes:
        population: Largest number of survivors.
        edits: Mutations of one gene that make a child.
        initial: Random genotypes at the start.
        batch: Children that are asked for at once.
    """

    population: int = Field(1024, ge=2)
    edits: int = Field(2, ge=1)
    initial: int = Field(11, ge=1)
    batch: int = Field(64, ge=1)


class LargeSpaceEvolution(Strategy):
    """Evolution of a large population over any encoding, without tournament or crossover."""

    name = "large_space_evolution"
    description = "two edits of a random one of 1024 survivors, the lowest removed"
    Parameters: ClassVar[type[Parameters]] = LargeSpaceEvolutionParameters
    parameters: LargeSpaceEvolutionParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: LargeSpaceEvolutionParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.population: list[Candidate] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        missing = min(self.parameters.initial, self.parameters.population) - len(self.population)
        if missing > 0:
            genotypes = self._unseen.draw_up_to(min(n, missing), self.rng, view, set())
        else:
            children = self._children(min(n, self.parameters.batch))
            genotypes = self._unseen.each_or_near(children, self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        pool = [*self.population, *(Candidate.of(evaluation) for evaluation in evaluations)]
        full = len(pool) > self.parameters.population
        self.population = best(pool, self.parameters.population, view) if full else pool

    def get_state(self) -> dict[str, Any]:
        return {"population": [candidate.to_json() for candidate in self.population]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.population = [Candidate.from_json(data) for data in state["population"]]

    def _children(self, count: int) -> Iterator[Genotype]:
        """Yields `count` children, seen or not."""
        for _ in range(count):
            child = self.population[int(self.rng.integers(len(self.population)))].genotype
            for _ in range(self.parameters.edits):
                child = self.encoding.mutate(child, self.rng)
            yield child
