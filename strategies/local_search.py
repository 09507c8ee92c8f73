"""Local search: move to the best one-gene neighbour until none is better, then restart (White et al., UAI 2021).

White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", arXiv 2005.02960, algorithm 1.

    repeat:
        current <- the best of `initial` unseen genotypes at random    (or of the warm start)
        repeat:
            ask for the unseen neighbours of current, in random order, `batch` at a time
            candidate <- the best neighbour of current, including the ones seen earlier
            current   <- candidate  if it is better, by current utility, else leave the inner loop

    parameter   here   paper
    initial        1       1   (later code of the authors draws 10)
    batch        all     all   (neighbours asked at once)

A seen neighbour is not evaluated again, so a climb over seen genotypes costs nothing. The order is random, so that a budget
that ends within a neighbourhood favours no gene. Ranks among the compared candidates alone (reference "generation") can
order two of them differently in two comparisons. Within one ask, the search therefore does not return to a genotype that it
left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .population import Member, Population, best
from .strategy import Strategy, View
from .unseen import Unseen


class LocalSearchParameters(Parameters):
    """Parameters of local search.

    Attributes:
        initial: Number of random genotypes of which the best starts a climb.
        batch: Number of neighbours per ask; None for all.
    """

    initial: int = Field(1, ge=1)
    batch: int | None = Field(None, ge=1)


class LocalSearch(Strategy):
    """Steepest ascent over the neighbours of any encoding, with restarts (White et al., UAI 2021).

    The best neighbour replaces the current member until none is better. `LocalSearchParameters` describes the parameters.
    """

    name = "local_search"
    description = "to the best of all one-gene neighbours, restarted at a local optimum"
    Parameters: ClassVar[type[Parameters]] = LocalSearchParameters
    parameters: LocalSearchParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: LocalSearchParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.current: Member | None = None
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns unseen neighbours of the current genotype, or random genotypes after a local optimum."""
        genotypes = self._neighbours_to_ask(view)
        if genotypes:
            genotypes = [genotypes[i] for i in self.rng.permutation(len(genotypes))[: min(n, self.parameters.batch or n)]]
        else:
            genotypes = self._unseen.draw_up_to(min(n, self.parameters.initial), self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Takes the best genotype told as the current one if there is none."""
        # Neighbours are compared in ask, when all of them are evaluated.
        if evaluations and (self.current is None or self.generation == 0):
            told = Population.of(evaluations)
            self.current = best(told if self.current is None else [self.current, *told], 1, view)[0]

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {"current": None if self.current is None else self.current.to_json()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self.current = None if state["current"] is None else Member.from_json(state["current"])

    def _neighbours_to_ask(self, view: View) -> list[Genotype]:
        """Climbs over evaluated neighbours; returns the unseen neighbours of the last member, none at a local optimum."""
        left: set[str] = set()
        while self.current is not None:
            neighbours = {view.key(genotype): genotype for genotype in self.encoding.neighbours(self.current.genotype)}
            unseen = [genotype for key, genotype in neighbours.items() if not view.seen(key)]
            if unseen:
                return unseen
            left.add(self.current.key)
            known = [Member(genotype, key) for key, genotype in neighbours.items() if key != self.current.key]
            better = _best_if_better(known, self.current, view)
            self.current = None if better is None or better.key in left else better
        return []


def _best_if_better(members: Sequence[Member], current: Member, view: View) -> Member | None:
    """Returns the best member if it is better than `current`, else None."""
    highest = int(np.argmax(Population([current, *members]).utility(view)))
    return members[highest - 1] if highest > 0 else None
