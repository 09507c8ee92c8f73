"""An architecture as a small graph for the report: what is drawn, not how."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def carrying(edges: Sequence[tuple[int, int]], inputs: Collection[int], output: int) -> list[bool]:
    """Returns for each edge, which leads to a later node, whether it is on a path from an input to the output."""
    reached, needed = set(inputs), {output}
    for source, target in sorted(edges):
        if source in reached:
            reached.add(target)
    for source, target in sorted(edges, key=lambda edge: -edge[1]):
        if target in needed:
            needed.add(source)
    return [source in reached and target in needed for source, target in edges]
