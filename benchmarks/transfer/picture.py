"""Heat map of a transfer matrix: a row for each score or preset, a column for each setting and task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rbflex_evo.engine.figures.plots import INK, MUTED, PAPER


def draw_heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    summary: np.ndarray,
    headings: Sequence[str],
    path: Path,
    title: str,
) -> None:
    """Draws the matrix with a second panel of summary columns, and writes it as PNG and SVG.

    Args:
        values: float64 [rows, columns] in [-1, 1]; NaN is an empty cell.
        rows: Names of the rows.
        columns: Names of the columns.
        summary: float64 [rows, headings].
        headings: Names of the summary's columns.
        path: Path without the ending.
        title: Heading of the figure.
    """
    from matplotlib.figure import Figure

    height, width = 1.6 + 0.24 * len(rows), 2.4 + 0.46 * (len(columns) + len(headings))
    figure = Figure(figsize=(width, height), facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, 2, width_ratios=[len(columns), len(headings)])
    for axes, matrix, names in zip(panels, (values, summary), (columns, headings), strict=True):
        axes.imshow(matrix, cmap="RdBu", vmin=-0.9, vmax=0.9, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=60, ha="left", rotation_mode="anchor", fontsize=7, color=MUTED)
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(rows)), rows, fontsize=7.5, color=INK)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                shade = "white" if abs(value) > 0.62 else INK
                axes.text(j, i, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=6.5, color=shade)
    panels[1].set_yticks([])
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK)
    for ending in ("png", "svg"):
        figure.savefig(
            path.with_suffix(f".{ending}"), dpi=150, facecolor=PAPER, metadata={"Date": None} if ending == "svg" else None
        )
