"""Where the nodes, edges and labels of a `Drawing` go.

A plain chain is folded into rows; any other graph is laid out on one line, its edges in `lanes`. Panels are placed below each
other, and so are the parts of a line that is too long: a node that no edge passes by ends one part and begins the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from rbflex_evo.spaces import Drawing, Panel

from .lanes import Edges, lay_out_line
from .shapes import MARGIN, Box, Layout, Route, between, label_box, text_size, two_lines

CHAIN_WIDTH, LINE_WIDTH = 400.0, 900.0
ROW_GAP, TITLE_GAP, PANEL_GAP = 16.0, 8.0, 24.0
LEGEND = "dashed: carries nothing from input to output"


def panels_of(drawing: Drawing) -> list[tuple[Panel, int]]:
    """Returns each panel with the position of its first node; one without a title where the drawing has none."""
    panels = drawing.panels or (Panel("", len(drawing.nodes)),)
    return list(zip(panels, accumulate((panel.nodes for panel in panels), initial=0), strict=False))


def lay_out(drawing: Drawing) -> Layout:
    """Places the nodes and routes of a drawing.

    Raises:
        ValueError: if it has no node, an edge does not run from a node to a later one of its panel, or its panels do not share
            out its nodes.
    """
    _check(drawing)
    layouts = []
    for panel, first in panels_of(drawing):
        nodes = range(first, first + panel.nodes)
        layouts.append(_titled(panel.title, _lay_out_panel(drawing, nodes)))
    layout = _stacked(layouts, PANEL_GAP)
    if all(live for *_, live in drawing.edges):
        return layout
    left, bottom, _, _ = layout.extent
    return replace(layout, texts=(*layout.texts, _text(LEGEND, left + MARGIN, bottom - TITLE_GAP)))


def _check(drawing: Drawing) -> None:
    count = len(drawing.nodes)
    if not count:
        raise ValueError("a drawing has at least one node, but this one has none")
    shared = sum(panel.nodes for panel in drawing.panels)
    if drawing.panels and (shared != count or any(panel.nodes < 1 for panel in drawing.panels)):
        raise ValueError(f"panels share out the nodes of a drawing, but they have {shared} of {count}")
    ends = {node: first + panel.nodes for panel, first in panels_of(drawing) for node in range(first, first + panel.nodes)}
    for start, end, *_ in drawing.edges:
        if not 0 <= start < end < count:
            raise ValueError(f"an edge runs from a node to a later one of 0..{count - 1}, but one is {start} > {end}")
        if end >= ends[start]:
            raise ValueError(f"an edge stays in its panel, but {start} > {end} leads to another")


def _lay_out_panel(drawing: Drawing, nodes: range) -> Layout:
    edges = [edge for edge in drawing.edges if edge[0] in nodes]
    if sorted((start, end) for start, end, *_ in edges) == list(pairwise(nodes)):
        return lay_out_chain(drawing.nodes, edges, nodes)
    return _stacked([_line(drawing.nodes, edges, row) for row in _rows(drawing.nodes, edges, nodes)], ROW_GAP)


def _rows(labels: Sequence[str], edges: Edges, nodes: range) -> list[range]:
    """Cuts a line that is too long at nodes that no edge passes by; such a node ends one row and begins the next."""
    cuts = [node for node in nodes[1:-1] if not any(start < node < end for start, end, *_ in edges)]
    rows: list[range] = []
    first = nodes[0]
    while first < nodes[-1] or not rows:
        ends = [node for node in (*cuts, nodes[-1]) if node > first] or [first]
        fitting = [end for end in ends if _width(_line(labels, edges, range(first, end + 1))) <= LINE_WIDTH]
        rows.append(range(first, max(fitting, default=ends[0]) + 1))
        first = rows[-1][-1]
    return rows


def _line(labels: Sequence[str], edges: Edges, row: range) -> Layout:
    return lay_out_line(labels, [edge for edge in edges if row[0] <= edge[0] < row[-1]], row)


def _width(layout: Layout) -> float:
    left, _, right, _ = layout.extent
    return right - left


def _stacked(layouts: Sequence[Layout], gap: float) -> Layout:
    """Returns layouts below each other, their left ends in line."""
    stacked: list[Layout] = []
    y = 0.0
    for layout in layouts:
        left, bottom, _, top = layout.extent
        stacked.append(layout.moved(-left, y - top))
        y -= top - bottom - 2 * MARGIN + gap
    return Layout(
        tuple(box for layout in stacked for box in layout.nodes),
        tuple(node for layout in stacked for node in layout.shown),
        tuple(route for layout in stacked for route in layout.routes),
        tuple(box for layout in stacked for box in layout.texts),
    )


def _titled(title: str, layout: Layout) -> Layout:
    if not title:
        return layout
    left, _, _, top = layout.extent
    return replace(layout, texts=(*layout.texts, _text(title, left + MARGIN, top + TITLE_GAP)))


def _text(text: str, left: float, y: float) -> Box:
    width, height = text_size(text)
    return Box(left + width / 2, y, width, height, text)


def lay_out_chain(labels: Sequence[str], edges: Edges, nodes: range) -> Layout:
    """Folds a chain into rows that run to the right and to the left in turn."""
    edges = sorted(edges)
    written = [two_lines(edge[2]) for edge in edges]
    sizes = [text_size(labels[node]) for node in nodes]
    width = max(size[0] for size in sizes) + 14
    height = max(size[1] for size in sizes) + 12
    gap = max([18.0, *(text_size(label)[0] + 24 for label in written if label)])
    fall = max([18.0, *(text_size(label)[1] + 22 for label in written if label)])
    in_row = max(2, int((CHAIN_WIDTH + gap) // (width + gap)))
    boxes = []
    for i, node in enumerate(nodes):
        row, column = divmod(i, in_row)
        if row % 2:
            column = in_row - 1 - column
        boxes.append(Box(column * (width + gap), -row * (height + fall), width, height, labels[node]))
    routes = []
    for (first, second), label, (*_, live) in zip(pairwise(boxes), written, edges, strict=True):
        points = between(first, second)
        (x0, y0), (x1, y1) = points
        routes.append(Route(points, label_box(label, (x0 + x1) / 2, (y0 + y1) / 2), live))
    return Layout(tuple(boxes), tuple(nodes), tuple(routes))
