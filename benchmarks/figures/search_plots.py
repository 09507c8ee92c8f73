"""Figures of the search benchmarks. Each function draws one figure from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.figures.plots import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PURPLE, stretch_axis

from .small_multiples import grid, key, label, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HUES = (BLUE, ORANGE, GREEN, PURPLE, INK)
LINES_OF_TEXT = 24  # lines of small text that fit into the height of a panel
Line = Sequence[tuple[float, float]]


def draw_costs(panels: Mapping[str, tuple[Mapping[str, Line], Mapping[str, Line]]], path: Path, title: str) -> None:
    """Draws accuracy against seconds, a line over S for each method: ours filled, the published ones hollow."""
    figure, found = grid(list(panels), 2, (6.2, 3.8))
    for axes, (ours, theirs) in zip(found, panels.values(), strict=True):
        ends = []
        for lines, colour, face, name in ((theirs, ORANGE, "none", "published"), (ours, BLUE, BLUE, "ours")):
            for i, (method, points) in enumerate(lines.items()):
                x, y = np.array(points).T
                axes.plot(x, y, color=colour, linewidth=1, alpha=0.6)
                axes.scatter(x, y, s=26, edgecolors=colour, facecolors=face, label=name if i == 0 else None, zorder=3)
                ends.append((float(y[-1]), (method, float(x[-1]), colour)))
        axes.set_xscale("log")
        places = spread_out([end for end, _ in ends], axes.get_ylim())
        for place, (height, (method, x_end, colour)) in zip(places, sorted(ends), strict=True):
            axes.annotate(method, (x_end, height), xytext=(1.03, place), textcoords=("axes fraction", "data"), fontsize=7,
                          color=colour, va="center", parse_math=False,
                          arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "alpha": 0.6})  # fmt: skip
        label(axes, "seconds of a search", "accuracy, %")
    _key(figure, found)
    save(figure, path, title)


def draw_fronts(
    cloud: tuple[np.ndarray, np.ndarray], true: Line, panels: Mapping[str, Line], path: Path, title: str, x: str, y: str
) -> None:
    """Draws for each score every network (grey), the best network within each limit, and the one that the score selects."""
    figure, found = grid(list(panels), 4, (3.3, 2.7))
    for axes, line in zip(found, panels.values(), strict=True):
        axes.scatter(*cloud, s=1.5, color=GRID, linewidths=0, rasterized=True, zorder=1)
        axes.plot(*np.array(true).T, drawstyle="steps-post", color=INK, linewidth=1.3, label="best within the limit", zorder=3)
        axes.plot(*np.array(line).T, color=ORANGE, linewidth=0.9, marker="o", markersize=3.2, label="taken by the score", zorder=4)
        stretch_axis(axes, np.array([point[1] for line in (*panels.values(), true) for point in line]))
        label(axes, x, y)
    key(figure, found[0])
    save(figure, path, title)


def draw_device_fronts(
    panels: Mapping[str, tuple[tuple[np.ndarray, np.ndarray], Line, Mapping[str, Line]]], path: Path, title: str, x: str, y: str
) -> None:
    """Draws for each device every network (grey), the best one within each limit, and lines of networks that were taken."""
    figure, found = grid(list(panels), 5, (2.9, 2.3))
    for axes, (cloud, true, lines) in zip(found, panels.values(), strict=True):
        axes.scatter(*cloud, s=1.2, color=GRID, linewidths=0, rasterized=True, zorder=1)
        axes.plot(*np.array(true).T, drawstyle="steps-post", color=INK, linewidth=1.2, label="best within the limit", zorder=3)
        for (name, line), hue, form in zip(lines.items(), (BLUE, ORANGE, GREEN), ("-o", "-D", "^"), strict=False):
            axes.plot(*np.array(line).reshape(-1, 2).T, form, color=hue, linewidth=0.8, markersize=2.6, label=name, zorder=4)
        # Networks that compute next to nothing would fill the panel.
        axes.set_ylim(80, 95)
        label(axes, x, y)
    key(figure, found[0])
    save(figure, path, title)


def draw_gaps(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path, title: str, strong: Sequence[str]) -> None:
    """Draws how far each score's network is below the best one, against the share of the space within the limit."""
    figure, (axes,) = grid(["Points below the best network within the limit"], 1, (6.4, 4.2))
    hues = dict(zip(strong, HUES, strict=False))
    grey = True
    for name, (shares, gaps) in curves.items():
        if name not in hues:
            axes.plot(shares, gaps, color=MUTED, linewidth=0.8, alpha=0.45, label="other scores" if grey else None)
            grey = False
    for name, hue in hues.items():
        axes.plot(*curves[name], color=hue, linewidth=1.8, label=name)
    # The scores differ near 0; dead networks are tens of points away.
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_yticks([0, 0.5, 1, 2, 5, 10, 20, 50])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    label(axes, "share of the space within the limit", "accuracy points")
    _key(figure, [axes])
    save(figure, path, title)


