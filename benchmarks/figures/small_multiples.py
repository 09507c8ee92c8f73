"""Small panels side by side, in the style of the report. Each function draws one figure from arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.figures.plots import BLUE, GRID, INK, MUTED, ORANGE, PANEL_INCHES, PAPER, SOFT, cloud, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.shared.comparison import Comparison


def grid(titles: Sequence[str], columns: int, inches: tuple[float, float] = PANEL_INCHES) -> tuple[Figure, list[Axes]]:
    """Returns a figure with one styled panel for each title, in rows of equal length."""
    from matplotlib.figure import Figure

    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(columns * inches[0], rows * inches[1]), facecolor=PAPER, layout="constrained")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(len(titles))]
    for axes, title in zip(panels, titles, strict=True):
        dress(axes, title)
    return figure, panels


def save(figure: Figure, path: Path, title: str) -> None:
    """Writes the figure under a heading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    figure.savefig(path, dpi=150, facecolor=PAPER)


def label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=8.5, color=MUTED, parse_math=False)
    axes.set_ylabel(y, fontsize=8.5, color=MUTED, parse_math=False)


def key(figure: Figure, axes: Axes) -> None:
    """Adds the legend of one panel below all panels, which share it."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), fontsize=8.5, labelcolor=INK, frameon=False)


def draw_bands(panels: Mapping[str, np.ndarray], path: Path, title: str, columns: int, x: str, y: str) -> None:
    """Draws for each panel the mean over its trials [trials, networks] with a shaded band of one standard deviation."""
    figure, found = grid(list(panels), columns)
    for axes, trials in zip(found, panels.values(), strict=True):
        places = np.arange(1, trials.shape[1] + 1)
        mean, deviation = trials.mean(axis=0), trials.std(axis=0)
        axes.fill_between(places, mean - deviation, mean + deviation, color=ORANGE, alpha=0.35, linewidth=0)
        axes.plot(places, mean, color=BLUE, linewidth=1.4)
        label(axes, x, y)
    save(figure, path, title)


def draw_boxes(
    panels: Mapping[str, Mapping[str, np.ndarray]], published: Mapping[str, Mapping[str, float]], path: Path, title: str
) -> None:
    """Draws for each panel a box for each group of values, and a diamond at the paper's mean."""
    figure, found = grid(list(panels), len(panels), (4.4, 3.2))
    for axes, (name, groups) in zip(found, panels.items(), strict=True):
        boxes = axes.boxplot(list(groups.values()), widths=0.5, patch_artist=True, showfliers=False)
        for box in boxes["boxes"]:
            box.set(facecolor=SOFT, edgecolor=BLUE)
        for part in ("whiskers", "caps", "medians"):
            for line in boxes[part]:
                line.set(color=BLUE)
        for place, (group, values) in enumerate(groups.items(), start=1):
            axes.scatter(np.full(len(values), place), values, s=7, color=BLUE, alpha=0.6, linewidths=0, zorder=3)
            if group in published[name]:
                named = "published mean" if place == 1 else None
                axes.scatter([place], [published[name][group]], marker="D", s=34, color=ORANGE, zorder=4, label=named)
        axes.set_xticks(range(1, len(groups) + 1), [group.replace(", ", ",\n") for group in groups])
        label(axes, "", name)
    key(figure, found[0])
    save(figure, path, title)


def draw_clouds(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path, title: str, y: str, columns: int | None = None
) -> None:
    """Draws scores against accuracies, with Kendall's tau over the networks that have both; in one row, or in rows of `columns`."""
    figure, found = grid(list(panels), columns or len(panels))
    for axes, (name, (scores, accuracies)) in zip(found, panels.items(), strict=True):
        points = cloud(scores, accuracies)
        axes.scatter(points.scores, points.accuracies, s=8, color=BLUE, alpha=0.4, linewidths=0)
        tau = "undefined" if points.tau is None else f"{points.tau:.3f}"
        axes.set_title(f"{name}, Kendall τ = {tau}", loc="left", fontsize=10, fontweight="bold", color=INK, pad=10)
        axes.locator_params(axis="x", nbins=5)
        label(axes, name, y)
    save(figure, path, title)


def draw_dumbbells(
    panels: Mapping[str, Sequence[tuple[str, float, float | None]]], names: tuple[str, str], path: Path, title: str, x: str
) -> None:
    """Draws for each row of each panel a dot for its first value and a diamond for its second, joined by a line."""
    height = 1.1 + 0.24 * max(map(len, panels.values()))
    figure, found = grid(list(panels), min(2, len(panels)), (4.6, height))
    for axes, rows in zip(found, panels.values(), strict=True):
        places = np.arange(len(rows))[::-1]
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for place, (_, first, second) in zip(places, rows, strict=True):
            if second is not None:
                axes.plot([first, second], [place, place], color=GRID, linewidth=2.5, zorder=1, solid_capstyle="round")
        axes.scatter([row[1] for row in rows], places, color=BLUE, s=26, zorder=3, label=names[0])
        both = [(place, row[2]) for place, row in zip(places, rows, strict=True) if row[2] is not None]
        axes.scatter([v for _, v in both], [p for p, _ in both], color=ORANGE, marker="D", s=22, zorder=2, label=names[1])
        axes.set_yticks(places, [row[0] for row in rows])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        label(axes, x, "")
    key(figure, found[0])
    save(figure, path, title)


def compared(comparisons: Sequence[Comparison], what: str) -> list[tuple[str, float, float | None]]:
    """Returns dumbbells of ours and the published figure."""
    return [(one.row, one.ours.value, one.published) for one in comparisons if one.what == what and one.ours.value is not None]
