"""NSGA-III (Deb & Jain, IEEE Trans. Evol. Comput. 18(4), 2014; constraints: Jain & Deb, part II), with DEAP's selection.

    population <- mu unseen genotypes at random             (the evaluations of a warm start count as members)
    repeat:
        parents    <- mu members at random; if one of two is infeasible, the one of smaller violation
        offspring  <- for each pair of parents: crossover with probability p_c, then mutation; a child whose key was seen is
                      mutated again, and at last replaced by a random unseen genotype
        population <- front by front from population + evaluated offspring until mu are chosen; of the last front, members near
                      the reference directions that have fewest members so far                          (DEAP: selNSGA3)

Objectives are scaled by the ideal point and the intercepts of the pool, without a memory of earlier generations, because ranks
change with every evaluation. If there are not more than mu feasible members, all of them survive, and then the infeasible ones of
smallest violation; failed ones are last. With two objectives, NSGA-II is usually as good; this is for three and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import comb
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, Parameters
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.parameters import refuse_without_effect

from .nsga2 import Individual, individuals_of
from .population import Population, PopulationParameters, PopulationStrategy
from .situation import Situation
from .strategy import View

# Reference directions of one objective lie on a line, so their number is that of the divisions and one more.
MOST_DIVISIONS = 1000


class Nsga3Parameters(PopulationParameters):
    """Parameters of NSGA-III.

    Attributes:
        population: Number of members and of children per generation, mu.
        crossover: Probability that a pair of parents is crossed, p_c.
        mutation: Probability that a gene of a child is mutated; None mutates exactly one gene.
        divisions: Divisions of each axis by evenly spread reference directions; None for the fewest that give `population` of them.
        reference_points: Reference directions instead, each a list with one number of at least 0 for each objective, in their
            order; a larger number asks for a larger share of the loss in that objective.
    """

    population: int = Field(100, ge=2)
    crossover: float = Field(0.9, ge=0.0, le=1.0)
    mutation: float | None = Field(None, gt=0.0, le=1.0)
    divisions: int | None = Field(None, ge=1, le=MOST_DIVISIONS)
    reference_points: list[list[float]] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _are_directions(self) -> Nsga3Parameters:
        points = self.reference_points or []
        if points:
            refuse_without_effect(self, "divisions", "with reference_points")
        for point in points:
            if len(point) != len(points[0]) or min(point, default=-1) < 0 or not any(point):
                raise ValueError(
                    f"reference_points must have one number of at least 0 for each objective, not all of them 0, but one is {point}"
                )
        return self


class Nsga3(PopulationStrategy):
    """NSGA-III over any encoding, for several objectives, with constraints (Deb & Jain, 2014).

    Survivors are spread over reference directions. `Nsga3Parameters` describes the parameters.
    """

    name = "nsga3"
    description = "non-dominated sorting and reference directions, for three or more objectives; constraints"
    default_rule = "population is half the root of the budget for one objective, the root for several (8 to 100, a multiple of 4)"
    Parameters: ClassVar[type[Parameters]] = Nsga3Parameters
    parameters: Nsga3Parameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a population by the root of the budget."""
        return {"population": situation.root(1.0 if situation.objectives > 1 else 0.5, 8, 100, multiple=4)}

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Keeps the members of the first fronts that are spread over the reference directions."""
        pool = {member.key: member for member in (*self.population, *Population.of(evaluations))}
        individuals = individuals_of(list(pool.values()), view)
        self.population = Population(individual.member for individual in self._survivors(individuals))

    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields mutated crossovers of members that are drawn at random, feasible before infeasible ones."""
        count = min(n, self.parameters.population)
        violations = view.violations([member.key for member in self.population])
        pairs = self.rng.integers(len(self.population), size=(count + count % 2, 2))
        parents = [self.population[b if violations[b] < violations[a] else a].genotype for a, b in pairs]
        for child in self.crossed(parents, count, self.parameters.crossover):
            yield self.encoding.mutate(child, self.rng, self.parameters.mutation)

    def _survivors(self, individuals: Sequence[Individual]) -> list[Individual]:
        from deap import tools

        if not individuals:
            return []
        points = self._directions(len(individuals[0].fitness.values))
        count = min(self.parameters.population, len(individuals))
        feasible = [one for one in individuals if not one.fitness.failed and one.fitness.violation == 0]
        if len(feasible) <= count:
            others = [one for one in individuals if one.fitness.failed or one.fitness.violation > 0]
            others.sort(key=lambda one: (one.fitness.failed, one.fitness.violation))
            return [*feasible, *others[: count - len(feasible)]]
        # DEAP draws from numpy's global generator.
        with own_random_state(int(self.rng.integers(2**32))):
            chosen: list[Individual] = tools.selNSGA3(feasible, count, points, nd="standard")
        return chosen

    def _directions(self, objectives: int) -> np.ndarray:
        """Returns the reference directions, float64 [directions, objectives]."""
        from deap import tools

        given = self.parameters.reference_points
        if given is not None:
            if len(given[0]) != objectives:
                raise ConfigError(
                    f"'strategy.reference_points' have {len(given[0])} numbers each, but the search has {objectives} objectives; "
                    "give one number for each"
                )
            points = np.array(given)
            return np.asarray(points / points.sum(axis=1, keepdims=True))
        divisions = self.parameters.divisions or fewest_divisions(objectives, self.parameters.population)
        return np.asarray(tools.uniform_reference_points(objectives, divisions))


def fewest_divisions(objectives: int, wanted: int) -> int:
    """Returns the smallest number of divisions that gives at least `wanted` evenly spread directions; 1 for one objective."""
    if objectives == 1:
        return 1
    return next(p for p in range(1, wanted + 1) if comb(objectives + p - 1, p) >= wanted)
