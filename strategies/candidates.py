"""What a strategy keeps of a candidate, and how it finds one that was not evaluated yet.

An evaluation is paid for once a key, so a proposal that was seen teaches nothing. `Unseen` gives the strategies
one way round it: look near, then anywhere at random, then (in a space small enough to be walked) through all that
is left, so that such a space is exhausted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype

from .strategy import View

ENUMERABLE = 10**6
"""The largest number of genotypes that a strategy walks one by one."""

RADII = 4
NEAR_TRIES = 10
DRAWS = 100
DRAWS_OF_UNKNOWN = 10_000


class Candidate(NamedTuple):
    """A told genotype and its key. Never a utility: that is asked of the view whenever it is needed."""

    genotype: Genotype
    key: str

    @classmethod
    def of(cls, evaluation: Evaluation) -> Candidate:
        """Returns what a strategy keeps of an evaluation."""
        return cls(evaluation.genotype, evaluation.key)

    @classmethod
    def from_json(cls, data: Any) -> Candidate:
        """Returns the candidate that `to_json` wrote."""
        return cls(tuple(data["genotype"]), data["key"])

    def to_json(self) -> dict[str, Any]:
        """Returns JSON data."""
        return {"genotype": list(self.genotype), "key": self.key}


def best(candidates: Iterable[Candidate], count: int, view: View) -> list[Candidate]:
    """Returns the `count` best candidates of distinct keys, best first; of equals, the earlier ones."""
    pool = list({candidate.key: candidate for candidate in reversed(list(candidates))}.values())[::-1]
    utilities = view.utility([candidate.key for candidate in pool])
    return [pool[i] for i in np.argsort(-utilities, kind="stable")[:count]]


def enumerable(encoding: Encoding) -> bool:
    """True if the space is known to be small enough to be walked genotype by genotype."""
    return encoding.size is not None and encoding.size <= ENUMERABLE


class Unseen:
    """Finds genotypes whose key was neither evaluated nor is `taken` by the batch that is being made.

    It holds no state that a checkpoint needs: what it remembers follows from the encoding and the view.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._left: list[tuple[Genotype, str]] | None = None

    def take(self, genotype: Genotype, view: View, taken: set[str], fits: Callable[[Genotype], bool] | None = None) -> bool:
        """True if `genotype` is unseen, and `fits` where that is asked for; its key is then taken."""
        key = view.key(genotype)
        if key in taken or view.seen(key) or not (fits is None or fits(genotype)):
            return False
        taken.add(key)
        return True

    def draw(self, rng: np.random.Generator, view: View, taken: set[str]) -> Genotype | None:
        """Returns a random unseen genotype, or None: in an enumerable space only if there is none at all."""
        small = enumerable(self.encoding)
        for _ in range(DRAWS if small else DRAWS_OF_UNKNOWN):
            genotype = self.encoding.sample(rng)
            if self.take(genotype, view, taken):
                return genotype
        return self._draw_left(rng, view, taken) if small else None

    def draw_up_to(self, count: int, rng: np.random.Generator, view: View, taken: set[str]) -> list[Genotype]:
        """Returns `count` random unseen genotypes of distinct keys, fewer only where `draw` finds no more."""
        genotypes: list[Genotype] = []
        while len(genotypes) < count:
            genotype = self.draw(rng, view, taken)
            if genotype is None:
                break
            genotypes.append(genotype)
        return genotypes

    def each_or_near(self, genotypes: Iterable[Genotype], rng: np.random.Generator, view: View, taken: set[str]) -> list[Genotype]:
        """Returns each of `genotypes`, or where it was seen what `near` finds; ends where that finds nothing."""
        found: list[Genotype] = []
        for genotype in genotypes:
            unseen = genotype if self.take(genotype, view, taken) else self.near(genotype, rng, view, taken)
            if unseen is None:
                break
            found.append(unseen)
        return found

    def near(self, genotype: Genotype, rng: np.random.Generator, view: View, taken: set[str]) -> Genotype | None:
        """Returns an unseen genotype near `genotype`, or a random one, or None as `draw` does.

        The more of the surroundings are seen, the more random one-gene steps away it lies.
        """
        for radius in range(1, RADII + 1):
            for _ in range(NEAR_TRIES):
                neighbour = genotype
                for _ in range(radius):
                    neighbour = self.encoding.mutate(neighbour, rng)
                if self.take(neighbour, view, taken):
                    return neighbour
        return self.draw(rng, view, taken)

    def _draw_left(self, rng: np.random.Generator, view: View, taken: set[str]) -> Genotype | None:
        if self._left is None:
            self._left = [(genotype, view.key(genotype)) for genotype in self.encoding.enumerate()]
        self._left = [(genotype, key) for genotype, key in self._left if not view.seen(key)]
        # A taken key is not dropped for good: its evaluation may never be told.
        left = [(genotype, key) for genotype, key in self._left if key not in taken]
        if not left:
            return None
        genotype, key = left[int(rng.integers(len(left)))]
        taken.add(key)
        return genotype
