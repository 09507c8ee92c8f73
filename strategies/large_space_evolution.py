"""Evolution for large spaces: two edits of a random survivor, the lowest removed (Lin et al., ICCV 2021, Zen-NAS).

Also AZ-NAS (Lee & Ham, CVPR 2024). Its fitness is a rank aggregate and changes with every evaluation, so survivors are
chosen by current utility. The strategy is meant for budgets of about 10^5 evaluations. With fewer evaluations than the
population has places, there is no selection.

    population <- `initial` unseen genotypes at random             (the evaluations of a warm start count as members)
    repeat:
        for each of `batch` children, asked together:
            parent <- any member of the population, all equally likely
            child  <- parent with one gene mutated, `edits` times; if it was seen, it is mutated again
        population <- the `population` best of itself and the evaluated children, by current utility

    parameter    here   AZ-NAS   Zen-NAS
    population   1024     1024       512   (512 in its code, 256 in its paper)
    edits           2        2         2   (blocks replaced; the same block may be drawn twice)
    initial        11       11        11   (there: one-block edits of a hand-made network, which a general space lacks)
    batch          64        1         1
    evaluations             1e5    4.8e5   (9.6e4 in its paper)

The population grows from `initial` by children, without selection, until it is full. A child cannot have an evaluated
sibling of its own batch as a parent. This loses little, because a batch is small compared with the population, and one
ranking of the population serves 64 evaluations. Limits on parameters or FLOPs are configured as constraints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, Parameters

from .population import Population, SteadyStateParameters, SteadyStateStrategy, best
from .situation import Situation
from .strategy import View


class LargeSpaceEvolutionParameters(SteadyStateParameters):
    """Parameters of large-space evolution.

    Attributes:
        population: Largest number of members.
        edits: Number of one-gene mutations that make a child.
        initial: Number of random members at which breeding begins.
        batch: Number of children per ask.
    """

    population: int = Field(1024, ge=2)
    edits: int = Field(2, ge=1)
    initial: int = Field(11, ge=1)
    batch: int = Field(64, ge=1)


class LargeSpaceEvolution(SteadyStateStrategy):
    """Evolution of a large population over any encoding, as in Zen-NAS (Lin et al., ICCV 2021) and AZ-NAS.

    A random member is mutated `edits` times, without tournament or crossover, and the members of lowest utility are
    removed. `LargeSpaceEvolutionParameters` describes the parameters.
    """

    name = "large_space_evolution"
    description = "two edits of a random one of 1024 survivors, the lowest removed"
    default_rule = "population is half the root of the budget (6 to 1,024), batch a quarter (2 to 64)"
    Parameters: ClassVar[type[Parameters]] = LargeSpaceEvolutionParameters
    parameters: LargeSpaceEvolutionParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns population and batch by the root of the budget."""
        return {"population": situation.root(0.5, 6, 1024), "batch": situation.root(0.25, 2, 64)}

    @property
    def initial(self) -> int:
        """Number of members at which breeding begins."""
        return min(self.parameters.initial, self.parameters.population)

    @property
    def batch(self) -> int:
        """Number of children per ask."""
        return self.parameters.batch

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Adds the told members and removes those of lowest utility."""
        pool = Population([*self.population, *Population.of(evaluations)])
        size = self.parameters.population
        self.population = best(pool, size, view) if len(pool) > size else pool

    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields random members, each mutated `edits` times."""
        for _ in range(min(n, self.parameters.batch)):
            child = self.population[int(self.rng.integers(len(self.population)))].genotype
            for _ in range(self.parameters.edits):
                child = self.encoding.mutate(child, self.rng)
            yield child
