"""Finding genotypes whose architecture was not evaluated yet.

Each key is evaluated once, so proposing a seen genotype gives no information. `Unseen` looks for an unseen genotype near a
given one, then anywhere at random, and then, if the space is small enough to be enumerated, among all remaining genotypes.
A small space is therefore exhausted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from rbflex_evo.spaces import Encoding, Genotype

from .strategy import View

ENUMERABLE = 10**6
"""The largest number of genotypes that a strategy enumerates."""

RADII = 4
NEAR_TRIES = 10
DRAWS = 100
DRAWS_OF_UNKNOWN = 10_000


def enumerable(encoding: Encoding) -> bool:
    """True if the size of the space is known and small enough to enumerate its genotypes."""
    return encoding.size is not None and encoding.size <= ENUMERABLE


def until_none(found: Iterable[Genotype | None]) -> list[Genotype]:
    """Returns the genotypes before the first None. `found` is not advanced further."""
    genotypes: list[Genotype] = []
    for genotype in found:
        if genotype is None:
            break
        genotypes.append(genotype)
    return genotypes


class Unseen:
    """Finds genotypes of distinct keys that are neither evaluated nor part of the batch being built.

    The methods add the key of every genotype that they return to `taken`, the keys of the batch. The object needs no
    checkpoint: everything that it caches follows from the encoding and the view.

    Args:
        encoding: Encoding of the genotypes.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._left: list[tuple[Genotype, str]] | None = None

    def among(
        self, genotypes: Iterable[Genotype], view: View, taken: set[str], fits: Callable[[Genotype], bool] | None = None
    ) -> Iterator[Genotype]:
        """Yields the unseen ones of `genotypes`, each key once.

        Args:
            genotypes: Genotypes to choose from; they are read one at a time.
            view: View of the evaluated candidates.
            taken: Keys of the batch; the keys of the yielded genotypes are added.
            fits: Additional condition on a genotype; None for no condition.
        """
        for genotype in genotypes:
            key = view.key(genotype)
            if key not in taken and not view.seen(key) and (fits is None or fits(genotype)):
                taken.add(key)
                yield genotype

    def draw(self, rng: np.random.Generator, view: View, taken: set[str]) -> Genotype | None:
        """Returns a random unseen genotype, or None if none is found; in an enumerable space, None means that none is left."""
        small = enumerable(self.encoding)
        draws = (self.encoding.sample(rng) for _ in range(DRAWS if small else DRAWS_OF_UNKNOWN))
        found = next(self.among(draws, view, taken), None)
        return self._draw_left(rng, view, taken) if found is None and small else found

    def draw_up_to(self, count: int, rng: np.random.Generator, view: View, taken: set[str]) -> list[Genotype]:
        """Returns `count` random unseen genotypes of distinct keys, or fewer if `draw` finds no more."""
        return until_none(self.draw(rng, view, taken) for _ in range(count))

    def each_or_near(self, genotypes: Iterable[Genotype], rng: np.random.Generator, view: View, taken: set[str]) -> list[Genotype]:
        """Returns `genotypes` with each seen one replaced by the result of `near`; ends early if `near` finds nothing."""

        def unseen(genotype: Genotype) -> Genotype | None:
            found = next(self.among([genotype], view, taken), None)
            return self.near(genotype, rng, view, taken) if found is None else found

        return until_none(map(unseen, genotypes))

    def near(self, genotype: Genotype, rng: np.random.Generator, view: View, taken: set[str]) -> Genotype | None:
        """Returns an unseen genotype near `genotype`, else a random one, or None as `draw` does.

        The genotype is a number of random one-gene mutations away. The number grows with the share of seen neighbours.
        """
        found = next(self.among(self._surroundings(genotype, rng), view, taken), None)
        return self.draw(rng, view, taken) if found is None else found

    def _surroundings(self, genotype: Genotype, rng: np.random.Generator) -> Iterator[Genotype]:
        for radius in range(1, RADII + 1):
            for _ in range(NEAR_TRIES):
                neighbour = genotype
                for _ in range(radius):
                    neighbour = self.encoding.mutate(neighbour, rng)
                yield neighbour

    def _draw_left(self, rng: np.random.Generator, view: View, taken: set[str]) -> Genotype | None:
        if self._left is None:
            self._left = [(genotype, view.key(genotype)) for genotype in self.encoding.enumerate()]
        self._left = [(genotype, key) for genotype, key in self._left if not view.seen(key)]
        # Genotypes with a key in `taken` stay in the list, because their evaluation may never be told.
        left = [(genotype, key) for genotype, key in self._left if key not in taken]
        if not left:
            return None
        genotype, key = left[int(rng.integers(len(left)))]
        taken.add(key)
        return genotype
