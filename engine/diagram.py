"""An architecture as a picture: a `Drawing` laid out from left to right, then drawn.

Nodes stand on one line. Edges between neighbours are straight; every other edge runs in a lane above or below, short ones
inside, so that edges of one lane never overlap and no label covers another. A plain chain is folded into rows instead.
Lengths are points (1/72 inch), y grows upwards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from spaces import Drawing

from .plots import BLUE, INK, MUTED, PAPER, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

FONT = 9.0
CHARACTER, LINE = 5.6, 11.0  # a wide letter and a line of the font
PORT, MARGIN, CORNER = 11.0, 9.0, 8.0
ROW_WIDTH = 400.0


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre, with the text in it."""

    x: float
    y: float
    width: float
    height: float
    text: str

    def overlaps(self, other: Box) -> bool:
        """True if the two share more than a border."""
        return abs(self.x - other.x) < (self.width + other.width) / 2 and abs(self.y - other.y) < (self.height + other.height) / 2


@dataclass(frozen=True)
class Route:
    """The corners that an edge passes, its label if it has one, and whether the network uses it."""

    points: tuple[Point, ...]
    label: Box | None
    live: bool


@dataclass(frozen=True)
class Layout:
    """Where everything is drawn."""

    nodes: tuple[Box, ...]
    routes: tuple[Route, ...]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Returns left, bottom, right and top of all that is drawn, a margin included."""
        boxes = [*self.nodes, *(route.label for route in self.routes if route.label)]
        x = [box.x + side * box.width / 2 for box in boxes for side in (-1, 1)]
        y = [box.y + side * box.height / 2 for box in boxes for side in (-1, 1)]
        for route in self.routes:
            x += [point[0] for point in route.points]
            y += [point[1] for point in route.points]
        return min(x) - MARGIN, min(y) - MARGIN, max(x) + MARGIN, max(y) + MARGIN


def lay_out(drawing: Drawing) -> Layout:
    """Places the nodes and routes of a drawing.

    Raises:
        ValueError: if it has no node, or an edge does not run from a node to a later one.
    """
    count = len(drawing.nodes)
    if not count:
        raise ValueError("a drawing has at least one node, but this one has none")
    for start, end, *_ in drawing.edges:
        if not 0 <= start < end < count:
            raise ValueError(f"an edge runs from a node to a later one of 0..{count - 1}, but one is {start} > {end}")
    spans = sorted((start, end) for start, end, *_ in drawing.edges)
    if spans == [(i, i + 1) for i in range(count - 1)]:
        return lay_out_chain(drawing)
    return lay_out_lanes(drawing)


def lay_out_chain(drawing: Drawing) -> Layout:
    """Folds a chain into rows that run to the right and to the left in turn."""
    edges = sorted(drawing.edges)
    labels = [two_lines(edge[2]) for edge in edges]
    width = max(text_size(text)[0] for text in drawing.nodes) + 14
    height = max(text_size(text)[1] for text in drawing.nodes) + 12
    gap = max([18.0, *(text_size(label)[0] + 24 for label in labels if label)])
    fall = max([18.0, *(text_size(label)[1] + 22 for label in labels if label)])
    in_row = max(2, int((ROW_WIDTH + gap) // (width + gap)))
    nodes = []
    for i, text in enumerate(drawing.nodes):
        row, column = divmod(i, in_row)
        if row % 2:
            column = in_row - 1 - column
        nodes.append(Box(column * (width + gap), -row * (height + fall), width, height, text))
    routes = []
    for (start, end, _, live), label in zip(edges, labels, strict=True):
        points = _between(nodes[start], nodes[end])
        (x0, y0), (x1, y1) = points
        routes.append(Route(points, label_box(label, (x0 + x1) / 2, (y0 + y1) / 2), live))
    return Layout(tuple(nodes), tuple(routes))


def _between(first: Box, second: Box) -> tuple[Point, Point]:
    if first.y != second.y:
        return (first.x, first.y - first.height / 2), (second.x, second.y + second.height / 2)
    side = 1 if second.x > first.x else -1
    return (first.x + side * first.width / 2, first.y), (second.x - side * second.width / 2, second.y)


def lanes(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Gives each edge (from, to) a lane (side, level): side 0 on the line, 1 above, -1 below; level from 1 outwards.

    Edges of one lane share at most an end, and an edge that reaches over another one on its side lies outside it.
    """
    given: list[tuple[int, int]] = [(0, 0)] * len(spans)
    taken: dict[int, list[tuple[int, int, int]]] = {1: [], -1: []}
    straight: set[int] = set()
    for i in sorted(range(len(spans)), key=lambda i: (spans[i][1] - spans[i][0], spans[i])):
        start, end = spans[i]
        if end - start == 1 and start not in straight:
            straight.add(start)
            continue
        levels = {
            side: 1 + max([level for a, b, level in others if max(a, start) < min(b, end)], default=0)
            for side, others in taken.items()
        }
        side = 1 if levels[1] <= levels[-1] else -1
        taken[side].append((start, end, levels[side]))
        given[i] = (side, levels[side])
    return given


