"""The order of layers with the smallest peak of memory (Liberis & Lane 2019, arXiv 1910.05110).

    A layer needs its inputs and its output at the same time. A tensor is kept until its last reader has run. The result is kept.
    live(S)     memory of the tensors of the layers S, which have run, that are still needed
    peak(S)     smallest peak over all orders in which the layers S run
    peak(S + v) = min over the last layer v of  max(peak(S), live(S) + size(v))

The sets S are visited by ascending peak, and of equal peaks the largest first, so that the first visit of the set of all layers is
exact. Two facts keep their number small. No order has a smaller peak than the inputs and the output of any one layer. And a layer
that neither raises the peak nor leaves more memory live may run at once: every later step then has at most as much memory live as
with that layer in its place. Chains and most cells have few sets that remain.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Sets of layers after which the search for the best order gives up.
LIMIT = 100_000


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        sources: Positions of the layers that it reads, all smaller than its own, -1 for the network's input.
        size: Memory of its output.
    """

    sources: frozenset[int]
    size: int


def smallest_peak(layers: Sequence[Layer], input_size: int, limit: int = LIMIT) -> int | None:
    """Returns the smallest peak of memory over all orders of layers, or None if more than `limit` sets of layers were visited.

    Args:
        layers: Layers in an order in which they may run; the last one gives the result.
        input_size: Memory of the network's input, which is kept until its last reader has run.
        limit: Largest number of visited sets.
    """
    if not layers:
        return input_size
    graph = _Graph(layers, input_size)
    every = (1 << len(layers)) - 1
    lowest = max(input_size, *(layer.size + sum(graph.sizes[source] for source in layer.sources) for layer in layers))
    # Peak, minus the number of layers that have run, the layers that have run, the layers that may run next, live memory.
    waiting = [(lowest, 0, 0, graph.first, input_size)]
    visited: set[int] = set()
    while waiting:
        peak, count, done, ready, live = heapq.heappop(waiting)
        if done == every:
            return peak
        if done in visited:
            continue
        visited.add(done)
        if len(visited) > limit:
            return None
        steps = []
        for position in _bits(ready):
            after = done | 1 << position
            during = live + graph.sizes[position]
            kept = during - graph.freed(position, after)
            following = ready & ~(1 << position) | graph.released(position, after)
            steps.append((max(peak, during), count - 1, after, following, kept))
            if during <= peak and kept <= live:
                steps = steps[-1:]
                break
        for step in steps:
            heapq.heappush(waiting, step)
    raise ValueError("the layers have a circle, or one reads a layer that does not exist")


class _Graph:
    """Layers with their readers as sets of bits; position -1 is the network's input."""

    def __init__(self, layers: Sequence[Layer], input_size: int) -> None:
        self.layers = layers
        self.sizes = [*(layer.size for layer in layers), input_size]
        self.readers = [0] * len(self.sizes)
        self.needs = [sum(1 << source for source in layer.sources if source >= 0) for layer in layers]
        for position, layer in enumerate(layers):
            for source in layer.sources:
                self.readers[source] |= 1 << position
        self.first = sum(1 << position for position, need in enumerate(self.needs) if not need)
        self._result = len(layers) - 1

    def freed(self, position: int, done: int) -> int:
        """Returns the memory that a layer frees when it is the last of the layers that have run."""
        ended = [source for source in self.layers[position].sources if not self.readers[source] & ~done and source != self._result]
        unread = 0 if self.readers[position] or position == self._result else self.sizes[position]
        return sum(self.sizes[source] for source in ended) + unread

    def released(self, position: int, done: int) -> int:
        """Returns the layers that may run now that a layer has run."""
        return sum(1 << reader for reader in _bits(self.readers[position]) if not self.needs[reader] & ~done)


def _bits(mask: int) -> Iterator[int]:
    """Yields the positions of the bits of a set, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
