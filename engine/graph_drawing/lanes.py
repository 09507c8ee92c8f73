"""A line of nodes: edges between neighbours are straight, every other one runs in a lane above or below, short ones inside.

Edges of one lane never overlap, and no label covers another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from .shapes import LINE, Box, Layout, Point, Route, between, label_box, text_size, two_lines

Edges = Sequence[tuple[int, int, str, bool]]

PORT = 11.0


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


def lay_out_line(texts: Sequence[str], edges: Edges, row: range) -> Layout:
    """Puts the nodes on one line and the edges that skip some into lanes above and below it."""
    edges = [(start - row[0], end - row[0], label, live) for start, end, label, live in edges]
    labels = [two_lines(edge[2]) for edge in edges]
    given = lanes([(start, end) for start, end, *_ in edges])
    ports = _ports(edges, given)
    busiest = max(Counter((node, side) for node, side, _ in ports).values(), default=0)
    widest = max([0.0, *(text_size(label)[0] for label in labels)])
    tallest = max([LINE, *(text_size(label)[1] for label in labels)])
    nodes = []
    x = 0.0
    height = max(text_size(texts[node])[1] for node in row) + 14
    for text in (texts[node] for node in row):
        width = max(text_size(text)[0] + 14, PORT * (busiest + 1))
        nodes.append(Box(x + width / 2, 0.0, width, height, text))
        x += width + widest + 26
    heights = [side * (height / 2 + 14 + tallest / 2 + (level - 1) * (tallest + 7)) for side, level in given]
    paths: list[tuple[Point, ...]] = []
    for i, (start, end, *_) in enumerate(edges):
        if not given[i][0]:
            paths.append(between(nodes[start], nodes[end]))
            continue
        edge = given[i][0] * height / 2
        left = nodes[start].x + ports[start, given[i][0], i]
        right = nodes[end].x + ports[end, given[i][0], i]
        paths.append(((left, edge), (left, heights[i]), (right, heights[i]), (right, edge)))
    routes = [Route(path, _lane_label(labels[i], i, paths, nodes), edges[i][3]) for i, path in enumerate(paths)]
    return Layout(tuple(nodes), tuple(row), tuple(routes))


def _ports(edges: Edges, given: Sequence[tuple[int, int]]) -> dict[tuple[int, int, int], float]:
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
