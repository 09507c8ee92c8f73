"""Random search without replacement, the baseline for every other strategy.

This is the papers' "best of N random architectures" (Mellor et al., ICML 2021; Yamasaki et al., TNNLS 2025), except that
no architecture is evaluated twice.

    at most 10^6 genotypes:  order <- a seeded permutation of all genotypes
                             ask:  continue through order, skipping seen keys, until n are found
    else:                    ask:  draw genotypes, rejecting seen keys, until n are found

A space of at most 10^6 genotypes is therefore exhausted exactly. In a larger one, the search ends after 10,000 consecutive
draws that were all seen.

No evaluation is read, so `BATCHES_AHEAD` further batches are asked for before the first one is told. This changes no proposal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .strategy import Strategy, View
from .unseen import Unseen, enumerable

BATCHES_AHEAD = 3


class RandomSearchParameters(Parameters):
    """Parameters of random search.

    Attributes:
        batch: Number of genotypes per ask; four batches can be evaluated in parallel.
    """

    batch: int = Field(50, ge=1)


class RandomSearch(Strategy):
    """Uniform random search over any encoding, each key once (Mellor et al., ICML 2021).

    `RandomSearchParameters` describes the parameters.
    """

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

    @property
    def batches_ahead(self) -> int:
        """Number of batches that are asked for before the oldest one is told."""
        return BATCHES_AHEAD

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns up to `batch` genotypes that were not evaluated yet."""
        count = min(n, self.parameters.batch)
        if enumerable(self.encoding):
            genotypes = list(islice(self._unseen.among(self._walk(), view, set()), count))
        else:
            genotypes = self._unseen.draw_up_to(count, self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Does nothing: random search does not use evaluations."""

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {"order_seed": self._order_seed, "position": self._position}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self._order_seed = state["order_seed"]
        self._position = state["position"]
        self._order = None

    def _walk(self) -> Iterator[Genotype]:
        """Yields the genotypes from the current position of the permutation on, and advances the position."""
        # The order follows from its seed, so a checkpoint holds two numbers for a space of any size.
        if self._order is None:
            every = list(self.encoding.enumerate())
            rng = np.random.Generator(np.random.PCG64(self._order_seed))
            self._order = [every[i] for i in rng.permutation(len(every))]
        while self._position < len(self._order):
            self._position += 1
            yield self._order[self._position - 1]
