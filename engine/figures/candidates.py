"""Figures of a run's candidates: a score against a cost, and the ranks of the best ones in every score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ranks_of(scores: np.ndarray, positions: Sequence[int]) -> np.ndarray:
    """Returns 1 + how many candidates have a higher value, int64 [positions, scores]; 0 where a candidate has no value.

    Args:
        scores: float64 [n, scores]; NaN where a candidate failed.
        positions: The candidates whose ranks are asked for.
    """
    chosen = scores[list(positions)]
    ranks = 1 + (scores[None, :, :] > chosen[:, None, :]).sum(axis=1)
    return np.where(np.isnan(chosen), 0, ranks)


def draw_against(
    costs: np.ndarray,
    scores: np.ndarray,
    names: tuple[str, str],
    found: tuple[float, float] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draws one point for each candidate.

    Args:
        costs: float64 [n], drawn along x; a candidate without a finite value is left out.
        scores: float64 [n], drawn along y.
        names: Names of the cost and of the score.
        found: The point of the chosen architecture.
        axes: Axes to draw on; new ones by default.
    """
    from matplotlib.ticker import EngFormatter

    figure, axes = plots.panel(f"{names[1]} against {names[0]}", axes)
    both = np.isfinite(costs) & np.isfinite(scores)
    many = int(both.sum()) > plots.RASTER_ABOVE
    axes.scatter(costs[both], scores[both], s=11, color=plots.BLUE, alpha=0.45, linewidths=0, rasterized=many)
    if found is not None and np.isfinite(found).all():
        plots.mark_found(axes, *found)
        plots.legend(axes, "lower right")
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.locator_params(axis="x", nbins=5)
    return plots.label_axes(figure, axes, *names)


def draw_ranks(ranks: np.ndarray, count: int, names: Sequence[str], axes: Axes | None = None) -> Figure:
    """Draws a table of ranks, a row for each candidate, coloured from the best rank to the worst.

    Args:
        ranks: int64 [candidates, scores] from `ranks_of`, the best candidate first; 0 where there is none.
        count: Number of candidates that the ranks are taken among.
        names: Names of the scores.
        axes: Axes to draw on; new ones by default.
    """
    from matplotlib.colors import LinearSegmentedColormap

    figure, axes = plots.panel(f"Ranks of the best among {count:,}", axes)
    # The logarithm keeps rank 1 and rank 20 of thousands apart.
    known = np.where(ranks > 0, ranks, 1).astype(np.float64)
    shares = np.where(ranks > 0, 1 - np.log(known) / max(np.log(max(count, 1)), 1e-9), np.nan)
    colours = LinearSegmentedColormap.from_list("ranks", [plots.PAPER, plots.BLUE])
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for (row, column), rank in np.ndenumerate(ranks):
        colour = plots.PAPER if shares[row, column] > 0.55 else plots.INK
        axes.text(column, row, f"{rank:,}" if rank else "–", ha="center", va="center", fontsize=8.5, color=colour)
    axes.grid(False)
    axes.set_yticks(range(len(ranks)), [str(place) for place in range(1, len(ranks) + 1)])
    labels = axes.set_xticks(range(len(names)), names)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
        if len(labels) > 2:
            label.set(rotation=20, ha="right")
    return plots.label_axes(figure, axes, "", "place in the search")