def lay_out_lanes(drawing: Drawing) -> Layout:
    """Puts the nodes on one line and the edges that skip some into lanes above and below it."""
    edges = list(drawing.edges)
    labels = [two_lines(edge[2]) for edge in edges]
    given = lanes([(start, end) for start, end, *_ in edges])
    ports = _ports(edges, given)
    busiest = max(Counter((node, side) for node, side, _ in ports).values(), default=0)
    widest = max([0.0, *(text_size(label)[0] for label in labels)])
    tallest = max([LINE, *(text_size(label)[1] for label in labels)])
    nodes = []
    x = 0.0
    height = max(text_size(text)[1] for text in drawing.nodes) + 14
    for text in drawing.nodes:
        width = max(text_size(text)[0] + 14, PORT * (busiest + 1))
        nodes.append(Box(x + width / 2, 0.0, width, height, text))
        x += width + widest + 26
    heights = [side * (height / 2 + 14 + tallest / 2 + (level - 1) * (tallest + 7)) for side, level in given]
    paths: list[tuple[Point, ...]] = []
    for i, (start, end, *_) in enumerate(edges):
        if not given[i][0]:
            paths.append(_between(nodes[start], nodes[end]))
            continue
        edge = given[i][0] * height / 2
        left = nodes[start].x + ports[start, given[i][0], i]
        right = nodes[end].x + ports[end, given[i][0], i]
        paths.append(((left, edge), (left, heights[i]), (right, heights[i]), (right, edge)))
    routes = [Route(path, _lane_label(labels[i], i, paths, nodes), edges[i][3]) for i, path in enumerate(paths)]
    return Layout(tuple(nodes), tuple(routes))


def _ports(edges: Sequence[tuple[int, int, str, bool]], given: Sequence[tuple[int, int]]) -> dict[tuple[int, int, int], float]:
    """Returns where edge i touches a side of a node, (node, side, i) -> offset from the node's centre."""
    touching: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for i, ((start, end, *_), (side, level)) in enumerate(zip(edges, given, strict=True)):
        if side:
            # Arrivals left of departures, and the outer lanes innermost: so no two edges cross at a node.
            touching[end, side].append((0, level, i))
            touching[start, side].append((1, -level, i))
    return {
        (node, side, i): (place - (len(found) - 1) / 2) * PORT
        for (node, side), found in touching.items()
        for place, (_, _, i) in enumerate(sorted(found))
    }


