"""FreeREA: training-free evolution with ageing and crossover (Cavagnero et al., WACV 2023, arXiv 2207.05135).

    population <- N unseen genotypes at random                     (the evaluations of a warm start count as members)
    repeat:
        sample    <- n members of the population, drawn without replacement
        a, b      <- the two best of the sample, by current utility
        children  <- one-gene mutant of a, one-gene mutant of b, uniform crossover of a and b
                     (a child that was seen is mutated until it is unseen)
        add the evaluated children to the population
        remove its oldest member, then its worst until N are left, by current utility

    parameter    here   paper
    population    100     100   (N)
    tournament     25      25   (n)
    steps           1       1   (steps asked at once, three genotypes each, for more workers than three)

With several steps at once, as many of the oldest members are removed. Of members equally old, those told first count as
older. The paper's fitness (a rank aggregate of LogSynFlow, NASWOT and a count of skip connections) and its limits on
parameters and FLOPs are not part of the strategy: they are configured as objective and constraints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, Parameters

from .population import Population, SteadyStateParameters, SteadyStateStrategy, best
from .situation import Situation
from .strategy import View

CHILDREN_A_STEP = 3


class FreeReaParameters(SteadyStateParameters):
    """Parameters of FreeREA.

    Attributes:
        population: Number of members, N.
        tournament: Number of distinct members drawn to choose two parents, n.
        steps: Number of steps per ask, each of three children.
    """

    tournament: int = Field(25, ge=2)
    steps: int = Field(1, ge=1)


class FreeRea(SteadyStateStrategy):
    """FreeREA, ageing evolution with crossover, over any encoding (Cavagnero et al., WACV 2023).

    A step makes a mutant of each of a sample's two best members and their crossover. It then removes the oldest member and
    the worst ones. `FreeReaParameters` describes the parameters.
    """

    name = "free_rea"
    description = "two mutants and a crossover of a tournament's best two, the oldest dies, then the worst"
    default_rule = "population is 0.7 times the root of the budget (6 to 100), tournament 0.3 times (3 to 25)"
    Parameters: ClassVar[type[Parameters]] = FreeReaParameters
    parameters: FreeReaParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns population and tournament by the root of the budget."""
        return {"population": situation.root(0.7, 6, 100), "tournament": situation.root(0.3, 3, 25)}

    @property
    def batch(self) -> int:
        """Number of children per ask."""
        return CHILDREN_A_STEP * self.parameters.steps

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Adds the told members, removes the oldest ones and then the worst."""
        size, told = self.parameters.population, Population.of(evaluations)
        # While the population is being filled, all members count as one generation, and none is removed for its age.
        oldest = math.ceil(len(told) / CHILDREN_A_STEP) if len(self.population) == size else 0
        pool = [*self.population[oldest:], *told]
        if len(pool) > size:
            kept = set(best(pool, size, view))
            pool = [member for member in pool if member in kept]
        self.population = Population(pool)

    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields two mutants and a crossover of the best two members of each random sample."""
        count = min(n, self.batch)
        utilities = self.population.utility(view)
        size = min(self.parameters.tournament, len(self.population))
        for i in range(0, count, CHILDREN_A_STEP):
            sample = self.rng.permutation(len(self.population))[:size]
            ranked = sample[np.argsort(-utilities[sample], kind="stable")]
            first, second = (self.population[int(j)].genotype for j in ranked[:2])
            children = (
                self.encoding.mutate(first, self.rng),
                self.encoding.mutate(second, self.rng),
                self.encoding.crossover(first, second, self.rng)[0],
            )
            yield from children[: count - i]
