"""Parameters, multiply-accumulates and cells of a NATS-Bench network, computed from its shapes without building it.

Costs are those of the raw network, as in the official records, including edges without effect. Tests compare them with the built
network, module by module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbflex_evo.spaces.errors import ConfigError
from rbflex_evo.spaces.space import Cell, Costs

from .cell import EDGES, KERNELS

# Input channels, output channels, kernel size, output size, and whether batch normalisation follows.
Convolution = tuple[int, int, int, tuple[int, int], bool]


def nats_costs(
    operations: Sequence[str],
    stem: int,
    widths: Sequence[int],
    reductions: Sequence[bool],
    classes: int,
    input_shape: Sequence[int],
) -> Costs:
    """Returns the costs of the network that `NatsNetwork` builds from the same arguments, on one image.

    Args:
        operations: Operations of the cell, in the order of `EDGES`.
        stem: Output channels of the stem.
        widths: Output channels of each block after the stem.
        reductions: Whether each block is a reduction rather than a cell.
        classes: Outputs of the classifier.
        input_shape: Shape [channels, height, width] of one image.

    Raises:
        ConfigError: If the network cannot process images of that shape.
    """
    halvings = 2 ** sum(reductions)
    if len(input_shape) != 3 or input_shape[0] != 3 or input_shape[1] % halvings or input_shape[2] % halvings:
        raise ConfigError(
            f"expected images of 3 channels whose sides are multiples of {halvings}, but they are {list(input_shape)}"
        )
    # The official number of multiply-accumulates includes the bias of the classifier and no normalisation.
    last = widths[-1] if widths else stem
    params, flops = (last + 1) * classes + 2 * last, (last + 1) * classes
    for inputs, outputs, kernel, (height, width), normalised in _convolutions(
        operations, stem, widths, reductions, (input_shape[1], input_shape[2])
    ):
        weights = inputs * outputs * kernel * kernel
        params += weights + 2 * outputs * normalised
        flops += weights * height * width
    return Costs(float(params), float(flops))


def _convolutions(
    operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool], size: tuple[int, int]
) -> Iterator[Convolution]:
    yield 3, stem, 3, size, True
    inputs = stem
    for outputs, reduction in zip(widths, reductions, strict=True):
        if reduction:
            size = (size[0] // 2, size[1] // 2)
            yield inputs, outputs, 3, size, True
            yield outputs, outputs, 3, size, True
            yield inputs, outputs, 1, size, False
        else:
            for (source, _), name in zip(EDGES, operations, strict=True):
                read = inputs if source == 0 else outputs
                if name in KERNELS:
                    yield read, outputs, KERNELS[name], size, True
                elif name != "none" and read != outputs:  # a skip connection or pooling that changes the width
                    yield read, outputs, 1, size, True
        inputs = outputs


def nats_cells(operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool]) -> tuple[Cell, ...]:
    """Returns the cells and residual reductions of a network whose cell is pruned.

    A skip connection is possible between every pair of nodes of a cell. It counts if the pair is also connected by a path with a
    convolution, which it bypasses; otherwise it is only an alias of its source. A reduction is a cell of two layers, whose shortcut
    is the only one of three possible skip connections. A projection on a skip connection does not count as a layer. A network
    without a path from input to output has no cells.
    """
    if all(name == "none" for name in operations):
        return ()
    depth, layers, skips = _cell_graph(operations)
    cells = []
    inputs = stem
    for outputs, reduction in zip(widths, reductions, strict=True):
        if reduction:
            cells.append(residual_cell(inputs, outputs))
        elif layers:
            read = sum(inputs if source == 0 else outputs for source in layers)
            cells.append(Cell(float(outputs), depth, read, skips * outputs, len(EDGES) * outputs))
        inputs = outputs
    return tuple(cells)


def residual_cell(inputs: int, outputs: int) -> Cell:
    """Returns a residual block of two layers, whose shortcut is the only one of three possible skip connections."""
    return Cell(float(outputs), 2, inputs + outputs, outputs, 3 * outputs)


def _cell_graph(operations: Sequence[str]) -> tuple[int, list[int], int]:
    """Returns the convolutions on the longest path, the source of each convolution, and the number of skip connections."""
    edges = {edge: name for edge, name in zip(EDGES, operations, strict=True) if name != "none"}
    # Largest number of convolutions on a path between each connected pair of nodes.
    longest: dict[tuple[int, int], int] = {(node, node): 0 for node in range(4)}
    for target in (1, 2, 3):
        for start in range(target):
            lengths = [
                longest[start, source] + (name in KERNELS)
                for (source, end), name in edges.items()
                if end == target and (start, source) in longest
            ]
            if lengths:
                longest[start, target] = max(lengths)
    skips = sum(name == "skip_connect" and longest[edge] > 0 for edge, name in edges.items())
    return longest.get((0, 3), 0), [source for (source, _), name in edges.items() if name in KERNELS], skips
