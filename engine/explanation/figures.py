"""The figures of an explanation, in the style of `plots`: pure functions for the data, thin functions that draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.figures.plots import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PAPER, SOFT, label_axes, panel, whole_numbers

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .document import LayerRecord, Spread

BINS = 30
# Fraction of the lowest scores to leave out; they lie so far away that they would compress the rest of the figure.
LEFT_OUT = 0.1
ROW_INCHES = 0.2


@dataclass(frozen=True)
class BlockShare:
    """The shares of one block of layers in all squared distances and in all units, as fractions."""

    name: str
    layers: int
    distances: float
    units: float


@dataclass(frozen=True)
class Distribution:
    """A histogram of the scores of a run, and the number of low scores that are left out."""

    edges: np.ndarray
    counts: np.ndarray
    left_out: int


def block_shares(layers: Sequence[LayerRecord]) -> list[BlockShare]:
    """Returns the shares of the blocks, in the order of the forward."""
    distance = sum(layer.distance for layer in layers)
    units = sum(layer.units for layer in layers)
    grouped: dict[str, list[LayerRecord]] = {}
    for layer in layers:
        grouped.setdefault(layer.block, []).append(layer)
    return [
        BlockShare(name, len(group), sum(layer.distance for layer in group) / distance, sum(layer.units for layer in group) / units)
        for name, group in grouped.items()
    ]


def distribution(scores: np.ndarray, shown: Sequence[float]) -> Distribution:
    """Returns the histogram of the scores of a run, without the lowest tenth unless a value of `shown` lies there.

    Args:
        scores: The scores, float64 [n].
        shown: Values that must lie within the edges, at least one.
    """
    low = min([*shown, *([np.quantile(scores, LEFT_OUT)] if len(scores) else [])])
    high = max([*shown, *scores])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(scores[scores >= low], bins=BINS, range=(low, high))
    return Distribution(edges, counts, int(np.sum(scores < low)))


def draw_blocks(shares: Sequence[BlockShare], name: str) -> Figure:
    """Draws each block's share of the distances as a bar, and its share of the units as a tick."""
    figure, axes = panel(f"What {name} reads, by block")
    figure.set_figheight(1.3 + ROW_INCHES * max(5, len(shares)))
    rows = np.arange(len(shares))
    axes.barh(rows, [100 * share.distances for share in shares], height=0.62, color=BLUE, label="of the distances")
    units = [100 * share.units for share in shares]
    axes.scatter(units, rows, marker="|", s=90, linewidths=2, color=ORANGE, zorder=4, label="of the units")
    axes.set_yticks(rows, [share.name for share in shares], color=INK, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlim(left=0)
    handles, labels = axes.get_legend_handles_labels()
    _legend(figure, handles[::-1], labels[::-1], 2)
    return label_axes(figure, axes, "share, %", "")


def nearby(spread: Spread, own: float) -> tuple[float, float]:
    """Returns the range of scores, with a margin, that the spread of a candidate covers; the spread has a deviation."""
    around = [own, spread.mean or own]
    reach = [centre + sign * (spread.deviation or 0.0) for centre in around for sign in (-1, 1)]
    there = [*reach, *(value for value in spread.values if value is not None)]
    margin = 0.08 * (max(there) - min(there))
    return min(there) - margin, max(there) + margin


def draw_spread(scores: np.ndarray, own: float, spread: Spread, name: str) -> Figure:
    """Draws the candidate among the others of its run and, enlarged below, its scores under other weights.

    Args:
        scores: The scores of the other candidates, float64 [n].
        own: The score of the candidate.
        spread: The spread of the candidate, with a deviation above 0.
        name: The name of the score.
    """
    low, high = nearby(spread, own)
    found = distribution(scores, [low, high])
    figure, axes = panel(f"{name}: this run, and other weights")
    figure.set_figheight(3.7)
    grid = figure.add_gridspec(2, 1, height_ratios=(2, 1))
    axes.set_subplotspec(grid[0])
    axes.stairs(found.counts, found.edges, fill=True, color=SOFT, zorder=1)
    axes.stairs(found.counts, found.edges, color=BLUE, linewidth=1.2)
    axes.axvspan(low, high, color=MUTED, alpha=0.18, linewidth=0, zorder=0)
    axes.axvline(own, color=ORANGE, linewidth=1.6, zorder=3)
    axes.set_ylim(0, 1.06 * max(1.0, float(found.counts.max())))
    axes.locator_params(axis="x", nbins=5)
    whole_numbers(axes.yaxis)
    axes.set_ylabel("candidates", fontsize=8.5, color=MUTED)
    near = figure.add_subplot(grid[1], facecolor=PAPER)
    _draw_near(near, scores[(scores >= low) & (scores <= high)], own, spread)
    near.set_xlim(low, high)
    _legend(figure, *near.get_legend_handles_labels(), 3)
    return label_axes(figure, near, name, "")


def _draw_near(axes: Axes, others: np.ndarray, own: float, spread: Spread) -> None:
    deviation, mean = spread.deviation or 0.0, spread.mean or 0.0
    there = [value for value in spread.values if value is not None]
    axes.axvspan(own - deviation, own + deviation, color=ORANGE, alpha=0.13, linewidth=0, zorder=0)
    axes.scatter([own], [0], s=56, marker="D", color=ORANGE, edgecolors=PAPER, linewidths=1.2, zorder=5, label="own score")
    axes.plot([mean - deviation, mean + deviation], [0, 0], color=GREEN, linewidth=2.2, zorder=3)
    axes.scatter(there, [0] * len(there), s=24, color=PAPER, edgecolors=GREEN, linewidths=1.2, zorder=4, label="other seeds")
    axes.scatter(others, [-1] * len(others), s=60, marker="|", color=BLUE, linewidths=1, zorder=3, label="candidates")
    axes.set_ylim(-1.6, 0.8)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0, pad=4)


def _legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], columns: int) -> None:
    style: dict[str, Any] = {"fontsize": 8, "labelcolor": INK, "frameon": False, "columnspacing": 1.2, "handletextpad": 0.5}
    box = figure.legend(handles, labels, loc="outside lower left", ncols=columns, **style)
    for text in box.get_texts():
        text.set_parse_math(False)
