"""Channels of NAS-Bench-101's cells, and what its networks cost by arithmetic; what `networks/nasbench101.py` builds, without it.

The output's channels are split evenly among the inner nodes that it reads, the first ones taking one more where that leaves a
remainder; any other node has as many as the widest that reads it (Ying et al. 2019, section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rbflex_evo.spaces.encodings.dag import Dag
from rbflex_evo.spaces.families.counting import CountedConvolution, count, halved, image_size, with_classifier
from rbflex_evo.spaces.space import Costs

OPERATIONS = ("conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3")
# The kernel of those operations that have one.
CONVOLUTIONS = {0: 1, 1: 3}
# (stack, position in it) of every cell.
CELLS = tuple((stack, position) for stack in range(3) for position in range(3))


@dataclass(frozen=True)
class Shapes:
    """The channels of one cell.

    Attributes:
        channels: of each inner node.
        projections: channels of the projected input, for each inner node and the output that reads the cell's input.
        sources: the inner nodes that each inner node and the output reads.
    """

    channels: Mapping[int, int]
    projections: Mapping[int, int]
    sources: Mapping[int, tuple[int, ...]]


@lru_cache(maxsize=4096)
def cell_shapes(dag: Dag, outputs: int) -> Shapes:
    """Returns the channels of a pruned cell with so many output channels."""
    last = dag.nodes - 1
    sources = {node: tuple(a for a, b in dag.edges if b == node and a != 0) for node in range(1, dag.nodes)}
    channels: dict[int, int] = {}
    if sources[last]:
        share, more = divmod(outputs, len(sources[last]))
        channels = {node: share + (i < more) for i, node in enumerate(sources[last])}
    for node in range(last - 1, 0, -1):
        if node not in channels:
            channels[node] = max(channels[b] for a, b in dag.edges if a == node)
    projections = {b: channels.get(b, outputs) for a, b in dag.edges if a == 0}
    return Shapes(channels, projections, sources)


def cell_channels(stem: int, stack: int, position: int) -> tuple[int, int]:
    """Returns input and output channels of a cell; each stack but the first doubles them in its first cell."""
    outputs = stem * 2**stack
    return (outputs // 2 if stack and not position else outputs), outputs


def nasbench101_costs(dag: Dag, channels: int, classes: int, input_shape: Sequence[int]) -> Costs:
    """Returns the parameters and multiply-accumulates of a pruned cell's network on one image.

    Args:
        channels: of the stem.
        input_shape: [3, height, width] of one image.

    Raises:
        ConfigError: if the network takes no such images.
    """
    size = image_size(input_shape)
    convolutions = _convolutions(dag, channels)
    counted = [CountedConvolution(weights, outputs, halved(size, stack)) for weights, outputs, stack in convolutions]
    _, last = cell_channels(channels, *CELLS[-1])
    return with_classifier(*count(counted), last, classes)


def _convolutions(dag: Dag, channels: int) -> Iterator[tuple[int, int, int]]:
    """Yields weights, output channels and the stack of every convolution, each followed by a batch normalisation."""
    yield 27 * channels, channels, 0
    for stack, position in CELLS:
        inputs, outputs = cell_channels(channels, stack, position)
        shapes = cell_shapes(dag, outputs)
        for projected in shapes.projections.values():
            yield inputs * projected, projected, stack
        for node, operation in enumerate(dag.operations, start=1):
            if operation in CONVOLUTIONS:
                width = shapes.channels[node]
                yield width * width * CONVOLUTIONS[operation] ** 2, width, stack
