"""All that a comparison leaves to be read: comparison.md, runs.csv, comparison.json, and comparison.html with its figures.

The page is one file that loads nothing from a network, in the style of a run's report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rbflex_evo.engine.figures.page import Gallery, Shown, render_page
from rbflex_evo.engine.figures.plots import accuracy_name
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.terminal.messages import attempt
from rbflex_evo.engine.terminal.wording import flat

from . import figures as draw
from .document import ComparisonDocument, write_comparison
from .tables import OPTIMUM, headline, markdown, runs_csv, sheets, title_of, wins


def write_all(folder: Path, document: ComparisonDocument, config_text: str) -> Path | None:
    """Writes every file of a comparison into its folder and returns the page's path; None, said, if only the page failed.

    Raises:
        RunError: if one cannot be written.
    """
    write_comparison(folder, document)
    replace_text(folder / "comparison.md", markdown(document))
    replace_text(folder / "runs.csv", runs_csv(document))
    page = folder / "comparison.html"

    def write() -> Path:
        replace_text(page, render_page("comparison.html.j2", _contents(document, config_text, Gallery(folder))))
        return page

    return attempt("page was written", "the same command", write)


def _contents(document: ComparisonDocument, config_text: str, gallery: Gallery) -> dict[str, Any]:
    """Returns all that the page's template names."""
    found = {sheet.title: sheet for sheet in sheets(document)}
    datasets = document.reference.best_accuracy
    accuracies = [title_of(dataset) for dataset in datasets]
    times = {row.label: row.time for row in document.contenders if row.time.strategy_ms is not None}
    return {
        "document": document,
        "headline": headline(document),
        "best": next(iter(document.by_regret()), None),
        "final": found["Final scores"],
        "optimum": found.get(OPTIMUM),
        "accuracies": [found[name] for name in accuracies],
        "tests": [sheet for title, sheet in found.items() if title not in ("Final scores", OPTIMUM, "Wins", "Time", *accuracies)],
        "wins": found.get("Wins"),
        "time": found["Time"],
        "shares": wins(document),
        "score_figures": list(_score_figures(document, gallery)),
        "final_figure": _final_figure(document, gallery),
        "accuracy_figures": list(_accuracy_figures(document, gallery)),
        "time_figure": gallery.add("times", draw.draw_times(times), "Time an evaluation") if times else None,
        "facts": [("Asked for", list(flat(_asked(document)))), ("Machine and versions", list(flat(document.environment)))],
        "config_text": config_text,
    }


def _asked(document: ComparisonDocument) -> dict[str, Any]:
    asked = {"space": document.space, "evaluations": document.budget, "seeds": document.seeds}
    strategies = {row.label: {"strategy": row.strategy, **row.parameters} for row in document.contenders}
    return {**asked, "objective": asdict(document.objective), **strategies}


def _score_figures(document: ComparisonDocument, gallery: Gallery) -> Iterator[Shown]:
    curves = document.anytime
    scores = draw.lines_of(curves.score, curves.evaluations)
    regrets = draw.lines_of(curves.regret, curves.evaluations)
    title = "Score of the incumbent"
    yield gallery.add("anytime_score", draw.draw_scores(scores, title, _quantity(document)), title)
    yield gallery.add("anytime_regret", draw.draw_regrets(regrets, "Score regret", "score regret"), "Score regret")


def _final_figure(document: ComparisonDocument, gallery: Gallery) -> Shown:
    finals = draw.draw_finals(draw.finals_of(document, "score"), "Final scores, one dot a run", _quantity(document))
    return gallery.add("final_scores", finals, "Final scores")


def _quantity(document: ComparisonDocument) -> str:
    return document.objective.members[0] if document.objective.rule == "score" else "rank aggregate"


def _accuracy_figures(document: ComparisonDocument, gallery: Gallery) -> Iterator[Shown]:
    curves = document.anytime
    for dataset in document.reference.best_accuracy:
        name = accuracy_name(dataset)
        lines = draw.lines_of(curves.accuracy[dataset], curves.evaluations)
        regrets = draw.lines_of(curves.accuracy_regret[dataset], curves.evaluations)
        title = f"{title_of(dataset)} of the incumbent"
        yield gallery.add(f"anytime_accuracy_{dataset}", draw.draw_accuracies(lines, title, f"{name}, %"), title)
        title = f"Regret in {name}"
        yield gallery.add(f"anytime_accuracy_regret_{dataset}", draw.draw_regrets(regrets, title, "regret, points"), title)
