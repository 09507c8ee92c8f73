"""The figures of a correlation: intervals of all scores side by side, and one score's scatter; data first, then the drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.figures import plots

from .document import Judged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"score": plots.BLUE, "combination": plots.ORANGE, "baseline": plots.MUTED}
# A page holds a scatter for each score, so points become pictures sooner than in a report.
RASTER_ABOVE = 400
ROW_INCHES = 0.23
MARGIN_TEXT: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": 8.5, "color": plots.MUTED}


@dataclass(frozen=True)
class Intervals:
    """One statistic of several scores, the best first.

    Attributes:
        names: Names of the scores.
        kinds: Kind of each score: score, combination or baseline.
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
    axes.set_yticks(places, found.names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
        text.set_color(plots.INK)
    axes.set_ylim(-0.6, count - 0.4)
    axes.grid(False, axis="y")
    axes.locator_params(axis="x", nbins=5)
    return plots.label_axes(figure, axes, label, "")


def draw_scatter(scores: np.ndarray, accuracies: np.ndarray, name: str, dataset: str, tau: float | None) -> Figure:
    """Draws one score against accuracies, both float64 [N], NaN where unknown; `tau` is Kendall's with failed ones last."""
    both = np.isfinite(scores) & np.isfinite(accuracies)
    points = plots.Cloud(scores[both], accuracies[both], tau)
    return plots.draw_cloud(points, name, dataset, raster_above=RASTER_ABOVE)
