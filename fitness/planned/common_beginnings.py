"""What the candidates of a space begin with in common, kept from one candidate to the next.

Weights are drawn by name, so a step that reads only the images, or only what reads only the images, gives every candidate that has
it the same map: the stem, what is convolved of it, the first nodes that are fed by nothing else.

    depth 0: the images   1: sums of what was made of them (the stem)   2: sums of what was made of depth 1

What is deeper is rarely met again. Results are the very tensors of the candidate that came first.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rbflex_evo.fitness.passes.byte_cache import ByteCache
from rbflex_evo.spaces.architecture.plan import INPUT, Combine, Convolve, Register, Step

from .eager import Combined

# What a register is known by, and its depth.
Recipe = tuple[Hashable, int]

DEPTH = 2
# The share of the memory that one result may take: at large images nothing is kept rather than little.
SHARE = 8


@dataclass
class KeptSum:
    """A sum, and what observers of a kind made of it: what `reduce` returned, by class."""

    made: Combined
    reduced: dict[type, Tensor | None] = field(default_factory=dict)


class CommonBeginnings:
    """Cache of the results of steps by what they read; the least recently used ones are dropped first.

    Args:
        memory: Size of the kept maps, in bytes.
    """

    def __init__(self, memory: int = 32 * 2**20) -> None:
        self._images: tuple[Tensor, int] | None = None
        self._kept: ByteCache[Any] = ByteCache(memory)
        self._refused: set[Hashable] = set()

    def begin(self, images: Tensor) -> dict[Register, Recipe]:
        """Returns what a forward's registers are known by, and their depth: at first only the images'."""
        # The images are held, so that no other tensor can be taken for them.
        if self._images is None or self._images[0] is not images or self._images[1] != images._version:
            self._images = (images, images._version)
            self._kept.clear()
            self._refused.clear()
        return {INPUT: (INPUT, 0)}

    def key(self, step: Step, known: Mapping[Register, Recipe]) -> Recipe | None:
        """Returns what the step's result is known by, and its depth; None if it is not worth keeping, or too large to be kept."""
        if isinstance(step, Convolve):
            read = [known.get(step.source)]
            what: tuple[Hashable, ...] = (step.weight, step.shape, step.stride, step.padding, step.pooled)
        elif isinstance(step, Combine) and step.terms:
            read = [known.get(term.source) for term in step.terms]
            what = tuple([term.kind for term in step.terms])
        else:
            return None
        there = [source for source in read if source is not None]
        deepest = max((depth for _, depth in there), default=DEPTH)
        if len(there) < len(read) or deepest == DEPTH:
            return None
        key = (what, *(name for name, _ in there))
        return None if key in self._refused else (key, deepest + isinstance(step, Combine))

    def get(self, key: Hashable) -> Any:
        """Returns the kept result of `key`, or None if there is none."""
        return self._kept.get(key)

    def keep(self, key: Hashable, result: Any, maps: Sequence[Tensor]) -> None:
        """Keeps a result that holds `maps`, unless they are too large."""
        size = sum(x.nbytes for x in maps)
        if size > self._kept.limit // SHARE:
            self._refused.add(key)
        else:
            self._kept.keep(key, result, size)
