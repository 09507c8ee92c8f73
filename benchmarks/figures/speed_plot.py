"""The figure of `speed`: seconds a network against the size of its input and against N."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LABELS = {
    "published": ("published procedure, all cores", "#444444", "s--"),
    "batched_eager_float32": ("ours, eager, one thread", "#1f77b4", "o-"),
    "batched_compiled_float32": ("ours, compiled, one thread", "#d62728", "o-"),
}


def draw(details: Mapping[str, Any], path: Path) -> None:
    """Draws the details' ``input_sizes`` and ``ns`` side by side, both axes logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    panels = (("input_sizes", "size", "input size, pixels (N = 16)"), ("ns", "n", "N, images (32 x 32)"))
    for one, (what, axis, label) in zip(axes, panels, strict=True):
        for name, found in details[what].items():
            title, colour, style = LABELS[name]
            one.plot([row[axis] for row in found], [row["seconds"] for row in found], style, color=colour, label=title, ms=4)
        places = sorted({row[axis] for found in details[what].values() for row in found})
        one.set(xscale="log", yscale="log", xlabel=label)
        one.set_xticks(places, [str(place) for place in places])
        one.xaxis.set_minor_locator(NullLocator())
        one.grid(alpha=0.3, which="major")
        one.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds a network")
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle("Cost of one score: a cell of nats_tss", fontsize=10)
    figure.savefig(path, dpi=150)
