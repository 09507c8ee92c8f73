"""Random search without replacement: the baseline that every other strategy has to beat.

The papers' own "best of N random architectures" (Mellor et al., ICML 2021; Yamasaki et al., TNNLS 2025), but
no architecture is paid for twice.

    at most 10^6 genotypes:  order <- a seeded permutation of all genotypes
                             ask:  walk on through order, skipping keys that were seen, until n are found
    else:                    ask:  draw genotypes, rejecting keys that were seen, until n are found

A walked space is therefore exhausted exactly. A larger one ends when 10,000 draws in a row were all seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Unseen, enumerable
from .strategy import Strategy, View


class RandomSearchParameters(Parameters):
    """Parameters of random search; a larger batch keeps more workers busy.

    Attributes:
        batch: Genotypes that are asked for at once.
    """

    batch: int = Field(50, ge=1)


class RandomSearch(Strategy):
    """Proposes unseen genotypes uniformly at random, each key once."""

    name = "random"
    description = "uniform, without replacement"
    Parameters: ClassVar[type[Parameters]] = RandomSearchParameters
    parameters: RandomSearchParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: RandomSearchParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self._unseen = Unseen(encoding)
        self._order_seed = int(self.rng.integers(2**32))
        self._position = 0
        self._order: list[Genotype] | None = None

    def ask(self, n: int, view: View) -> list[Genotype]:
        count = min(n, self.parameters.batch)
        genotypes = self._walk(count, view) if enumerable(self.encoding) else self._unseen.draw_up_to(count, self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Learns nothing: that is the point of a baseline."""

    def get_state(self) -> dict[str, Any]:
        return {"order_seed": self._order_seed, "position": self._position}

    def set_state(self, state: dict[str, Any]) -> None:
        self._order_seed = state["order_seed"]
        self._position = state["position"]
        self._order = None

    def _walk(self, count: int, view: View) -> list[Genotype]:
        order = self._permutation()
        taken: set[str] = set()
        genotypes: list[Genotype] = []
        while len(genotypes) < count and self._position < len(order):
            genotype = order[self._position]
            self._position += 1
            if self._unseen.take(genotype, view, taken):
                genotypes.append(genotype)
        return genotypes

    def _permutation(self) -> list[Genotype]:
        # The order follows from its seed, so a checkpoint holds two numbers whatever the size of the space.
        if self._order is None:
            every = list(self.encoding.enumerate())
            rng = np.random.Generator(np.random.PCG64(self._order_seed))
            self._order = [every[i] for i in rng.permutation(len(every))]
        return self._order
