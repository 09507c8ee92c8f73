"""An architecture as a small graph for the report: what is drawn, not how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """A part of a drawing that stands by itself, such as one of two cells.

    Attributes:
        title: what is written above it.
        nodes: how many of the drawing's nodes are in it.
        inputs: how many of those, the first ones, are inputs; the last one is the output.
    """

    title: str
    nodes: int
    inputs: int = 1


@dataclass(frozen=True)
class Drawing:
    """An architecture as a graph.

    Attributes:
        nodes: labels in order, first the input, last the output.
        edges: (from, to, label, live) with node positions; an edge that is not live is drawn grey.
        panels: parts that are drawn below each other, in the order of their nodes; no edge leads from one to another. Without
            any, all is one part without a title.
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
