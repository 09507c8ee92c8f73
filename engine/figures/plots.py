"""The figures of a run: for each, a pure function that makes the data and a thin one that draws it.

Every curve is made after the fact from raw scores or known accuracies, never from ranks: ranks taken over archives of
different sizes may not be compared. A figure is one small panel, so that a page can lay panels out side by side or,
on a phone, below each other, without shrinking the text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Ink and paper, then the colour-blind-safe hues of Okabe and Ito, darkened to read on white. On a page each becomes the
# style sheet's variable of that name, so that dark mode recolours the figures too.
INK, MUTED, GRID, PAPER = "#1c2733", "#5b6875", "#dfe4ea", "#fefefe"
BLUE, ORANGE, GREEN, SOFT = "#0068a8", "#c94f00", "#00805e", "#dcebf7"
PURPLE = "#c9589f"  # lighter than Okabe and Ito's, or red-blind eyes would take it for the blue
THEME = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    PAPER: "paper",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    SOFT: "soft",
    PURPLE: "purple",
}
PANEL_INCHES = (3.9, 2.8)
RASTER_ABOVE = 3000  # points; more of them as vectors would make the page slow to open


@dataclass(frozen=True)
class Steps:
    """A staircase: `y[i]` holds from evaluation `x[i]` (counted from 1) to the next; float64 arrays of equal length."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Cloud:
    """Scores against accuracies of the candidates that have both; `tau` is Kendall's, None where it is undefined."""

    scores: np.ndarray
    accuracies: np.ndarray
    tau: float | None


@dataclass(frozen=True)
class Rates:
    """Evaluations per second: `rates[i]` between `edges[i]` and `edges[i + 1]` seconds; `mean` over all of it."""

    edges: np.ndarray
    rates: np.ndarray
    mean: float


def leader_positions(scores: np.ndarray) -> np.ndarray:
    """Returns int64 [n], the position of the best score so far (the earliest of equals), -1 before the first one.

    Args:
        scores: float64 [n] in the order of evaluation; NaN where a candidate failed.
    """
    values = np.where(np.isnan(scores), -np.inf, scores)
    best = np.maximum.accumulate(values) if len(values) else values
    before = np.concatenate([[-np.inf], best[:-1]]) if len(values) else values
    improved = values > before
    return np.maximum.accumulate(np.where(improved, np.arange(len(values)), -1))


def best_so_far(scores: np.ndarray) -> Steps:
    """Returns the best raw score after each evaluation, as its steps and the last evaluation."""
    return follow_leader(scores, scores)


def follow_leader(scores: np.ndarray, values: np.ndarray) -> Steps:
    """Returns `values` of the candidate whose score is the best so far; evaluations before the first score are left out.

    With accuracies as values this is what one would hold, had the search stopped there and this score alone chosen.
    """
    leaders = leader_positions(scores)
    known = np.flatnonzero(leaders >= 0)
    if not len(known):
        return Steps(np.empty(0), np.empty(0))
    changes = known[np.diff(leaders[known], prepend=-1) != 0]
    x = np.union1d(changes, [len(scores) - 1])
    return Steps(x + 1.0, np.asarray(values, dtype=np.float64)[leaders[x]])


def cloud(scores: np.ndarray, accuracies: np.ndarray) -> Cloud:
    """Pairs scores with accuracies, both float64 [n] with NaN where unknown, and ranks one against the other."""
    both = np.isfinite(scores) & np.isfinite(accuracies)
    return Cloud(scores[both], accuracies[both], kendall(scores[both], accuracies[both]))


# Points whose pairs are compared one by one.
FEW = 1000


