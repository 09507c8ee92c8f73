"""Mean ranks of strategies with their intervals, one panel for each comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures.small_multiples import BLUE, ORANGE, grid, label, save
from benchmarks.searches.ranking import Comparison
from rbflex_evo.strategies.auto import Auto


def draw(comparisons: Mapping[str, Comparison], path: Path) -> None:
    """Draws a dot for the mean rank of each strategy, best first, and a line for its 95 % interval."""
    longest = max(len(found.standings) for found in comparisons.values())
    figure, panels = grid(list(comparisons), len(comparisons), (5.0, 1.0 + 0.26 * longest))
    for axes, found in zip(panels, comparisons.values(), strict=True):
        for place, standing in enumerate(found.standings):
            colour = ORANGE if standing.strategy == Auto.name else BLUE
            axes.plot(standing.interval, [place, place], color=colour, linewidth=2)
            axes.plot([standing.rank], [place], "o", color=colour, markersize=5)
        axes.set_yticks(range(len(found.standings)), [standing.strategy for standing in found.standings], fontsize=8)
        axes.invert_yaxis()
        label(axes, "mean rank, 1 is the best", "")
    save(figure, path, "Strategies with their defaults")
