"""The map of a run: the utility of the best candidate in every cell of a grid over costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def heat(places: np.ndarray, utilities: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Returns the best utility of each cell of the first two axes, float64 [cells along y, cells along x]; NaN where there is none.

    A grid of one axis has one row. Of further axes, the best cell is taken.

    Args:
        places: Part of each axis that each elite is in, int64 [elites, axes].
        utilities: Utilities of the elites, float64 [elites].
        shape: Number of parts of each axis.
    """
    rows = shape[1] if len(shape) > 1 else 1
    table = np.full((rows, shape[0]), -np.inf)
    np.maximum.at(table, (places[:, 1] if len(shape) > 1 else np.zeros(len(places), dtype=np.int64), places[:, 0]), utilities)
    return np.where(np.isneginf(table), np.nan, table)


def draw_map(table: np.ndarray, names: Sequence[str], bounds: Sequence[tuple[float, float]], quantity: str) -> Figure:
    """Draws a map: cells by colour, darker is better, empty ones blank.

    Args:
        table: Utilities as `heat` returns them.
        names: Names of the axes; the first two are drawn.
        bounds: Lower and upper bound of each axis.
        quantity: What the colour is.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import EngFormatter

    figure, axes = plots.panel(f"best {quantity} by {' and '.join(names[:2])}")
    low, high = bounds[1] if len(names) > 1 else (0.0, 1.0)
    colours = LinearSegmentedColormap.from_list("map", [plots.SOFT, plots.BLUE, plots.INK])
    edges = [np.linspace(*bounds[0], table.shape[1] + 1), np.linspace(low, high, table.shape[0] + 1)]
    mesh = axes.pcolormesh(*edges, np.ma.masked_invalid(table), cmap=colours, rasterized=True)
    bar = figure.colorbar(mesh, ax=axes)
    bar.ax.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.locator_params(axis="x", nbins=5)
    if len(names) > 1:
        axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    else:
        axes.set_yticks([])
    return plots.label_axes(figure, axes, names[0], names[1] if len(names) > 1 else "")
