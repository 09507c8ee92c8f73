"""Parameters and multiply-accumulates of a network of two cells, counted from its shapes without building it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbflex_evo.spaces.families.counting import CountedConvolution, MapSize, count, halved, image_size, with_classifier
from rbflex_evo.spaces.space import Costs

from .cells import CellPlan, reductions
from .operations import counted_operation, counted_projection


def cell_network_costs(
    normal: CellPlan, reduce: CellPlan, channels: int, layers: int, classes: int, large: bool, input_shape: Sequence[int]
) -> Costs:
    """Returns the costs of the network that `CellNetwork` builds from the same arguments, on one image.

    Args:
        normal: Normal cell.
        reduce: Reduction cell.
        channels: Channels of the nodes of the first cells.
        layers: Number of cells.
        classes: Outputs of the classifier.
        large: Whether the stem is the one for large images.
        input_shape: Shape [3, height, width] of one image.

    Raises:
        ConfigError: If the network cannot process images of that shape.
    """
    size = image_size(input_shape)
    stem = list(_stem(channels, large, size))
    before, sizes = (stem[-1].normalised, stem[-1].normalised), [convolution.size for convolution in stem]
    convolutions = stem
    size, before_size = sizes[-1], sizes[-2] if large else sizes[-1]
    shrunk = large  # whether the output of the last cell is half as large as that of the cell before it
    for position in range(layers):
        reduction = position in reductions(layers)
        channels *= 2 if reduction else 1
        plan = reduce if reduction else normal
        convolutions.append(counted_projection(before[0], channels, halved(before_size) if shrunk else before_size))
        convolutions.append(counted_projection(before[1], channels, size))
        smaller = halved(size) if reduction else size
        for edges in plan.nodes:
            for state, name in edges:
                read, stride = (size, 2 if reduction else 1) if state < 2 else (smaller, 1)
                convolutions += counted_operation(name, channels, read, stride)
        before, before_size, size, shrunk = (before[1], len(plan.concatenated) * channels), size, smaller, reduction
    return with_classifier(*count(convolutions), before[1], classes)


def _stem(channels: int, large: bool, size: MapSize) -> Iterator[CountedConvolution]:
    """Yields the 3 x 3 convolutions of the stem: one that triples the channels, or for large images three of stride 2."""
    if not large:
        yield CountedConvolution(81 * channels, 3 * channels, size)
        return
    half = channels // 2
    for inputs, outputs in ((3, half), (half, channels), (channels, channels)):
        size = halved(size)
        yield CountedConvolution(9 * inputs * outputs, outputs, size)
