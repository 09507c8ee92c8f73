"""Genetic algorithm, (mu + lambda), with DEAP's tournament and the encoding's own operators.

Source: Beyer & Schwefel, Natural Computing 1 (2002) for (mu + lambda); DEAP (Fortin et al., JMLR 13, 2012).

    population <- mu unseen genotypes at random             (the evaluations of a warm start take places first)
    repeat:
        parents    <- lambda tournaments over the population, by utility as it is now
        offspring  <- for each pair of parents: crossover with probability p_c, then mutation of each gene with p_m;
                      a child whose key was seen is mutated again, one gene and then more, a bounded number of
                      times, and at last replaced by a random unseen genotype
        population <- the mu best of population + evaluated offspring, by utility as it is now

An encoding's mutation changes at least one gene. The best candidate never leaves (mu + lambda is elitist). Asks
for nothing more when no unseen genotype is found: exactly when a space that can be walked is exhausted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters, deap_random

from .candidates import Candidate, Unseen, best
from .strategy import Strategy, View


class GeneticParameters(Parameters):
    """Parameters of the genetic algorithm.

    Attributes:
        population: Number of members (mu).
        offspring: Children of a generation (lambda); by default as many as members.
        tournament: Members of a tournament.
        crossover: Probability that two parents are crossed.
        mutation: Probability that a gene mutates.
    """

    population: int = Field(50, ge=2)
    offspring: int | None = Field(None, ge=1)
    tournament: int = Field(3, ge=1)
    crossover: float = Field(0.5, ge=0.0, le=1.0)
    mutation: float = Field(0.2, ge=0.0, le=1.0)


@dataclass(frozen=True)
class _Contestant:
    # What DEAP's tournament compares: it only reads `fitness`.
    genotype: Genotype
    fitness: float


class Genetic(Strategy):
    """A (mu + lambda) genetic algorithm over any encoding."""

    name = "genetic"
    description = "(mu + lambda) with tournament, uniform crossover and per-gene mutation"
    Parameters: ClassVar[type[Parameters]] = GeneticParameters
    parameters: GeneticParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: GeneticParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.population: list[Candidate] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        missing = self.parameters.population - len(self.population)
        if missing > 0:
            genotypes = self._unseen.draw_up_to(min(n, missing), self.rng, view, set())
        else:
            count = min(n, self.parameters.offspring or self.parameters.population)
            genotypes = self._unseen.each_or_near(self._children(count, view), self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        told = [Candidate.of(evaluation) for evaluation in evaluations]
        self.population = best([*self.population, *told], self.parameters.population, view)

    def get_state(self) -> dict[str, Any]:
        return {"population": [candidate.to_json() for candidate in self.population]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.population = [Candidate.from_json(data) for data in state["population"]]

    def _children(self, count: int, view: View) -> Iterator[Genotype]:
        """Yields `count` children of tournament winners, seen or not."""
        parents = self._parents(count + count % 2, view)
        for i in range(0, count, 2):
            pair = (parents[i], parents[i + 1])
            if self.rng.random() < self.parameters.crossover:
                pair = self.encoding.crossover(*pair, self.rng)
            for child in pair[: count - i]:
                yield self._mutated(child)

    def _parents(self, count: int, view: View) -> list[Genotype]:
        from deap import tools

        utilities = view.utility([candidate.key for candidate in self.population])
        contestants = [
            _Contestant(candidate.genotype, float(utility)) for candidate, utility in zip(self.population, utilities, strict=True)
        ]
        with deap_random(self.rng):
            winners = tools.selTournament(contestants, count, self.parameters.tournament)
        return [winner.genotype for winner in winners]

    def _mutated(self, child: Genotype) -> Genotype:
        if self.parameters.mutation == 0.0:
            return child
        return self.encoding.mutate(child, self.rng, self.parameters.mutation)
