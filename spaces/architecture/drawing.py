"""An architecture as a small graph for the report, independent of its layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """A separate part of a drawing, such as one of two cells.

    Attributes:
        title: Title above the part.
        nodes: Number of nodes of the part.
        inputs: Number of inputs; the first nodes are inputs, the last one is the output.
    """

    title: str
    nodes: int
    inputs: int = 1


@dataclass(frozen=True)
class Drawing:
    """An architecture as a graph.

    Attributes:
        nodes: Labels in order, the input first and the output last.
        edges: Edges (from, to, label, live) with node positions; an edge that is not live is drawn grey.
        title: Title of the drawing.
        panels: Parts that are drawn below each other, in the order of their nodes; no edge connects two of them. If empty, the
            drawing is one part without a title.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str, bool], ...]
    title: str = ""
    panels: tuple[Panel, ...] = ()


def chain_drawing(nodes: Sequence[str], title: str) -> Drawing:
    """Returns the drawing of a network whose layers follow one another.

    Args:
        nodes: Labels of the input, the layers and the output, in order.
        title: Title of the drawing.
    """
    return Drawing(tuple(nodes), tuple((i, i + 1, "", True) for i in range(len(nodes) - 1)), title)
