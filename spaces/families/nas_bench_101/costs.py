"""Channels of the cells of NAS-Bench-101, and parameters and multiply-accumulates of its networks, counted from their shapes.

The channels of the output are split evenly among the inner nodes that it reads, and the first ones take one more if there is a
remainder. Any other node has as many channels as the widest node that reads it (Ying et al. 2019, section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rbflex_evo.spaces.encodings.dag import Dag
from rbflex_evo.spaces.families.counting import CountedConvolution, count, halved, image_size, with_classifier
from rbflex_evo.spaces.space import Costs

OPERATIONS = ("conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3")
# Kernel size of each convolution, by position in `OPERATIONS`.
CONVOLUTIONS = {0: 1, 1: 3}
# (stack, position in the stack) of each cell.
CELLS = tuple((stack, position) for stack in range(3) for position in range(3))


@dataclass(frozen=True)
class Shapes:
    """Channels of the nodes of one cell.

    Attributes:
        channels: Channels of each inner node.
        projections: Channels of the projected input of the cell, for each inner node or output that reads it.
        sources: The inner nodes that each inner node and the output reads.
    """

    channels: Mapping[int, int]
    projections: Mapping[int, int]
    sources: Mapping[int, tuple[int, ...]]


@lru_cache(maxsize=4096)
def cell_shapes(dag: Dag, outputs: int) -> Shapes:
    """Returns the channels of the nodes of a pruned cell with `outputs` output channels."""
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
    """Returns the input and output channels of a cell; the first cell of each later stack doubles them."""
    outputs = stem * 2**stack
    return (outputs // 2 if stack and not position else outputs), outputs


def nasbench101_costs(dag: Dag, channels: int, classes: int, input_shape: Sequence[int]) -> Costs:
    """Returns the parameters and multiply-accumulates of a network on one image.

    Args:
        dag: The pruned cell.
        channels: Channels of the stem.
        classes: Outputs of the classifier.
        input_shape: Shape [3, height, width] of one image.

    Raises:
        ConfigError: If the network cannot process images of that shape.
    """
    size = image_size(input_shape)
    convolutions = _convolutions(dag, channels)
    counted = [CountedConvolution(weights, outputs, halved(size, stack)) for weights, outputs, stack in convolutions]
    _, last = cell_channels(channels, *CELLS[-1])
    return with_classifier(*count(counted), last, classes)


def _convolutions(dag: Dag, channels: int) -> Iterator[tuple[int, int, int]]:
    """Yields the weights, output channels and stack of every convolution, each followed by batch normalisation."""
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
