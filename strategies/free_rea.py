"""FreeREA: training-free evolution with ageing and crossover (Cavagnero et al., WACV 2023, arXiv 2207.05135).

    population <- N unseen genotypes at random                     (the evaluations of a warm start take places first)
    repeat:
        sample    <- n members of the population, drawn without replacement
        a, b      <- the two best of the sample, by utility as it is now
        children  <- one-gene mutant of a, one-gene mutant of b, uniform crossover of a and b
                     (a child that was seen is mutated on until one is found that was not)
        add the evaluated children to the population
        remove its oldest member, then its worst until N are left, by utility as it is now

    parameter    here   paper
    population    100     100   (N)
    tournament     25      25   (n)
    steps           1       1   (steps asked at once, three genotypes each, for more workers than three)

With several steps at once as many of the oldest are removed. Of members equally old, those that were told first are
the older. The paper's own fitness, a rank aggregate of LogSynFlow, NASWOT and a count of skip connections, is an
objective and none of the strategy's business; so are its limits on parameters and FLOPs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Candidate, Unseen, best
from .strategy import Strategy, View

CHILDREN_A_STEP = 3


class FreeReaParameters(Parameters):
    """Parameters of FreeREA.

    Attributes:
        population: Number of members.
        tournament: Distinct members of which the best two are the parents.
        steps: Steps that are asked for at once, three genotypes each.
    """

    population: int = Field(100, ge=2)
    tournament: int = Field(25, ge=2)
    steps: int = Field(1, ge=1)


class FreeRea(Strategy):
    """Ageing evolution with crossover over any encoding: the oldest dies, then the worst."""

    name = "free_rea"
    description = "two mutants and a crossover of a tournament's best two, the oldest dies, then the worst"
    Parameters: ClassVar[type[Parameters]] = FreeReaParameters
    parameters: FreeReaParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: FreeReaParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.population: list[Candidate] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        missing = self.parameters.population - len(self.population)
        if missing > 0:
            genotypes = self._unseen.draw_up_to(min(n, missing), self.rng, view, set())
        else:
            count = min(n, CHILDREN_A_STEP * self.parameters.steps)
            genotypes = self._unseen.each_or_near(self._children(count, view), self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        told = [Candidate.of(evaluation) for evaluation in evaluations]
        # While the population fills, everybody is of the first generation, and nobody old.
        full = len(self.population) == self.parameters.population
        oldest = math.ceil(len(told) / CHILDREN_A_STEP) if full else 0
        pool = [*self.population[oldest:], *told]
        if len(pool) > self.parameters.population:
            kept = set(best(pool, self.parameters.population, view))
            pool = [candidate for candidate in pool if candidate in kept]
        self.population = pool

    def get_state(self) -> dict[str, Any]:
        return {"population": [candidate.to_json() for candidate in self.population]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.population = [Candidate.from_json(data) for data in state["population"]]

    def _children(self, count: int, view: View) -> Iterator[Genotype]:
        """Yields `count` children, seen or not."""
        utilities = view.utility([candidate.key for candidate in self.population])
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
