"""Regularised (ageing) evolution, in its asynchronous form (Real et al., AAAI 2019, arXiv 1802.01548, algorithm 1).

    population <- queue of P unseen genotypes at random            (the evaluations of a warm start take places first)
    repeat:
        for each of `batch` children, asked together:
            sample <- S members of the population, drawn with replacement
            parent <- the best of the sample, by utility as it is now
            child  <- parent with one gene mutated; where that was seen, the nearest unseen found (candidates.py)
        append the evaluated children to the population, then remove as many of its oldest members

Nobody is removed for being bad, and the best so far dies with the others: what lasts is what children inherit. The run's
archive keeps the best.

    parameter    here   paper   NATS-Bench's baseline
    population    100     100   10
    tournament     25      25    3      (S, the paper's sample size)
    batch          10     450    1      (workers: children made before their siblings' evaluations are known)

With batch 1 this is the paper's pseudocode word for word, but for seen children. With more, a child's parent is chosen
without the last batch - 1 evaluations, as by that many asynchronous workers: as good while the batch is small beside P.
The first P are asked in one batch. The paper's identity mutation (5%) is left out: it would pay for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Candidate, Unseen
from .strategy import Strategy, View


class RegularisedEvolutionParameters(Parameters):
    """Parameters of regularised evolution.

    Attributes:
        population: Number of members.
        tournament: Members of which the best is the parent.
        batch: Children that are asked for at once.
    """

    population: int = Field(100, ge=2)
    tournament: int = Field(25, ge=1)
    batch: int = Field(10, ge=1)


class RegularisedEvolution(Strategy):
    """Ageing evolution over any encoding: tournament, one mutation, the oldest dies."""

    name = "regularised_evolution"
    description = "tournament of 25 among 100, one mutation, the oldest dies"
    Parameters: ClassVar[type[Parameters]] = RegularisedEvolutionParameters
    parameters: RegularisedEvolutionParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: RegularisedEvolutionParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.population: list[Candidate] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        missing = self.parameters.population - len(self.population)
        if missing > 0:
            genotypes = self._unseen.draw_up_to(min(n, missing), self.rng, view, set())
        else:
            genotypes = self._children(min(n, self.parameters.batch), view)
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        told = [Candidate.of(evaluation) for evaluation in evaluations]
        self.population = [*self.population, *told][-self.parameters.population :]

    def get_state(self) -> dict[str, Any]:
        return {"population": [candidate.to_json() for candidate in self.population]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.population = [Candidate.from_json(data) for data in state["population"]]

    def _children(self, count: int, view: View) -> list[Genotype]:
        utilities = view.utility([candidate.key for candidate in self.population])
        taken: set[str] = set()
        genotypes: list[Genotype] = []
        for _ in range(count):
            sample = self.rng.integers(len(self.population), size=self.parameters.tournament)
            parent = self.population[int(sample[np.argmax(utilities[sample])])]
            child = self._unseen.near(parent.genotype, self.rng, view, taken)
            if child is None:
                break
            genotypes.append(child)
        return genotypes
