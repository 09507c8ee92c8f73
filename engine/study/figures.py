"""The figures of a comparison over several settings: the critical-difference diagram and performance profiles.

The diagram is that of Demsar (JMLR 7, 2006): contenders on an axis of mean ranks, the best at the left, and a bar over each group
whose mean ranks the test does not tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.comparison.figures import ROW_INCHES, columns_of, legend_below, style_of
from rbflex_evo.engine.figures.plots import BLUE, INK, MUTED, ORANGE, PAPER, label_axes, panel

from .document import Staircase, StudyDocument

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points of a line.
POINTS = 400
# Inches.
WIDTH = 7.6
ROW = 0.25
BAR = 0.12
EDGE = 0.12
CHARACTER = 0.068
LONGEST_NAME = 32
# Room above and below the axis of ranks: title, critical difference and numbers; the first bar.
ABOVE, BELOW = 1.0, 0.16


@dataclass(frozen=True)
class Diagram:
    """Data of a critical-difference diagram.

    Attributes:
        labels: The contenders, the best first.
        ranks: Mean rank of each.
        difference: The critical difference; None if there is no test.
        bars: For each group that is not told apart, its least and largest mean rank and its level, 0 nearest to the axis.
    """

    labels: list[str]
    ranks: list[float]
    difference: float | None
    bars: list[tuple[float, float, int]]


def diagram_of(document: StudyDocument) -> Diagram:
    """Returns the critical-difference diagram of a document."""
    rows = document.by_rank()
    ranks = {row.label: row.mean_rank for row in rows}
    spans = sorted((min(of), max(of)) for of in ([ranks[label] for label in group] for group in document.groups))
    ends: list[float] = []
    bars = []
    for low, high in spans:
        # The first level on which the bar touches no other one.
        level = next((i for i, end in enumerate(ends) if end < low), len(ends))
        ends[level : level + 1] = [high]
        bars.append((low, high, level))
    return Diagram([row.label for row in rows], [row.mean_rank for row in rows], document.critical_difference, bars)


def draw_diagram(diagram: Diagram, title: str) -> Figure:
    """Draws mean ranks, the critical difference, and the groups that it does not tell apart."""
    from matplotlib.figure import Figure

    count = len(diagram.labels)
    left = math.ceil(count / 2)
    names = [_shown(label) for label in diagram.labels]
    levels = 1 + max((level for _, _, level in diagram.bars), default=-1)
    height = ABOVE + BELOW + BAR * levels + ROW * max(left, 1) + EDGE
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    axes.text(EDGE, height - 0.2, title, fontsize=10, fontweight="bold", color=INK, va="center", parse_math=False)

    # Names, with their ranks, need room at both sides of the axis.
    sides = [max((len(name) for name in part), default=0) for part in (names[:left], names[left:])]
    start, end = (EDGE + 0.45 + CHARACTER * side for side in sides)
    place = _Scale(start, WIDTH - end, max(count, 2))
    line = height - ABOVE
    _draw_axis(axes, place, line)
    if diagram.difference is not None:
        _draw_difference(axes, place, line + 0.45, diagram.difference)
    for low, high, level in diagram.bars:
        y = line - BELOW + 0.04 - BAR * level
        axes.plot([place(low) - 0.04, place(high) + 0.04], [y, y], color=ORANGE, linewidth=3.4, solid_capstyle="butt", zorder=3)
    below = line - BELOW - BAR * levels
    for i, (name, rank) in enumerate(zip(names, diagram.ranks, strict=True)):
        at_left = i < left
        # The outermost contenders have the highest rows, so that no line crosses another.
        row = i if at_left else count - 1 - i
        y = below - ROW * (row + 0.5)
        edge = start - 0.06 if at_left else WIDTH - end + 0.06
        axes.plot([place(rank), place(rank), edge], [line, y, y], color=BLUE, linewidth=1.1, zorder=2)
        axes.plot([place(rank)], [line], marker="o", markersize=4, color=BLUE, zorder=4)
        parts = (f"{name}  ", f"{rank:.2f}") if at_left else (f"{rank:.2f}  ", name)
        axes.text(
            edge - 0.05 if at_left else edge + 0.05,
            y,
            "".join(parts),
            ha="right" if at_left else "left",
            va="center",
            fontsize=8.5,
            color=INK,
            parse_math=False,
        )
    return figure


class _Scale:
    """Places of ranks 1 to `count` between two ends, in inches."""

    def __init__(self, start: float, end: float, count: int) -> None:
        self.start, self.end, self.count = start, end, count

    def __call__(self, rank: float) -> float:
        return self.start + (self.end - self.start) * (rank - 1) / (self.count - 1)


def _draw_axis(axes: Axes, place: _Scale, line: float) -> None:
    axes.plot([place(1), place(place.count)], [line, line], color=MUTED, linewidth=1.1)
    # Numbers of two digits need so much room.
    step = math.ceil(0.26 * (place.count - 1) / (place.end - place.start))
    for rank in range(1, place.count + 1, step):
        axes.plot([place(rank)] * 2, [line, line + 0.07], color=MUTED, linewidth=1.1)
        axes.text(place(rank), line + 0.11, f"{rank}", ha="center", va="bottom", fontsize=8.5, color=MUTED)


def _draw_difference(axes: Axes, place: _Scale, y: float, difference: float) -> None:
    """Draws the critical difference as long as it is on the axis, or the whole axis if it is longer."""
    low, high = place(1), place(min(1 + difference, place.count))
    axes.plot([low, high], [y, y], color=ORANGE, linewidth=1.6)
    for x in (low, high):
        axes.plot([x, x], [y - 0.05, y + 0.05], color=ORANGE, linewidth=1.6)
    beyond = ", longer than the axis" if 1 + difference > place.count else ""
    axes.text(high + 0.1, y, f"critical difference {difference:.2f}{beyond}", va="center", fontsize=8.5, color=MUTED)


def _shown(label: str) -> str:
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def draw_distances(profiles: Mapping[str, Staircase]) -> Figure:
    """Draws the share of settings against the distance from the best contender, on a logarithmic axis."""
    positive = [bound for one in profiles.values() for bound in one.bounds if bound > 0]
    # Three decades show what differs; closer ones are as good as equal.
    high = max(positive, default=1.0)
    low = max(min(positive, default=0.1), high / 1000) / 2
    figure, axes = _draw_profiles(profiles, "Distance from the best strategy", low, high * 1.2)
    return label_axes(figure, axes, "relative regret above the least, at most", "share of settings")


def draw_ratios(profiles: Mapping[str, Staircase]) -> Figure:
    """Draws the share of settings against the ratio to the best contender, on a logarithmic axis that begins at 1."""
    high = max((bound for one in profiles.values() for bound in one.bounds), default=2.0)
    figure, axes = _draw_profiles(profiles, "Evaluations to the 99th percentile", 1.0, max(high, 1.5) * 1.05)
    return label_axes(figure, axes, "times the evaluations of the fastest, at most", "share of settings")


def _draw_profiles(profiles: Mapping[str, Staircase], title: str, low: float, high: float) -> tuple[Figure, Axes]:
    from matplotlib.ticker import LogLocator

    figure, axes = panel(title)
    columns = columns_of(list(profiles))
    figure.set_figheight(figure.get_figheight() + ROW_INCHES * -(-len(profiles) // columns))
    x = np.geomspace(low, high, POINTS)
    for i, (label, one) in enumerate(profiles.items()):
        # Each begins elsewhere, so that markers of lines that lie together do not.
        marked = (POINTS * (2 * i + 1) // (10 * max(len(profiles), 1)), POINTS // 5)
        axes.plot(x, shares_at(one, x), drawstyle="steps-post", label=label, markevery=marked, **style_of(i))
    axes.set_xscale("log")
    axes.set(xlim=(low, high), ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 20 * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    legend_below(figure, axes, columns)
    return figure, axes


def shares_at(one: Staircase, bounds: np.ndarray) -> np.ndarray:
    """Returns the shares of a profile at these bounds, float64 [bounds]."""
    shares: np.ndarray = np.array([0.0, *one.shares])[np.searchsorted(one.bounds, bounds, side="right")]
    return shares
