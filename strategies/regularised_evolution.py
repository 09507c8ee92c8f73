"""Regularised (ageing) evolution, in its asynchronous form (Real et al., AAAI 2019, arXiv 1802.01548, algorithm 1).

    population <- queue of P unseen genotypes at random            (the evaluations of a warm start count as members)
    repeat:
        for each of `batch` children, asked together:
            sample <- S members of the population, drawn with replacement
            parent <- the best of the sample, by current utility
            child  <- parent with one gene mutated; if it was seen, the nearest unseen genotype found (unseen.py)
        append the evaluated children to the population, then remove as many of its oldest members

Members are removed by age, not by utility, so the best member is removed as well when it is the oldest. Good genes survive
by inheritance. The run's archive keeps the best candidate.

    parameter    here   paper   NATS-Bench's baseline
    population    100     100   10
    tournament     25      25    3      (S, the paper's sample size)
    batch          10     450    1      (workers: children made before their siblings' evaluations are known)

With `batch` 1 this is the paper's pseudocode, except for seen children. With a larger batch, a child's parent is chosen
without the last batch - 1 evaluations, as by that many asynchronous workers. This loses little while the batch is small
compared with P. The first P genotypes are asked in one batch. With ``asynchronous: true``, `ahead` genotypes are in flight when
a batch is asked for; ``batch: 1, ahead: 449`` is the paper's form with 450 workers that take equally long. The paper's identity
mutation (5%) is left out, because it would spend evaluations on known architectures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, Parameters

from .population import Population, SteadyStateParameters, SteadyStateStrategy
from .situation import Situation
from .strategy import View


class RegularisedEvolutionParameters(SteadyStateParameters):
    """Parameters of regularised evolution.

    Attributes:
        population: Number of members, P.
        tournament: Number of members drawn, with replacement, to choose a parent, S.
        batch: Number of children per ask.
    """

    tournament: int = Field(25, ge=1)
    batch: int = Field(10, ge=1)


class RegularisedEvolution(SteadyStateStrategy):
    """Regularised evolution over any encoding (Real et al., AAAI 2019).

    The best of a random sample of the population is mutated in one gene, and the oldest member is removed.
    `RegularisedEvolutionParameters` describes the parameters.
    """

    name = "regularised_evolution"
    description = "tournament of 25 among 100, one mutation, the oldest dies"
    default_rule = (
        "population is 1.5 times the root of the budget (6 to 100), tournament half (3 to 25), batch a fifth of the root (2 to 10)"
    )
    Parameters: ClassVar[type[Parameters]] = RegularisedEvolutionParameters
    parameters: RegularisedEvolutionParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns population, tournament and batch by the root of the budget."""
        return {
            "population": situation.root(1.5, 6, 100),
            "tournament": situation.root(0.5, 3, 25),
            "batch": situation.root(0.2, 2, 10),
        }

    @property
    def batch(self) -> int:
        """Number of children per ask."""
        return self.parameters.batch

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Adds the told members and removes the oldest ones."""
        members = [*self.population, *Population.of(evaluations)]
        self.population = Population(members[-self.parameters.population :])

    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields a mutant of the best member of each random sample."""
        # The parents are yielded. They were all seen, so `ask` replaces each with an unseen mutant.
        utilities = self.population.utility(view)
        for _ in range(min(n, self.parameters.batch)):
            sample = self.rng.integers(len(self.population), size=self.parameters.tournament)
            yield self.population[int(sample[np.argmax(utilities[sample])])].genotype