def spread_out(ends: Sequence[float], limits: tuple[float, float]) -> list[float]:
    """Returns label positions in ascending order of the line ends, at least one line of text apart."""
    step = (limits[1] - limits[0]) / LINES_OF_TEXT
    wanted = np.sort(ends)
    up, down = wanted.copy(), wanted.copy()
    for i in range(1, len(wanted)):
        up[i] = max(up[i], up[i - 1] + step)
        down[-i - 1] = min(down[-i - 1], down[-i] - step)
    # The mean of pushing all labels up and all down keeps the same minimum distance.
    return [float(place) for place in (up + down) / 2]


def draw_size_baseline(
    cloud: tuple[np.ndarray, np.ndarray], limit: float, searched: Mapping[str, Line], baselines: Mapping[str, tuple[float, float]],
    path: Path, title: str,
) -> None:  # fmt: skip
    """Draws every network's accuracy against its multiply-accumulates, the limit, what searches found, and the baselines."""
    figure, (axes,) = grid(["Test accuracy on CIFAR-10 and multiply-accumulates"], 1, (7.0, 4.6))
    axes.scatter(*cloud, s=2, color=GRID, linewidths=0, rasterized=True, zorder=1)
    axes.axvline(limit, color=MUTED, linewidth=1, linestyle=(0, (4, 2)), label="limit")
    hues = (BLUE, GREEN, PURPLE, INK, MUTED)
    for i, (name, points) in enumerate(searched.items()):
        axes.scatter(*np.array(points).T, s=22, color=hues[i % len(hues)], marker="osv^P<>"[i % 7], alpha=0.75, linewidths=0,
                     label=name, zorder=3)  # fmt: skip
    for (name, point), marker in zip(baselines.items(), "DXp", strict=False):
        axes.scatter(*point, s=60, color=ORANGE, marker=marker, edgecolors="white", label=name, zorder=4)
    points = [point for line in searched.values() for point in line] + list(baselines.values())
    axes.set_ylim(min(p[1] for p in points) - 1.5, float(cloud[1].max()) + 0.3)
    label(axes, "million multiply-accumulates", "accuracy, %")
    box = axes.legend(loc="lower right", fontsize=7.5, labelcolor=INK, frameon=True, edgecolor=GRID)
    for text in box.get_texts():
        text.set_parse_math(False)
    save(figure, path, title)


def draw_strategies(
    panels: Mapping[str, Sequence[tuple[str, np.ndarray]]], marks: Mapping[str, Sequence[tuple[str, float]]], path: Path, title: str
) -> None:
    """Draws each quantity by strategy: every run as a dot, their mean, and lines for reference values."""
    height = 1.2 + 0.3 * max(map(len, panels.values()))
    figure, found = grid(list(panels), len(panels), (4.4, height))
    styles = ((ORANGE, (0, (4, 2))), (GREEN, (0, (1, 1.5))), (INK, "-"))
    for axes, (name, rows) in zip(found, panels.items(), strict=True):
        places = np.arange(len(rows))[::-1]
        for place, (_, values) in zip(places, rows, strict=True):
            # Shifts runs with equal results so that they do not cover each other; the shift has no meaning.
            shift = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
            axes.scatter(values, place + shift, s=5, color=BLUE, alpha=0.35, linewidths=0, zorder=2)
            axes.scatter([np.nanmean(values)], [place], s=34, marker="D", color=BLUE, edgecolors="white", zorder=3)
        for (text, value), (colour, dashes) in zip(marks.get(name, ()), styles, strict=False):
            axes.axvline(value, color=colour, linewidth=1.3, linestyle=dashes, label=text, zorder=1)
        axes.set_yticks(places, [row[0] for row in rows])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        label(axes, name, "")
    _key(figure, found)
    save(figure, path, title)


def _key(figure: Figure, panels: Sequence[Axes]) -> None:
    """Adds one legend with the names of all panels below them."""
    handles = {}
    for axes in panels:
        handles.update({text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)})
    figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=len(handles) or 1, fontsize=8.5, labelcolor=INK,
                  frameon=False)  # fmt: skip
