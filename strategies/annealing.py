"""Simulated annealing (Kirkpatrick et al., Science 220, 1983), in batches and on percentiles.

    current <- the best of a random batch                          (or of the warm start)
    for T in start, start * cooling, start * cooling^2, ... while T >= end:
        repeat `steps` times:
            proposals <- `neighbours` unseen genotypes one gene from current, asked as one batch
            candidate <- the best of them
            d <- percentile(candidate) - percentile(current)
            current <- candidate  if d >= 0, else with probability exp(d / T)      (Metropolis)
    begin again with a new random batch, so that any budget can be spent

The defaults are seen in the literature: 25 temperatures x 4 steps x 10 neighbours = 1000 evaluations a cycle.

A temperature between 1 and 8e-4 only means something for differences in [0, 1]. Utilities of a rank aggregate lie
there, a raw score (RBFleX: some -9000) does not. So one rule for every objective: percentile(x) is the share of the
last `memory` told candidates that are worth less than x, equals counted half. It does not change under a monotone
transform of a score, and is taken anew at every step, since ranks change whenever a candidate is evaluated. A batch
that failed as a whole is never moved to, unless current failed too.

Where the one-gene neighbours of current are all seen, proposals come from further away and at last from anywhere;
ask returns nothing more only when no unseen genotype is found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Candidate, Unseen, best
from .recent import Recent
from .strategy import Strategy, View


class AnnealingParameters(Parameters):
    """Parameters of simulated annealing; temperatures are in percentile differences.

    Attributes:
        start_temperature: First temperature of a cycle.
        end_temperature: A cycle ends below this temperature.
        cooling: Factor from one temperature to the next.
        steps: Steps at each temperature.
        neighbours: Neighbours that are evaluated at each step.
        memory: Number of candidates that a percentile is taken over.
    """

    start_temperature: float = Field(1.0, gt=0.0)
    end_temperature: float = Field(8e-4, gt=0.0)
    cooling: float = Field(0.745, gt=0.0, lt=1.0)
    steps: int = Field(4, ge=1)
    neighbours: int = Field(10, ge=1)
    memory: int = Field(1000, ge=2)


class Annealing(Strategy):
    """Simulated annealing over any encoding, one batch of neighbours a step."""

    name = "annealing"
    description = "simulated annealing on percentiles, 10 neighbours a step"
    Parameters: ClassVar[type[Parameters]] = AnnealingParameters
    parameters: AnnealingParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: AnnealingParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.current: Candidate | None = None
        self.step = 0
        self._recent = Recent(self.parameters.memory)
        self._unseen = Unseen(encoding)

    @property
    def temperature(self) -> float:
        """The temperature of the present step."""
        settings = self.parameters
        return settings.start_temperature * settings.cooling ** (self.step // settings.steps)

    def ask(self, n: int, view: View) -> list[Genotype]:
        taken: set[str] = set()
        genotypes: list[Genotype] = []
        while len(genotypes) < min(n, self.parameters.neighbours):
            genotype = self._propose(view, taken)
            if genotype is None:
                break
            genotypes.append(genotype)
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        if not evaluations:
            return
        told = [Candidate.of(evaluation) for evaluation in evaluations]
        self._recent.add(candidate.key for candidate in told)
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
        return {
            "current": None if self.current is None else self.current.to_json(),
            "step": self.step,
            "recent": self._recent.to_json(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.current = None if state["current"] is None else Candidate.from_json(state["current"])
        self.step = state["step"]
        self._recent = Recent(self.parameters.memory, state["recent"])

    def _propose(self, view: View, taken: set[str]) -> Genotype | None:
        if self.current is None:
            return self._unseen.draw(self.rng, view, taken)
        return self._unseen.near(self.current.genotype, self.rng, view, taken)

    def _accepts(self, candidate: Candidate, current: Candidate, view: View) -> bool:
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
