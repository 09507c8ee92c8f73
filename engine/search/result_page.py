"""A result as a notebook shows it: the found architecture, its scores and ranks, its drawing and the curves of the search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.figures.front import draw_front, front_data
from rbflex_evo.engine.figures.page import Gallery, Shown, render_page
from rbflex_evo.engine.graph_drawing.diagram import draw_architecture
from rbflex_evo.engine.report.report import Parts
from rbflex_evo.engine.run.result_document import Candidate, ResultDocument
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import SearchSpace

from .result_plots import found_position, members_of, scores_of

CURVES = 3
"""Most curves that are shown; `Result.plot_progress` draws the others."""


def result_page(
    folder: Path, space: SearchSpace, view: ArchiveView, found: ResultDocument, best: Candidate | None, full: ArchiveView | None
) -> str:
    """Returns HTML for a part of a page; what cannot be drawn is left out, and the page says so.

    Args:
        folder: Folder of the run.
        space: Search space of the run.
        view: All evaluations.
        found: Content of result.json.
        best: The best candidate.
        full: The rescored candidates in full, if the search scored in a cheaper form.
    """
    gallery, parts = Gallery(None), Parts()
    contents = {
        "folder": folder,
        "found": found,
        "best": best,
        "scores": _scores(view if full is None else full, best) if best else [],
        "drawing": parts.of("the drawing of the architecture", lambda: _drawing(space, best, gallery), None) if best else None,
        "figures": parts.of("the curves of the search", lambda: list(_figures(view, gallery, best, full)), []) if best else [],
    }
    return render_page("result.html.j2", {**contents, "missing": parts.missing})


def _scores(view: ArchiveView, best: Candidate) -> list[tuple[str, float, int]]:
    return [(name, value, 1 + int(np.sum(scores_of(view, name) > value))) for name, value in best.scores.items()]


def _drawing(space: SearchSpace, best: Candidate, gallery: Gallery) -> Shown:
    return gallery.add("architecture", draw_architecture(space.drawing(tuple(best.genotype))), "Drawing of the found architecture")


def _figures(view: ArchiveView, gallery: Gallery, best: Candidate, full: ArchiveView | None) -> Iterator[Shown]:
    if view.objective.rule == "pareto":
        data = front_data(view if full is None else full)
        up = int(np.argmax(data.signs > 0))
        across = next(place for place in range(len(data.members)) if place != up)
        yield gallery.add("front", draw_front(data, across, up), "The front")
    found = found_position(view, best.key)
    for name in members_of(view)[:CURVES]:
        values = scores_of(view, name)
        mark = None if found is None else (found + 1.0, float(values[found]))
        yield gallery.add(f"progress_{name}", plots.draw_best(plots.best_so_far(values), name, mark), f"Best {name} so far")