def _lane_label(text: str, own: int, paths: Sequence[tuple[Point, ...]], nodes: Sequence[Box]) -> Box | None:
    """Returns the label of a route in the middle of it, or over the nearest gap between nodes if another edge is there."""
    path = paths[own]
    (left, y), (right, _) = path[len(path) // 2 - 1 : len(path) // 2 + 1]
    middle = (left + right) / 2
    gaps = [
        (a.x + a.width / 2 + b.x - b.width / 2) / 2
        for a, b in pairwise(nodes)
        if left <= a.x + a.width / 2 and b.x - b.width / 2 <= right
    ]
    for x in [middle, *sorted(gaps, key=lambda x: abs(x - middle))]:
        box = label_box(text, x, y)
        if box is None or not any(_crosses(box, other) for i, other in enumerate(paths) if i != own):
            return box
    return label_box(text, middle, y)


def _crosses(box: Box, path: tuple[Point, ...]) -> bool:
    for (x0, y0), (x1, y1) in pairwise(path):
        inside = abs((x0 + x1) / 2 - box.x) < (abs(x1 - x0) + box.width) / 2
        if inside and abs((y0 + y1) / 2 - box.y) < (abs(y1 - y0) + box.height) / 2:
            return True
    return False


def two_lines(text: str) -> str:
    """Breaks a long label at the underscore or space nearest its middle."""
    breaks = [i for i, letter in enumerate(text) if letter in "_ " and 0 < i < len(text) - 1]
    if len(text) < 9 or not breaks or "\n" in text:
        return text
    at = min(breaks, key=lambda i: abs(i - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def text_size(text: str) -> tuple[float, float]:
    """Returns the width and height that a text needs at most."""
    lines = text.split("\n")
    return max(len(line) for line in lines) * CHARACTER, len(lines) * LINE


def label_box(text: str, x: float, y: float) -> Box | None:
    """Returns the box of a label at that centre, or None for an empty one."""
    if not text:
        return None
    width, height = text_size(text)
    return Box(x, y, width + 4, height + 2, text)


def draw_architecture(drawing: Drawing) -> Figure:
    """Draws an architecture; edges that reach nothing or come from nothing are grey and dashed."""
    from matplotlib.figure import Figure

    layout = lay_out(drawing)
    left, bottom, right, top = layout.extent
    figure = Figure(figsize=((right - left) / 72, (top - bottom) / 72), facecolor=PAPER)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.axis("off")
    for route in sorted(layout.routes, key=lambda route: route.live):
        _draw_route(axes, route)
    for route in layout.routes:
        if route.label:
            _draw_label(axes, route.label, INK if route.live else MUTED)
    for i, box in enumerate(layout.nodes):
        _draw_node(axes, box, at_end=i in (0, len(layout.nodes) - 1))
    return figure


def _draw_route(axes: Axes, route: Route) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    vertices, codes = [route.points[0]], [Path.MOVETO]
    for before, corner, after in zip(route.points, route.points[1:], route.points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    tip, (x, y) = route.points[-1], route.points[-2]
    length = max(abs(tip[0] - x) + abs(tip[1] - y), 1e-9)  # the last piece runs along an axis
    dx, dy = (tip[0] - x) / length, (tip[1] - y) / length
    base = (tip[0] - 6 * dx, tip[1] - 6 * dy)
    vertices.append(base)
    codes.append(Path.LINETO)
    color = BLUE if route.live else MUTED
    axes.add_patch(
        PathPatch(
            Path(vertices, codes),
            facecolor="none",
            edgecolor=color,
            linewidth=1.5 if route.live else 1.0,
            linestyle="-" if route.live else (0, (3, 2.5)),
        )
    )
    wings = [(base[0] - 3 * dy, base[1] + 3 * dx), (base[0] + 3 * dy, base[1] - 3 * dx)]
    axes.add_patch(Polygon([tip, *wings], closed=True, facecolor=color, edgecolor="none"))


def _towards(corner: Point, other: Point) -> Point:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = max(abs(dx) + abs(dy), 1e-9)
    share = min(CORNER, length / 2) / length
    return corner[0] + share * dx, corner[1] + share * dy


def _draw_label(axes: Axes, box: Box, color: str) -> None:
    from matplotlib.patches import Rectangle

    corner = (box.x - box.width / 2, box.y - box.height / 2)
    axes.add_patch(Rectangle(corner, box.width, box.height, facecolor=PAPER, edgecolor="none"))
    _draw_text(axes, box, color)


def _draw_node(axes: Axes, box: Box, at_end: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (box.x - box.width / 2, box.y - box.height / 2),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=6",
            facecolor=SOFT if at_end else PAPER,
            edgecolor=BLUE if at_end else MUTED,
            linewidth=1.2 if at_end else 0.9,
        )
    )
    _draw_text(axes, box, INK)


def _draw_text(axes: Axes, box: Box, color: str) -> None:
    axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=FONT, color=color, linespacing=1.1, parse_math=False)