def kendall(first: np.ndarray, second: np.ndarray) -> float | None:
    """Returns Kendall's tau-b, or None where one side is constant or there are fewer than two pairs."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    if len(first) > FEW:
        from scipy.stats import kendalltau

        return float(kendalltau(first, second).statistic)
    # Importing scipy.stats takes longer than the rest of a small report; over all pairs tau-b is a line.
    one, two = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    return float((one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum()))


def failures_so_far(failed: Sequence[bool]) -> Steps:
    """Returns how many candidates had failed after each evaluation."""
    counts = np.cumsum(np.asarray(failed, dtype=np.float64))
    return Steps(np.arange(1.0, len(counts) + 1), counts)


def rates(seconds: np.ndarray, bins: int = 30) -> Rates | None:
    """Counts evaluations in equal spans of time; None where all of them came at once.

    Args:
        seconds: float64 [n], when each evaluation arrived, since the start of the run.
        bins: the largest number of spans; few evaluations get fewer, so that each holds some.
    """
    # Journals hold microseconds: what lies closer together came at once.
    if len(seconds) < 2 or np.ptp(seconds) < 1e-6:
        return None
    spans = max(1, min(bins, len(seconds) // 4))
    counts, edges = np.histogram(seconds, bins=spans)
    return Rates(edges, counts / np.diff(edges), len(seconds) / float(np.ptp(seconds)))


def accuracy_ticks(low: float, high: float) -> list[float]:
    """Returns round percentages in [low, high], never two that would touch on the stretched axis of `draw_cloud`."""
    round_ones = [v for v in (0, 20, 40, 60, 70, 80, 85, 90, 92, 93, 94, 95, 96, 97, 98, 99) if low <= v <= high]
    bottom, top = stretch(np.array([low, high]))
    ticks: list[float] = []
    place = np.inf
    # From the top down: the good end is what one wants to read.
    for value, at in zip(round_ones[::-1], stretch(np.array(round_ones))[::-1], strict=True):
        if place - at >= 0.09 * (top - bottom):
            ticks.append(float(value))
            place = at
    return ticks[::-1]


def stretch(accuracies: np.ndarray) -> np.ndarray:
    """Maps percentages to minus the logarithm of the error, which spreads out the good ones; increasing."""
    return -np.log(np.maximum(100.5 - np.asarray(accuracies, dtype=np.float64), 1e-3))


def unstretch(values: np.ndarray) -> np.ndarray:
    """Undoes `stretch`."""
    return 100.5 - np.exp(-np.asarray(values, dtype=np.float64))


def draw_best(steps: Steps, name: str, found: tuple[float, float] | None = None, axes: Axes | None = None) -> Figure:
    """Draws the best raw score so far; `found` is where the architecture that the run chose was evaluated."""
    figure, axes = panel(f"Best {name} so far", axes)
    stairs(axes, steps, color=BLUE)
    if found is not None:
        mark_found(axes, *found)
        legend(axes, "lower right")
    return label_axes(figure, axes, "unique evaluations", name)


def draw_accuracies(leader: Steps, best: Steps, name: str, dataset: str) -> Figure:
    """Draws the accuracy of the candidate that leads by `name`, and the best accuracy seen so far, dashed."""
    figure, axes = panel("Accuracy so far")
    stairs(axes, best, color=MUTED, linestyle=(0, (4, 2)), label="best seen")
    stairs(axes, leader, color=GREEN, label=f"leader by {name}")
    stretch_axis(axes, np.concatenate([leader.y, best.y]))
    legend(axes, "lower right")
    return label_axes(figure, axes, "unique evaluations", accuracy_name(dataset) + ", %")


def draw_cloud(
    points: Cloud, name: str, dataset: str, found: tuple[float, float] | None = None, raster_above: int = RASTER_ABOVE
) -> Figure:
    """Draws scores against accuracies with Kendall's tau in the title; `found` is the chosen architecture's pair.

    More points than `raster_above` become a picture within the figure.
    """
    tau = "undefined" if points.tau is None else f"{points.tau:.3f}"
    figure, axes = panel(f"{name}, Kendall τ = {tau}")
    axes.locator_params(axis="x", nbins=5)
    axes.scatter(
        points.scores,
        points.accuracies,
        s=11,
        color=BLUE,
        alpha=0.45,
        linewidths=0,
        rasterized=len(points.scores) > raster_above,
    )
    if found is not None:
        mark_found(axes, *found)
        legend(axes, "lower right")
    stretch_axis(axes, points.accuracies)
    return label_axes(figure, axes, name, accuracy_name(dataset) + ", %")


def draw_failures(steps: Steps) -> Figure:
    """Draws how many candidates had failed after each evaluation."""
    figure, axes = panel("Failed candidates so far")
    stairs(axes, steps, color=ORANGE)
    axes.set_ylim(bottom=0)
    whole_numbers(axes.yaxis)
    return label_axes(figure, axes, "unique evaluations", "failed")


def draw_rates(speed: Rates) -> Figure:
    """Draws evaluations per second over the time of the run, with their mean dashed."""
    figure, axes = panel("Evaluations per second")
    axes.stairs(speed.rates, speed.edges, color=BLUE, linewidth=1.6)
    axes.stairs(speed.rates, speed.edges, fill=True, color=SOFT, zorder=1)
    axes.axhline(speed.mean, color=MUTED, linestyle=(0, (4, 2)), linewidth=1.2, label=f"mean {speed.mean:.3g}")
    axes.set_ylim(0, 1.25 * max(float(speed.rates.max()), speed.mean))
    legend(axes, "upper right")
    return label_axes(figure, axes, "seconds since the start", "evaluations / s")


def accuracy_name(dataset: str) -> str:
    """Returns what accuracies of a data set are called; a table may name its quantity rather than a data set."""
    return dataset if "accuracy" in dataset.lower() else f"{dataset} accuracy"


def panel(title: str, axes: Axes | None = None) -> tuple[Figure, Axes]:
    """Returns a panel in the report's style: a new one, or the given axes and their figure."""
    from matplotlib.figure import Figure

    if axes is None:
        axes = Figure(figsize=PANEL_INCHES, facecolor=PAPER, layout="constrained").add_subplot()
    dress(axes, title)
    return axes.figure, axes  # type: ignore[return-value]


