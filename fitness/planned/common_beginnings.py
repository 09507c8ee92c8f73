"""Cache of the first maps of a planned forward, which candidates of a space have in common.

Weights are drawn by name, so a step whose inputs depend on the images and on common steps alone gives the same map for every
candidate that has it: the stem, its convolutions, and the first nodes that read nothing else.

    depth 0: the images   1: sums of maps of the images (the stem)   2: sums of maps of depth 1

Deeper results are rarely reused. Cached tensors are shared, not copied.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rbflex_evo.fitness.passes.byte_cache import ByteCache
from rbflex_evo.spaces.architecture.plan import INPUT, Combine, Convolve, Register, Step

from .eager import Combined

# The computation of a register as a key, and its depth.
Recipe = tuple[Hashable, int]

DEPTH = 2
# A result may take at most 1 / SHARE of the memory, so that for large images nothing is kept instead of little.
SHARE = 8


@dataclass
class KeptSum:
    """Sum that is kept, with its reductions.

    Attributes:
        made: The sum and its ReLU.
        reduced: Results of `reduce` by reduction or class of the observer.
        blocks: Results of `reduce_block`, likewise.
    """

    made: Combined
    reduced: dict[str | type, Tensor | None] = field(default_factory=dict)
    blocks: dict[str | type, Tensor | None] = field(default_factory=dict)


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
        """Returns the recipes of a new forward's registers, at first that of the images alone; other images clear the cache."""
        # The reference keeps the images in memory, so that no other tensor can have their identity.
        if self._images is None or self._images[0] is not images or self._images[1] != images._version:
            self._images = (images, images._version)
            self._kept.clear()
            self._refused.clear()
        return {INPUT: (INPUT, 0)}

    def key(self, step: Step, known: Mapping[Register, Recipe]) -> Recipe | None:
        """Returns the recipe of the step's result; None if the result is not common, too deep or too large to be kept."""
        if isinstance(step, Convolve):
            read = [known.get(step.source)]
            what: tuple[Hashable, ...] = (step.weight, step.shape, step.stride, step.padding, step.pooled)
        elif isinstance(step, Combine) and step.terms:
            read = [known.get(term.source) for term in step.terms]
            what = tuple([term.kind for term in step.terms])
        else:
            return None
        available = [source for source in read if source is not None]
        deepest = max((depth for _, depth in available), default=DEPTH)
        if len(available) < len(read) or deepest == DEPTH:
            return None
        key = (what, *(name for name, _ in available))
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
