"""NSGA-II (Deb, Pratap, Agarwal & Meyarivan, IEEE Trans. Evol. Comput. 6(2), 2002), with DEAP's selections.

    population <- mu unseen genotypes at random             (the evaluations of a warm start count as members)
    repeat:
        parents    <- mu binary tournaments: the dominating one wins, else the less crowded one    (DEAP: selTournamentDCD)
        offspring  <- for each pair of parents: crossover with probability p_c, then mutation; a child whose key was seen is
                      mutated again, and at last replaced by a random unseen genotype
        population <- front by front from population + evaluated offspring until mu are chosen, of the last front
                      the least crowded                                                                  (DEAP: selNSGA2)

Domination is constrained (the paper's section VI). A feasible candidate dominates an infeasible one. Of two infeasible
candidates, the one of smaller violation dominates. Two feasible candidates compare by Pareto domination. A failed candidate
is dominated by all that did not fail. With a single objective, this is an elitist genetic algorithm with binary tournaments.

`selection` may replace crowding, in the survival and in the tournament, by another order of the members of a front
(`front_selection`).

As in the paper, p_c = 0.9. The paper's mutation changes each gene with probability 1 / (number of genes). Here it changes
exactly one gene by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, Parameters, deap_random
from rbflex_evo.spaces.parameters import refuse_without_effect

from .front_selection import Selection, order_of
from .population import Member, Population, PopulationParameters, PopulationStrategy
from .situation import Situation
from .strategy import View


class Nsga2Parameters(PopulationParameters):
    """Parameters of NSGA-II.

    Attributes:
        population: Number of members and of children per generation, mu; a multiple of 4, for the tournament.
        crossover: Probability that a pair of parents is crossed, p_c.
        mutation: Probability that a gene of a child is mutated; None mutates exactly one gene.
        selection: Which members of a front are better: the least crowded ones, one of each box of ``epsilon``, or the ones that add
            most to the hypervolume.
        epsilon: Size of a box as a share of the range of the front.
    """

    population: int = Field(100, ge=4, multiple_of=4)
    crossover: float = Field(0.9, ge=0.0, le=1.0)
    mutation: float | None = Field(None, gt=0.0, le=1.0)
    selection: Selection = "crowding"
    epsilon: float = Field(0.05, gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _has_an_effect(self) -> Nsga2Parameters:
        if self.selection != "epsilon":
            refuse_without_effect(self, "epsilon", "without 'selection: epsilon'")
        return self

    @model_serializer(mode="wrap")
    def _used(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what is not used, so that runs of earlier versions can be resumed."""
        unused = {"crowding": {"selection", "epsilon"}, "hypervolume": {"epsilon"}}.get(self.selection, set())
        return {name: value for name, value in handler(self).items() if name not in unused}


class Worth:
    """Fitness that DEAP's selections read: objectives, constrained domination, and crowding distance.

    Args:
        objectives: Objectives of the candidate, float64 [objectives], each higher is better; NaN if it failed.
        violation: Total violation of the constraints; 0 if the candidate is feasible.
    """

    def __init__(self, objectives: np.ndarray, violation: float) -> None:
        self.failed = bool(np.isnan(objectives).any())
        # Failed candidates are only compared with each other; equal values keep NaN out of the crowding distances.
        self.values = (0.0,) * len(objectives) if self.failed else tuple(float(value) for value in objectives)
        self.violation = 0.0 if self.failed else float(violation)
        self.crowding_dist = 0.0
        # Sorting compares and hashes every fitness with every other one.
        self._compared = (self.failed, self.violation, self.values)
        self._hash = hash(self._compared)

    @property
    def wvalues(self) -> tuple[float, ...]:
        """The objectives, as DEAP calls them; all are maximised."""
        return self.values

    def dominates(self, other: Worth) -> bool:
        """True if this fitness dominates the other by the rules of constrained domination."""
        if self.failed or other.failed:
            return other.failed and not self.failed
        if self.violation > 0 or other.violation > 0:
            return self.violation < other.violation
        return self.values != other.values and all(a >= b for a, b in zip(self.values, other.values, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worth) and self._compared == other._compared

    def __hash__(self) -> int:
        return self._hash


class Individual:
    """A member with its fitness, in the form that DEAP expects.

    Args:
        member: Member of the population.
        fitness: Fitness of the member.
    """

    def __init__(self, member: Member, fitness: Worth) -> None:
        self.member = member
        self.fitness = fitness


class Nsga2(PopulationStrategy):
    """NSGA-II over any encoding, for one or several objectives, with constraints (Deb et al., 2002).

    Parents are winners of binary tournaments by constrained domination and crowding. The members of the first fronts of
    population and offspring survive. `Nsga2Parameters` describes the parameters.
    """

    name = "nsga2"
    description = "non-dominated sorting and crowding, epsilon boxes or hypervolume; several objectives, constrained domination"
    default_rule = "population is half the root of the budget for one objective, the root for several (8 to 100, a multiple of 4)"
    Parameters: ClassVar[type[Parameters]] = Nsga2Parameters
    parameters: Nsga2Parameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a population by the root of the budget."""
        return {"population": situation.root(1.0 if situation.objectives > 1 else 0.5, 8, 100, multiple=4)}

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Keeps the first fronts of the population and the told members."""
        pool = {member.key: member for member in (*self.population, *Population.of(evaluations))}
        chosen = self._select(list(pool.values()), self.parameters.population, view)
        self.population = Population(individual.member for individual in chosen)

    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields mutated crossovers of the winners of tournaments by domination and crowding."""
        from deap import tools

        count = min(n, self.parameters.population)
        # Selecting all members sets the crowding distances that the tournament reads.
        individuals = self._select(self.population, len(self.population), view)
        with deap_random(self.rng):
            parents = [winner.member.genotype for winner in tools.selTournamentDCD(individuals, len(individuals))]
        for child in self.crossed(parents, count, self.parameters.crossover):
            yield self.encoding.mutate(child, self.rng, self.parameters.mutation)

    def _select(self, members: Sequence[Member], count: int, view: View) -> list[Individual]:
        """Returns the `count` best members, which have distinct keys, with their crowding distances or what replaces them."""
        from deap import tools

        individuals = individuals_of(members, view)
        count = min(count, len(individuals))
        if self.parameters.selection == "crowding" or not individuals:
            return list(tools.selNSGA2(individuals, count)) if individuals else []
        chosen: list[Individual] = []
        for front in tools.sortNondominated(individuals, count):
            rows = np.array([individual.fitness.values for individual in front])
            ordered = [front[i] for i in order_of(rows, self.parameters.selection, self.parameters.epsilon)]
            for place, individual in enumerate(ordered):
                # The tournament prefers the larger one.
                individual.fitness.crowding_dist = float(-place)
            chosen += ordered[: count - len(chosen)]
        return chosen


def individuals_of(members: Sequence[Member], view: View) -> list[Individual]:
    """Returns members with their fitness, in the form that DEAP expects."""
    keys = [member.key for member in members]
    if not keys:
        return []
    return [
        Individual(member, Worth(objectives, violation))
        for member, objectives, violation in zip(members, view.objectives(keys), view.violations(keys), strict=True)
    ]
