"""Parameters, multiply-accumulates and cells of a NATS-Bench network by arithmetic on its shapes, without building it.

Costs are those of the raw network, as the official records count them: edges that reach nothing count, too. Tests hold them against
the built network, module by module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbflex_evo.spaces.errors import ConfigError
from rbflex_evo.spaces.space import Cell, Costs

from .cell import EDGES, KERNELS

# (inputs, outputs, kernel, height and width of the output, whether a batch normalisation follows)
Convolution = tuple[int, int, int, tuple[int, int], bool]


def nats_costs(
    operations: Sequence[str],
    stem: int,
    widths: Sequence[int],
    reductions: Sequence[bool],
    classes: int,
    input_shape: Sequence[int],
) -> Costs:
    """Returns the costs of the network that `NatsNetwork` builds of the same arguments.

    Args:
        input_shape: [channels, height, width] of one image.

    Raises:
        ConfigError: if the network takes no such images.
    """
    halvings = 2 ** sum(reductions)
    if len(input_shape) != 3 or input_shape[0] != 3 or input_shape[1] % halvings or input_shape[2] % halvings:
        raise ConfigError(
            f"expected images of 3 channels whose sides are multiples of {halvings}, but they are {list(input_shape)}"
        )
    # The official figure of multiply-accumulates counts the classifier's bias, and no normalisation.
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
                elif name != "none" and read != outputs:  # a skip connection or a pooling that has to change the width
                    yield read, outputs, 1, size, True
        inputs = outputs


def nats_cells(operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool]) -> tuple[Cell, ...]:
    """Returns the cells and residual reductions of a network whose cell has no edge that can be removed.

    In a cell every pair of nodes may be joined by a skip connection; one is actual where the pair is also joined by a path with a
    convolution, which it bypasses. A skip connection that is the only path merely renames its source. A reduction is a cell of two
    layers, whose shortcut is its one skip connection of three possible ones. A projection on a skip connection belongs to it and is
    no layer. A network without a path from input to output has no cells.
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
    """Returns a residual block of two layers: its shortcut is the one skip connection of three possible ones."""
    return Cell(float(outputs), 2, inputs + outputs, outputs, 3 * outputs)


def _cell_graph(operations: Sequence[str]) -> tuple[int, list[int], int]:
    """Returns convolutions on the longest path, the source of each convolution, and the skip connections that bypass one."""
    edges = {edge: name for edge, name in zip(EDGES, operations, strict=True) if name != "none"}
    # Of each pair of nodes, the most convolutions on a path between them, where there is one.
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