def dress(axes: Axes, title: str) -> None:
    """Gives axes of any figure the report's style."""
    axes.set_facecolor(PAPER)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK, pad=10, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0, pad=4)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def label_axes(figure: Figure, axes: Axes, x: str, y: str) -> Figure:
    """Labels the axes; evaluations are counted in whole numbers."""
    axes.set_xlabel(x, fontsize=8.5, color=MUTED, parse_math=False)
    axes.set_ylabel(y, fontsize=8.5, color=MUTED, parse_math=False)
    if x == "unique evaluations":
        whole_numbers(axes.xaxis)
        left, right = axes.get_xlim()
        if right - left < 1:  # a single evaluation
            axes.set_xlim(0, 2)
    return figure


def whole_numbers(axis: Any) -> None:
    """Puts ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def stairs(axes: Axes, steps: Steps, **style: Any) -> None:
    """Draws a staircase; a single point becomes a dot."""
    marker = "o" if len(steps.x) == 1 else ""
    axes.plot(steps.x, steps.y, drawstyle="steps-post", linewidth=1.8, marker=marker, markersize=4, **style)


def mark_found(axes: Axes, x: float, y: float) -> None:
    """Marks the architecture that was found by a diamond."""
    axes.scatter([x], [y], s=60, marker="D", color=ORANGE, edgecolors=PAPER, linewidths=1.2, zorder=5, label="found")


def legend(axes: Axes, place: Literal["lower right", "upper right"]) -> None:
    """Adds a legend in the report's style."""
    box = axes.legend(loc=place, fontsize=8.5, labelcolor=INK, frameon=True, facecolor=PAPER, edgecolor=GRID)
    for text in box.get_texts():
        text.set_parse_math(False)


def stretch_axis(axes: Axes, accuracies: np.ndarray) -> None:
    """Spreads out the good end of a percentage axis; other quantities, and narrow ranges, keep a plain one."""
    known = accuracies[np.isfinite(accuracies)]
    if not len(known) or known.min() < 0 or known.max() > 100 or np.ptp(known) < 10:
        return
    low, high = unstretch(stretch(np.array([known.min(), known.max()])) + np.array([-0.2, 0.25]))
    axes.set_yscale("function", functions=(stretch, unstretch))
    axes.set_ylim(max(0.0, low), min(100.0, high))
    axes.set_yticks(accuracy_ticks(*axes.get_ylim()))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")


def save(figure: Figure, path: Path, title: str) -> str:
    """Writes the figure as a PNG to `path` and returns it as `svg` does, with the file's name as its own."""
    if path.is_symlink():
        path.unlink()  # so that a link in a folder of somebody else is not followed
    figure.savefig(path, dpi=200, facecolor=PAPER)
    figure.set_layout_engine("none")  # laid out by now; once is enough
    return svg(figure, path.stem, title)


def svg(figure: Figure, name: str, title: str) -> str:
    """Returns the figure as inline SVG, in the page's colours and font.

    Args:
        figure: The figure.
        name: Keeps the ids of several figures on one page apart.
        title: What a screen reader says.
    """
    import matplotlib

    text = io.StringIO()
    nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        # The resolution is that of what is a picture within the figure.
        figure.savefig(text, format="svg", facecolor=PAPER, metadata=nothing, dpi=200)
    return inline(text.getvalue(), name, title)


def inline(svg: str, prefix: str, title: str) -> str:
    """Makes a whole SVG document fit for a page: no prolog, no fixed size, ids of its own, the page's colours."""
    from html import escape

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", body)
    for colour, name in THEME.items():
        body = body.replace(colour, f"var(--{name})")
    opening, rest = body.split(">", 1)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(title)}">{rest}'
