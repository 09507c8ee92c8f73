"""The figures of a comparison, drawn from its document: anytime curves, final scores, and where the time goes.

Up to fifteen contenders stay apart without colour alone: five hues with a marker each, the second five dashed, the third dotted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.figures.plots import BLUE, GREEN, INK, ORANGE, PAPER, PURPLE, label_axes, panel, stretch_axis

from .document import ComparisonDocument, Curve, Times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUES = (BLUE, ORANGE, GREEN, PURPLE, INK)
MARKERS = ("o", "s", "^", "D", "v")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.4)))
ROW_INCHES = 0.21
# A curve begins low; what it was in this first part of the budget may leave the picture.
OPENING = 0.05


@dataclass(frozen=True)
class Line:
    """One contender's curve with its band; float64 [points] each, NaN where there is no value."""

    label: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def lines_of(curves: Mapping[str, Curve], evaluations: Sequence[int]) -> list[Line]:
    """Returns the curves of one quantity of a document's ``anytime``, in its order."""
    x = np.array(evaluations, dtype=np.float64)
    return [Line(label, x, *(np.array(one, dtype=np.float64) for one in (c.mean, c.low, c.high))) for label, c in curves.items()]


def limits(lines: Sequence[Line]) -> tuple[float, float] | None:
    """Returns the range of all means after the opening, None where nothing is known; bands may leave the picture."""
    known = np.concatenate([line.mean[line.x >= OPENING * line.x[-1]] for line in lines] or [np.empty(0)])
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if len(known) else None


def draw_scores(lines: Sequence[Line], title: str, quantity: str) -> Figure:
    """Draws a quantity that grows."""
    figure, axes = _curves(lines, title)
    _show(axes, limits(lines))
    return _finish(figure, axes, lines, quantity)


def draw_regrets(lines: Sequence[Line], title: str, quantity: str) -> Figure:
    """Draws a quantity that shrinks to 0, on a logarithmic axis; a line ends where it has got there."""
    from matplotlib.ticker import LogLocator

    shown = [_positive(line) for line in lines]
    figure, axes = _curves(shown, title)
    found = limits(shown)
    if found is not None:
        axes.set_yscale("log")
        axes.set_ylim(found[0] / 1.4, found[1] * 1.4)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if found[1] < 100 * found[0] else (1,)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    return _finish(figure, axes, lines, quantity)


def draw_accuracies(lines: Sequence[Line], title: str, quantity: str) -> Figure:
    """Draws percentages, spread out towards the good end."""
    figure, axes = _curves(lines, title)
    found = limits(lines)
    _show(axes, found)
    if found is not None:
        stretch_axis(axes, np.array(found))
    return _finish(figure, axes, lines, quantity)


def _show(axes: Axes, found: tuple[float, float] | None) -> None:
    if found is not None:
        low, high = found
        margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)


def draw_finals(finals: Mapping[str, Sequence[float | None]], title: str, quantity: str) -> Figure:
    """Draws every run's last value as a dot, and each contender's median as a line."""
    figure, axes = panel(title)
    figure.set_figheight(1.1 + ROW_INCHES * max(4, 1.3 * len(finals)))
    for row, values in enumerate(finals.values()):
        there = np.array([value for value in values if value is not None], dtype=np.float64)
        # Spread in the order of the seeds: equal values would hide one another.
        offsets = 0.56 * (np.arange(len(there)) / max(len(there) - 1, 1) - 0.5)
        axes.scatter(there, row + offsets, s=9, color=HUES[row % len(HUES)], alpha=0.5, linewidths=0)
        if len(there):
            axes.plot([np.median(there)] * 2, [row - 0.4, row + 0.4], color=INK, linewidth=1.8, zorder=4)
    _name_rows(axes, list(finals))
    return label_axes(figure, axes, quantity, "")


def draw_times(times: Mapping[str, Times]) -> Figure:
    """Draws milliseconds an evaluation: what was waited for scores, and all else."""
    figure, axes = panel("Time an evaluation")
    figure.set_figheight(1.35 + ROW_INCHES * max(4, 1.3 * len(times)))
    rows = np.arange(len(times))
    scoring, strategy = (np.array([getattr(row, name) for row in times.values()]) for name in ("scoring_ms", "strategy_ms"))
    axes.barh(rows, scoring, height=0.6, color=BLUE, label="scoring")
    axes.barh(rows, strategy, left=scoring, height=0.6, color=ORANGE, hatch="////", edgecolor=PAPER, linewidth=0, label="strategy")
    _name_rows(axes, list(times))
    legend_below(figure, axes, 2)
    return label_axes(figure, axes, "milliseconds", "")


def _positive(line: Line) -> Line:
    shown = {name: np.where(getattr(line, name) > 0, getattr(line, name), np.nan) for name in ("mean", "low", "high")}
    # A band that touches 0 has no lower end on this axis; it is drawn from the smallest number that has one.
    smallest = np.nanmin(shown["mean"]) if np.isfinite(shown["mean"]).any() else np.nan
    low = np.where(np.isfinite(shown["mean"]) & ~np.isfinite(shown["low"]), smallest, shown["low"])
    return Line(line.label, line.x, shown["mean"], low, shown["high"])


def _curves(lines: Sequence[Line], title: str) -> tuple[Figure, Axes]:
    figure, axes = panel(title)
    figure.set_figheight(figure.get_figheight() + ROW_INCHES * -(-len(lines) // _columns(lines)))
    for i, line in enumerate(lines):
        style = style_of(i)
        axes.fill_between(line.x, line.low, line.high, color=style["color"], alpha=min(0.16, 0.7 / len(lines)), linewidth=0)
        axes.plot(
            line.x,
            line.mean,
            **style,
            # Each begins elsewhere, so that markers of curves that lie together do not.
            markevery=(min(len(line.x) - 1, 3 + 2 * i), max(1, len(line.x) // 5)),
            label=line.label,
        )
    return figure, axes


def style_of(position: int) -> dict[str, Any]:
    """Returns the style of the line of a contender, by its position among all contenders."""
    hue, dash = position % len(HUES), position // len(HUES) % len(DASHES)
    return {"color": HUES[hue], "linewidth": 1.7, "linestyle": DASHES[dash], "marker": MARKERS[hue], "markersize": 3.6}


def _columns(lines: Sequence[Line]) -> int:
    return columns_of([line.label for line in lines])


def columns_of(labels: Sequence[str]) -> int:
    """Returns the number of columns of a legend with these labels."""
    longest = max(map(len, labels), default=1)
    return 3 if longest <= 10 else 2 if longest <= 22 else 1


def _finish(figure: Figure, axes: Axes, lines: Sequence[Line], quantity: str) -> Figure:
    legend_below(figure, axes, _columns(lines))
    return label_axes(figure, axes, "unique evaluations", quantity)


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Adds a legend under the axes."""
    handles, labels = axes.get_legend_handles_labels()
    style: dict[str, Any] = {"fontsize": 8, "labelcolor": INK, "frameon": False, "columnspacing": 1.2}
    # Long enough for a dash on either side of the marker.
    box = figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=3.2, **style)
    for text in box.get_texts():
        text.set_parse_math(False)


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, color=INK, fontsize=8.5, parse_math=False)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def finals_of(document: ComparisonDocument, column: str) -> dict[str, list[Any]]:
    """Returns a column of the table of runs by contender."""
    labels = [row.label for row in document.contenders if row.runs]
    return {label: [run[column] for run in document.runs if run["strategy"] == label] for label in labels}
