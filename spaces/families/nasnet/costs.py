"""Parameters and multiply-accumulates of a network of two cells by arithmetic on its shapes, without building it.

Tests hold them against the built network. The classifier's bias counts as a parameter and multiplies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from rbflex_evo.spaces.errors import ConfigError
from rbflex_evo.spaces.space import Costs

from .operations import MapSize, ceil_half, operation_costs, projection_costs, reduction_costs

# For each node (state, operation's name) twice, and the states of the output.
NamedCell = tuple[Sequence[Sequence[tuple[int, str]]], Sequence[int]]


def cell_network_costs(
    normal: NamedCell, reduce: NamedCell, channels: int, layers: int, classes: int, large: bool, input_shape: Sequence[int]
) -> Costs:
    """Returns the costs of the network that `CellNetwork` builds of the same arguments.

    Args:
        input_shape: [channels, height, width] of one image.

    Raises:
        ConfigError: if the network takes no such images.
    """
    if len(input_shape) != 3 or input_shape[0] != 3:
        raise ConfigError(f"expected images like [3, height, width], but they are {list(input_shape)}")
    size: MapSize = (input_shape[1], input_shape[2])
    costs: list[tuple[int, int]] = []
    if large:
        half = channels // 2
        sizes = [size := halved(size) for _ in range(3)]
        costs += [_plain(a, b, s) for (a, b), s in zip([(3, half), (half, channels), (channels, channels)], sizes, strict=True)]
        before, before_size = (channels, channels), sizes[1]
    else:
        costs.append(_plain(3, 3 * channels, size))
        before, before_size = (3 * channels, 3 * channels), size
    shrunk = large  # what the last cell made is half as large as what the one before it made
    for position in range(layers):
        reduction = position in (layers // 3, 2 * layers // 3)
        channels *= 2 if reduction else 1
        nodes, concatenated = reduce if reduction else normal
        first = reduction_costs if shrunk else projection_costs
        costs += [first(before[0], channels, before_size), projection_costs(before[1], channels, size)]
        smaller = halved(size) if reduction else size
        for edges in nodes:
            for state, name in edges:
                read, stride = (size, 2 if reduction else 1) if state < 2 else (smaller, 1)
                costs.append(operation_costs(name, channels, read, stride))
        before, before_size, size, shrunk = (before[1], len(concatenated) * channels), size, smaller, reduction
    params, flops = (sum(column) for column in zip(*costs, strict=True))
    return Costs(float(params + (before[1] + 1) * classes), float(flops + before[1] * classes))


def halved(size: MapSize) -> MapSize:
    """Returns height and width after stride 2."""
    return ceil_half(size[0]), ceil_half(size[1])


def _plain(inputs: int, outputs: int, size: MapSize) -> tuple[int, int]:
    """Returns the costs of a normalised 3 x 3 convolution whose output has that size."""
    weights = 9 * inputs * outputs
    return weights + 2 * outputs, weights * size[0] * size[1]
