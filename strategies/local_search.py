"""Local search: to the best of all one-gene neighbours until none is better, then from elsewhere (White et al., UAI 2021).

White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", arXiv 2005.02960, algorithm 1.

    repeat:
        current <- the best of `initial` unseen genotypes at random    (or of the warm start)
        repeat:
            ask for the neighbours of current that were not seen, in random order, `batch` at a time
            candidate <- the best neighbour of current, those seen earlier included
            current   <- candidate  if it is better, by utility as it is now, else leave the inner loop

    parameter   here   paper
    initial        1       1   (later code of the authors draws 10)
    batch        all     all   (neighbours asked at once)

A neighbour that was seen costs nothing, so a climb over known ground is free. The order is random so that a budget that
ends within a neighbourhood has favoured no gene. Ranks that are taken among the compared candidates alone ("generation")
can order two of them differently in two comparisons; a current that was left within one ask is therefore not returned to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Candidate, Unseen, best
from .strategy import Strategy, View


class LocalSearchParameters(Parameters):
    """Parameters of local search.

    Attributes:
        initial: Random genotypes, the best of which is a start.
        batch: Neighbours that are asked for at once; by default all.
    """

    initial: int = Field(1, ge=1)
    batch: int | None = Field(None, ge=1)


class LocalSearch(Strategy):
    """Steepest ascent over any encoding's neighbours, with restarts."""

    name = "local_search"
    description = "to the best of all one-gene neighbours, restarted at a local optimum"
    Parameters: ClassVar[type[Parameters]] = LocalSearchParameters
    parameters: LocalSearchParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: LocalSearchParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.current: Candidate | None = None
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        genotypes = self._neighbours_to_ask(view)
        if genotypes:
            genotypes = [genotypes[i] for i in self.rng.permutation(len(genotypes))[: min(n, self.parameters.batch or n)]]
        else:
            genotypes = self._unseen.draw_up_to(min(n, self.parameters.initial), self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        # The neighbours of a current are compared when all of them are known, in ask.
        if evaluations and (self.current is None or self.generation == 0):
            told = [Candidate.of(evaluation) for evaluation in evaluations]
            self.current = best(told if self.current is None else [self.current, *told], 1, view)[0]

    def get_state(self) -> dict[str, Any]:
        return {"current": None if self.current is None else self.current.to_json()}

    def set_state(self, state: dict[str, Any]) -> None:
        self.current = None if state["current"] is None else Candidate.from_json(state["current"])

    def _neighbours_to_ask(self, view: View) -> list[Genotype]:
        """Climbs as far as is known; returns the unseen neighbours of where that ends, none at a local optimum."""
        left: set[str] = set()
        while self.current is not None:
            neighbours = {view.key(genotype): genotype for genotype in self.encoding.neighbours(self.current.genotype)}
            unseen = [genotype for key, genotype in neighbours.items() if not view.seen(key)]
            if unseen:
                return unseen
            left.add(self.current.key)
            known = [Candidate(genotype, key) for key, genotype in neighbours.items() if key != self.current.key]
            better = _best_if_better(known, self.current, view)
            self.current = None if better is None or better.key in left else better
        return []


def _best_if_better(candidates: Sequence[Candidate], current: Candidate, view: View) -> Candidate | None:
    utilities = view.utility([current.key, *(candidate.key for candidate in candidates)])
    highest = int(np.argmax(utilities))
    return candidates[highest - 1] if highest > 0 else None
