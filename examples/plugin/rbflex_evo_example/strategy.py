"""Late acceptance hill climbing (Burke & Bykov, EJOR 258, 2017), a batch of neighbours a step.

With v = step mod `history`: the best neighbour replaces the current member if it is no worse than it or than past[v], and
past[v] becomes the current member if that is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from rbflex_evo.fitness import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters
from rbflex_evo.strategies import Member, Population, Strategy, Unseen, View, best


class LateAcceptanceParameters(Parameters):
    history: int = Field(10, ge=1)
    neighbours: int = Field(8, ge=1)


class LateAcceptance(Strategy):
    name = "late_acceptance"
    description = "hill climbing that accepts what is no worse than some steps ago"
    Parameters = LateAcceptanceParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: LateAcceptanceParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.current: Member | None = None
        self.past: list[str] = []  # keys, never what they are worth: that changes as others are evaluated
        self._unseen = Unseen(encoding)  # holds nothing that a checkpoint needs

    def ask(self, n: int, view: View) -> list[Genotype]:
        count = min(n, self.parameters.neighbours)
        if self.current is None:
            genotypes = self._unseen.draw_up_to(count, self.rng, view, set())
        else:  # current so many times, each replaced by what is unseen near it
            genotypes = self._unseen.each_or_near([self.current.genotype] * count, self.rng, view, set())
        self.generation += bool(genotypes)
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        candidate = best(Population.of(evaluations), 1, view)[0]
        if self.current is None:
            self.current, self.past = candidate, [candidate.key] * self.parameters.history
        place = self.generation % len(self.past)
        new, now, then = view.utility([candidate.key, self.current.key, self.past[place]])
        if new >= min(now, then):
            self.current, now = candidate, new
        if now > then:
            self.past[place] = self.current.key

    def get_state(self) -> Any:
        return {"current": self.current and self.current.to_json(), "past": list(self.past)}

    def set_state(self, state: Any) -> None:
        self.current, self.past = state["current"] and Member.from_json(state["current"]), list(state["past"])
