"""Boxes, routes and layouts: what a drawing is made of. Lengths are points (1/72 inch), y grows upwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

Point = tuple[float, float]

CHARACTER, WIDE_CHARACTER, LINE = 5.8, 9.0, 11.0  # letters and a line of the font
WIDE = frozenset("mwMW@%")
MARGIN = 9.0


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre, with the text in it."""

    x: float
    y: float
    width: float
    height: float
    text: str

    def moved(self, x: float, y: float) -> Box:
        """Returns the box moved by that much."""
        return replace(self, x=self.x + x, y=self.y + y)

    def overlaps(self, other: Box) -> bool:
        """True if the two share more than a border."""
        return abs(self.x - other.x) < (self.width + other.width) / 2 and abs(self.y - other.y) < (self.height + other.height) / 2


@dataclass(frozen=True)
class Route:
    """The corners that an edge passes, its label if it has one, and whether the network uses it."""

    points: tuple[Point, ...]
    label: Box | None
    live: bool

    def moved(self, x: float, y: float) -> Route:
        """Returns the route moved by that much."""
        points = tuple((a + x, b + y) for a, b in self.points)
        return Route(points, self.label and self.label.moved(x, y), self.live)


@dataclass(frozen=True)
class Layout:
    """Where everything is drawn.

    Attributes:
        nodes: boxes; a node that ends one line and begins the next has two.
        shown: for each box, which node of the drawing it is.
        routes: of the edges.
        texts: Further texts: titles above the panels and the legend of dashed edges.
    """

    nodes: tuple[Box, ...]
    shown: tuple[int, ...]
    routes: tuple[Route, ...]
    texts: tuple[Box, ...] = ()

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Returns left, bottom, right and top of all that is drawn, a margin included."""
        boxes = [*self.nodes, *self.texts, *(route.label for route in self.routes if route.label)]
        x = [box.x + side * box.width / 2 for box in boxes for side in (-1, 1)]
        y = [box.y + side * box.height / 2 for box in boxes for side in (-1, 1)]
        for route in self.routes:
            x += [point[0] for point in route.points]
            y += [point[1] for point in route.points]
        return min(x) - MARGIN, min(y) - MARGIN, max(x) + MARGIN, max(y) + MARGIN

    def moved(self, x: float, y: float) -> Layout:
        """Returns the layout moved by that much."""
        return Layout(
            tuple(box.moved(x, y) for box in self.nodes),
            self.shown,
            tuple(route.moved(x, y) for route in self.routes),
            tuple(box.moved(x, y) for box in self.texts),
        )


def between(first: Box, second: Box) -> tuple[Point, Point]:
    """Returns the ends of a straight edge from one box to the next one in its row or its column."""
    if first.y != second.y:
        return (first.x, first.y - first.height / 2), (second.x, second.y + second.height / 2)
    side = 1 if second.x > first.x else -1
    return (first.x + side * first.width / 2, first.y), (second.x - side * second.width / 2, second.y)


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
    widths = [sum(WIDE_CHARACTER if letter in WIDE else CHARACTER for letter in line) for line in lines]
    return max(widths), len(lines) * LINE


def label_box(text: str, x: float, y: float) -> Box | None:
    """Returns the box of a label at that centre, or None for an empty one."""
    if not text:
        return None
    width, height = text_size(text)
    return Box(x, y, width + 4, height + 2, text)
