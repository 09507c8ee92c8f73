"""Genetic algorithm, (mu + lambda), with DEAP's tournament and the encoding's own operators.

Source: Beyer & Schwefel, Natural Computing 1 (2002) for (mu + lambda); DEAP (Fortin et al., JMLR 13, 2012).

    population <- mu unseen genotypes at random             (the evaluations of a warm start count as members)
    repeat:
        parents    <- lambda tournaments over the population, by current utility
        offspring  <- for each pair of parents: crossover with probability p_c, then mutation of each gene with p_m;
                      a child whose key was seen is mutated again, one gene and then more, a bounded number of
                      times, and at last replaced by a random unseen genotype
        population <- the mu best of population + evaluated offspring, by current utility

An encoding's mutation changes at least one gene. The best candidate always stays in the population: (mu + lambda) is
elitist. With ``asynchronous: true`` and few `offspring`, this is the asynchronous steady-state form: children enter the
population while `ahead` later ones are evaluated. The search ends when no unseen genotype is found. In an enumerable space this
means that every key was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, Parameters, deap_random

from .population import Population, SteadyStateParameters, SteadyStateStrategy, best
from .situation import Situation
from .strategy import View


class GeneticParameters(SteadyStateParameters):
    """Parameters of the genetic algorithm.

    Attributes:
        population: Number of members, mu.
        offspring: Number of children per generation, lambda; None for as many as `population`.
        tournament: Number of members in a tournament.
        crossover: Probability that a pair of parents is crossed, p_c.
        mutation: Probability that a gene of a child is mutated, p_m; None mutates exactly one gene.
    """

    population: int = Field(50, ge=2)
    offspring: int | None = Field(None, ge=1)
    tournament: int = Field(3, ge=1)
    crossover: float = Field(0.5, ge=0.0, le=1.0)
    mutation: float | None = Field(0.2, ge=0.0, le=1.0)


@dataclass(frozen=True)
class _Contestant:
    # DEAP's tournament compares the attribute `fitness` and reads no other.
    genotype: Genotype
    fitness: float


class Genetic(SteadyStateStrategy):
    """(mu + lambda) genetic algorithm over any encoding (Beyer & Schwefel, Natural Computing 1, 2002).

    Parents are winners of DEAP's tournaments. Children are made by uniform crossover and per-gene mutation. The best
    members of population and offspring survive. `GeneticParameters` describes the parameters.
    """

    name = "genetic"
    description = "(mu + lambda) with tournament, uniform crossover and per-gene mutation"
    default_rule = "population is half the root of the budget (6 to 100), and exactly one gene is mutated"
    Parameters: ClassVar[type[Parameters]] = GeneticParameters
    parameters: GeneticParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a population of half the root of the budget, and a mutation of one gene."""
        return {"population": situation.root(0.5, 6, 100), "mutation": None}

    @property
    def batch(self) -> int:
        """Number of children per ask."""
        return self.parameters.offspring or self.parameters.population

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Keeps the best members of the population and the told ones."""
        self.population = best([*self.population, *Population.of(evaluations)], self.parameters.population, view)

    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields mutated crossovers of the winners of tournaments."""
        count = min(n, self.batch)
        parents = self._parents(count + count % 2, view)
        for child in self.crossed(parents, count, self.parameters.crossover):
            yield self._mutated(child)

    def _parents(self, count: int, view: View) -> list[Genotype]:
        from deap import tools

        utilities = self.population.utility(view).tolist()
        contestants = [_Contestant(member.genotype, utility) for member, utility in zip(self.population, utilities, strict=True)]
        with deap_random(self.rng):
            winners = tools.selTournament(contestants, count, self.parameters.tournament)
        return [winner.genotype for winner in winners]

    def _mutated(self, child: Genotype) -> Genotype:
        # Zero would be read as a single gene by an encoding.
        if self.parameters.mutation == 0.0:
            return child
        return self.encoding.mutate(child, self.rng, self.parameters.mutation)
