"""NSGA-II (Deb, Pratap, Agarwal & Meyarivan, IEEE Trans. Evol. Comput. 6(2), 2002), with DEAP's selections.

    population <- mu unseen genotypes at random             (the evaluations of a warm start take places first)
    repeat:
        parents    <- mu binary tournaments: who dominates wins, else who is less crowded          (DEAP: selTournamentDCD)
        offspring  <- for each pair of parents: crossover with probability p_c, then mutation; a child whose key was seen is
                      mutated again, and at last replaced by a random unseen genotype
        population <- front by front from population + evaluated offspring until mu are chosen, of the last front
                      the least crowded                                                                  (DEAP: selNSGA2)

Domination is constrained (the paper's section VI): a feasible candidate dominates an infeasible one, of two infeasible ones
the less violating dominates, two feasible ones compare by Pareto; a failed one is dominated by all that did not fail. With a
single objective this is an elitist genetic algorithm with binary tournaments.

The paper's p_c = 0.9; its mutation changes each gene with 1 / (number of genes), here exactly one gene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters, deap_random

from .candidates import Candidate, Unseen
from .strategy import Strategy, View


class Nsga2Parameters(Parameters):
    """Parameters of NSGA-II.

    Attributes:
        population: Number of members, a multiple of 4 for the tournament.
        crossover: Probability that two parents are crossed.
        mutation: Probability that a gene mutates; by default one gene does.
    """

    population: int = Field(100, ge=4, multiple_of=4)
    crossover: float = Field(0.9, ge=0.0, le=1.0)
    mutation: float | None = Field(None, gt=0.0, le=1.0)


class Worth:
    """What DEAP's selections read of a candidate: its objectives, whom it dominates, and how crowded its front is around it."""

    def __init__(self, objectives: np.ndarray, violation: float) -> None:
        self.failed = bool(np.isnan(objectives).any())
        # A failed one is compared with others like it alone, and crowds nobody.
        self.values = (0.0,) * len(objectives) if self.failed else tuple(float(value) for value in objectives)
        self.violation = 0.0 if self.failed else float(violation)
        self.crowding_dist = 0.0

    def dominates(self, other: Worth) -> bool:
        """True by the rules of constrained domination."""
        if self.failed or other.failed:
            return other.failed and not self.failed
        if self.violation > 0 or other.violation > 0:
            return self.violation < other.violation
        return self.values != other.values and all(a >= b for a, b in zip(self.values, other.values, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worth) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[object, ...]:
        return (self.failed, self.violation, self.values)


class Individual:
    """A candidate as DEAP takes it."""

    def __init__(self, candidate: Candidate, fitness: Worth) -> None:
        self.candidate = candidate
        self.fitness = fitness


class Nsga2(Strategy):
    """NSGA-II over any encoding, for one objective or several, with constraints."""

    name = "nsga2"
    description = "non-dominated sorting and crowding, several objectives, constrained domination"
    Parameters: ClassVar[type[Parameters]] = Nsga2Parameters
    parameters: Nsga2Parameters

    def __init__(self, encoding: Encoding, seed: int, parameters: Nsga2Parameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.population: list[Candidate] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        missing = self.parameters.population - len(self.population)
        if missing > 0:
            genotypes = self._unseen.draw_up_to(min(n, missing), self.rng, view, set())
        else:
            children = self._children(min(n, self.parameters.population), view)
            genotypes = self._unseen.each_or_near(children, self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        pool = {candidate.key: candidate for candidate in (*self.population, *map(Candidate.of, evaluations))}
        chosen = _select(list(pool.values()), self.parameters.population, view)
        self.population = [individual.candidate for individual in chosen]

    def get_state(self) -> dict[str, Any]:
        return {"population": [candidate.to_json() for candidate in self.population]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.population = [Candidate.from_json(data) for data in state["population"]]

    def _children(self, count: int, view: View) -> Iterator[Genotype]:
        """Yields `count` children of tournament winners, seen or not."""
        from deap import tools

        # The selection of everyone sets the crowding distances that the tournament reads.
        individuals = _select(self.population, len(self.population), view)
        with deap_random(self.rng):
            parents = [winner.candidate.genotype for winner in tools.selTournamentDCD(individuals, len(individuals))]
        for i in range(0, count, 2):
            pair = (parents[i], parents[i + 1])
            if self.rng.random() < self.parameters.crossover:
                pair = self.encoding.crossover(*pair, self.rng)
            for child in pair[: count - i]:
                yield self.encoding.mutate(child, self.rng, self.parameters.mutation)


def _select(candidates: Sequence[Candidate], count: int, view: View) -> list[Individual]:
    """Returns the `count` best candidates of distinct keys, with their crowding distances."""
    from deap import tools

    if not candidates:
        return []
    keys = [candidate.key for candidate in candidates]
    individuals = [
        Individual(candidate, Worth(objectives, violation))
        for candidate, objectives, violation in zip(candidates, view.objectives(keys), view.violations(keys), strict=True)
    ]
    chosen: list[Individual] = tools.selNSGA2(individuals, min(count, len(individuals)))
    return chosen
