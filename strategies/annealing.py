"""Simulated annealing (Kirkpatrick et al., Science 220, 1983), in batches and on percentiles.

    current <- the best of a random batch                          (or of the warm start)
    for T in start, start * cooling, start * cooling^2, ... while T >= end:
        repeat `steps` times:
            proposals <- `neighbours` unseen genotypes one gene from current, asked as one batch
            candidate <- the best of them
            d <- percentile(candidate) - percentile(current)
            current <- candidate  if d >= 0, else with probability exp(d / T)      (Metropolis)
    begin again with a new random batch, so that any budget can be spent

The defaults occur in the literature: 25 temperatures x 4 steps x 10 neighbours = 1000 evaluations per cycle.

Temperatures between 1 and 8e-4 need differences in [0, 1], which utilities do not always give. So the differences are those
of percentiles among the last `memory` told candidates (recent.py), for every objective. If all candidates of a batch failed,
current does not change, unless it failed as well.

If all one-gene neighbours of current are seen, proposals come from further away and at last from the whole space. The
search ends when no unseen genotype is found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .population import Member, Population, best
from .recent import Recent
from .situation import Situation
from .strategy import Strategy, View
from .unseen import Unseen

# Neighbours of a step where the budget decides: the fewer, the more steps.
NEIGHBOURS = 5


class AnnealingParameters(Parameters):
    """Parameters of simulated annealing. Temperatures are on the scale of percentile differences.

    Attributes:
        start_temperature: Temperature of the first step of a cycle.
        end_temperature: Temperature below which a cycle ends.
        cooling: Factor from one temperature to the next.
        steps: Number of steps at each temperature.
        neighbours: Number of genotypes proposed per step.
        memory: Number of last told candidates among which a percentile is computed.
    """

    start_temperature: float = Field(1.0, gt=0.0)
    end_temperature: float = Field(8e-4, gt=0.0)
    cooling: float = Field(0.745, gt=0.0, lt=1.0)
    steps: int = Field(4, ge=1)
    neighbours: int = Field(10, ge=1)
    memory: int = Field(1000, ge=2)


class Annealing(Strategy):
    """Simulated annealing over any encoding, one batch of neighbours per step (Kirkpatrick et al., Science 220, 1983).

    The best of a batch replaces the current member by the Metropolis rule, on percentiles. `AnnealingParameters` describes
    the parameters.
    """

    name = "annealing"
    description = "simulated annealing on percentiles, 10 neighbours a step"
    default_rule = "5 neighbours and one step at each temperature, cooled so that one cycle takes the budget"
    Parameters: ClassVar[type[Parameters]] = AnnealingParameters
    parameters: AnnealingParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns one step at each temperature, and a cooling that spreads one cycle over the budget."""
        chosen = AnnealingParameters(**{"neighbours": NEIGHBOURS, "steps": 1, **given})
        levels = max(situation.evaluations / (chosen.neighbours * chosen.steps), 1.0)
        cooling = (chosen.end_temperature / chosen.start_temperature) ** (1 / levels)
        # Without a cycle, as where the end is hotter than the start, the default of the class holds.
        fitting = {"cooling": round(cooling, 6)} if 0.0 < round(cooling, 6) < 1.0 else {}
        return {"neighbours": NEIGHBOURS, "steps": 1, **fitting}

    def __init__(self, encoding: Encoding, seed: int, parameters: AnnealingParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.current: Member | None = None
        self.step = 0
        self._recent = Recent(self.parameters.memory)
        self._unseen = Unseen(encoding)

    @property
    def temperature(self) -> float:
        """Temperature of the current step."""
        settings = self.parameters
        return settings.start_temperature * settings.cooling ** (self.step // settings.steps)

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns up to `neighbours` unseen genotypes near the current one, or random ones if there is none."""
        count = min(n, self.parameters.neighbours)
        if self.current is None:
            genotypes = self._unseen.draw_up_to(count, self.rng, view, set())
        else:
            # The current genotype was seen, so each repetition is replaced with an unseen genotype near it.
            genotypes = self._unseen.each_or_near([self.current.genotype] * count, self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Replaces the current genotype by the best one told, by the Metropolis rule, and cools."""
        if not evaluations:
            return
        told = Population.of(evaluations)
        self._recent.add(member.key for member in told)
        warm_start = self.generation == 0
        if self.current is None or warm_start:
            known = told if self.current is None else [self.current, *told]
            self.current = best(known, 1, view)[0]
            return
        candidate = best(told, 1, view)[0]
        if self._accepts(candidate, self.current, view):
            self.current = candidate
        self._cool()

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {
            "current": None if self.current is None else self.current.to_json(),
            "step": self.step,
            "recent": self._recent.to_json(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self.current = None if state["current"] is None else Member.from_json(state["current"])
        self.step = state["step"]
        self._recent = Recent(self.parameters.memory, state["recent"])

    def _accepts(self, candidate: Member, current: Member, view: View) -> bool:
        utilities, percentiles = self._recent.worth([candidate.key, current.key], view)
        if utilities[0] >= utilities[1]:
            return True
        if np.isneginf(utilities[0]):
            return False
        difference = percentiles[0] - percentiles[1]
        return bool(self.rng.random() < math.exp(difference / self.temperature))

    def _cool(self) -> None:
        self.step += 1
        if self.temperature < self.parameters.end_temperature:
            self.current = None
            self.step = 0
