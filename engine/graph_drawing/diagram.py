"""An architecture as a picture: a `Drawing` as `layout` places it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbflex_evo.engine.figures.plots import BLUE, INK, MUTED, PAPER, SOFT
from rbflex_evo.spaces import Drawing

from .layout import lay_out, panels_of
from .shapes import Box, Point, Route

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT = 9.0
CORNER = 8.0
DASHES = (0, (3, 2.5))


def draw_architecture(drawing: Drawing) -> Figure:
    """Draws an architecture; what carries nothing from an input to an output is grey and dashed."""
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
    for text in layout.texts:
        axes.text(text.x - text.width / 2, text.y, text.text, ha="left", va="center", fontsize=FONT, color=MUTED)
    ends, idle = _ends(drawing), _idle(drawing)
    for node, box in zip(layout.shown, layout.nodes, strict=True):
        _draw_node(axes, box, at_end=node in ends, idle=node in idle)
    return figure


def _ends(drawing: Drawing) -> set[int]:
    """Returns the inputs and the output of every panel."""
    ends: set[int] = set()
    for panel, first in panels_of(drawing):
        ends |= {*range(first, first + panel.inputs), first + panel.nodes - 1}
    return ends


def _idle(drawing: Drawing) -> set[int]:
    """Returns the nodes that no live edge touches."""
    return set(range(len(drawing.nodes))) - {node for start, end, _, live in drawing.edges if live for node in (start, end)}


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
            linestyle="-" if route.live else DASHES,
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


def _draw_node(axes: Axes, box: Box, at_end: bool, idle: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (box.x - box.width / 2, box.y - box.height / 2),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=6",
            facecolor=SOFT if at_end else PAPER,
            edgecolor=MUTED if idle or not at_end else BLUE,
            linestyle=DASHES if idle else "-",
            linewidth=1.2 if at_end else 0.9,
        )
    )
    _draw_text(axes, box, MUTED if idle else INK)


def _draw_text(axes: Axes, box: Box, color: str) -> None:
    axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=FONT, color=color, linespacing=1.1, parse_math=False)
