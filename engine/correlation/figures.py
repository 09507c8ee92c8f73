"""The figures of a correlation: every score beside the counts, intervals side by side, one score's scatter; data, then drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.figures import plots

from .document import Judged, JudgedTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"score": plots.BLUE, "combination": plots.ORANGE, "count": plots.MUTED, "baseline": plots.MUTED}
# Colour, and what the key says, of each standing.
STANDINGS = {
    "above": (plots.GREEN, "above all counts"),
    "within": (plots.BLUE, "within noise of the best count"),
    "below": (plots.ORANGE, "below the best count"),
    "count": (plots.MUTED, "a count"),
}
# A page holds a scatter for each score, so points become pictures sooner than in a report.
RASTER_ABOVE = 400
ROW_INCHES = 0.23
WIDE_INCHES = 6.4
MARGIN_TEXT: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": 8.5, "color": plots.MUTED}


@dataclass(frozen=True)
class Intervals:
    """One statistic of several scores, the best first.

    Attributes:
        names: Names of the scores.
        kinds: Kind of each score: score, combination, count or baseline.
        values: float64 [S].
        low: float64 [S], the interval's lower end; `value` where there is none.
        high: float64 [S], its upper end.
    """

    names: list[str]
    kinds: list[str]
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def intervals(judged: Judged, kinds: Mapping[str, str], statistic: str) -> Intervals:
    """Orders the scores that have that statistic by it, highest first.

    Args:
        judged: Statistics by score and name.
        kinds: Kind of each score.
        statistic: Name of the statistic.
    """
    known = {name: (one.value, one.low, one.high) for name, found in judged.items() if (one := found[statistic]).value is not None}
    names = sorted(known, key=lambda name: -known[name][0])
    values, low, high = (np.array([known[name][i] for name in names], dtype=np.float64) for i in range(3))
    ends = [np.where(np.isnan(end), values, end) for end in (low, high)]
    return Intervals(names, [kinds[name] for name in names], values, *ends)


def close_range(found: Intervals) -> tuple[float, float]:
    """Returns the range in which scores are told apart: that of all intervals but the random score's, and a little more."""
    there = [i for i, name in enumerate(found.names) if name != "random"] or list(range(len(found.names)))
    low, high = float(found.low[there].min()), float(found.high[there].max())
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def draw_intervals(found: Intervals, title: str, label: str, limits: tuple[float, float] | None = None) -> Figure:
    """Draws each score as a point with its interval, one below the other; a point outside the limits is written instead."""
    figure, axes = plots.panel(title)
    count = len(found.names)
    figure.set_size_inches(plots.PANEL_INCHES[0], 0.95 + ROW_INCHES * count)
    places = np.arange(count)[::-1]
    for kind, colour in COLOURS.items():
        at = [i for i, one in enumerate(found.kinds) if one == kind]
        axes.hlines(places[at], found.low[at], found.high[at], color=colour, linewidth=2.2, alpha=0.45)
        axes.scatter(found.values[at], places[at], s=20, color=colour, zorder=3)
    if limits is not None:
        axes.set_xlim(*limits)
        for value, place in zip(found.values, places, strict=True):
            if value < limits[0]:
                axes.text(0.01, place, f"◂ {value:.2f}", transform=axes.get_yaxis_transform(), **MARGIN_TEXT)
            elif value > limits[1]:
                axes.text(0.99, place, f"{value:.2f} ▸", transform=axes.get_yaxis_transform(), **{**MARGIN_TEXT, "ha": "right"})
    _name_rows(axes, found.names, places)
    return plots.label_axes(figure, axes, label, "")


@dataclass(frozen=True)
class Standing:
    """Kendall of every score beside the counts, the best first.

    Attributes:
        scores: Kendall and its interval; `kinds` are above, within, below, or count.
        best_count: Name of the best count, None if no count orders the architectures.
        line: Kendall of the best count, 0 without one.
        ceiling: Two figures of the agreement of training runs, the lower first; None if there is one run.
    """

    scores: Intervals
    best_count: str | None
    line: float
    ceiling: tuple[float, float] | None


def standing(table: JudgedTable) -> Standing:
    """Orders scores and counts by Kendall, and says of each on which side of the best count it is."""
    kinds = {name: "count" if (verdict := table.verdicts.get(name)) is None else verdict.kind for name in table.scores}
    best = None if table.best_count is None else table.scores[table.best_count]["kendall"].value
    ends = [value for value in (table.ceiling.between, table.ceiling.of_others) if value is not None]
    ceiling = (min(ends), max(ends)) if ends else None
    return Standing(intervals(table.scores, kinds, "kendall"), table.best_count, best or 0.0, ceiling)


def draw_standing(found: Standing, title: str) -> Figure:
    """Draws scores as points with intervals in the colours of their verdicts, the best count as a line, the ceiling as a band."""
    figure, axes = plots.panel(title)
    shown = found.scores
    count = len(shown.names)
    figure.set_size_inches(WIDE_INCHES, 1.5 + ROW_INCHES * count)
    places = np.arange(count)[::-1]
    name = "chance, no count orders these networks" if found.best_count is None else f"{found.best_count}, the best count"
    axes.axvline(found.line, color=plots.INK, linewidth=1.3, linestyle=(0, (4, 2)), label=name, zorder=2)
    if found.ceiling is not None:
        low, high = found.ceiling
        # Two runs give one figure, which would be a band without width.
        axes.axvspan(
            low - 0.002, high + 0.002, color=plots.PURPLE, alpha=0.3, linewidth=0, label="ceiling: training runs agree this far"
        )
    for kind, (colour, label) in STANDINGS.items():
        at = [i for i, one in enumerate(shown.kinds) if one == kind]
        if not at:
            continue
        axes.hlines(places[at], shown.low[at], shown.high[at], color=colour, linewidth=2.4, alpha=0.45)
        face = plots.PAPER if kind == "count" else colour
        axes.scatter(shown.values[at], places[at], s=26, color=face, edgecolors=colour, linewidths=1.4, zorder=3, label=label)
    for value, place in zip(shown.values, places, strict=True):
        axes.text(1.01, place, f"{round(value, 2) + 0.0:.2f}", transform=axes.get_yaxis_transform(), **MARGIN_TEXT)
    _name_rows(axes, shown.names, places)
    axes.locator_params(axis="x", nbins=9)
    plots.label_axes(figure, axes, "Kendall τ with accuracy (further right is better)", "")
    key = figure.legend(loc="outside lower center", ncols=2, fontsize=8.5, labelcolor=plots.INK, frameon=False)
    for text in key.get_texts():
        text.set_parse_math(False)
    return figure


def _name_rows(axes: Axes, names: Sequence[str], places: np.ndarray) -> None:
    axes.set_yticks(places, names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
        text.set_color(plots.INK)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(False, axis="y")
    axes.locator_params(axis="x", nbins=5)


def draw_scatter(scores: np.ndarray, accuracies: np.ndarray, name: str, dataset: str, tau: float | None) -> Figure:
    """Draws one score against accuracies, both float64 [N], NaN where unknown; `tau` is Kendall's with failed ones last."""
    both = np.isfinite(scores) & np.isfinite(accuracies)
    points = plots.Cloud(scores[both], accuracies[both], tau)
    return plots.draw_cloud(points, name, dataset, raster_above=RASTER_ABOVE)
