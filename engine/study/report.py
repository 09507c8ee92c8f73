"""All that a comparison over several settings leaves to be read: study.md, study.csv, runs.csv, study.json, and study.html.

The page is one file that loads nothing from a network, in the style of a run's report. It links to the pages of the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rbflex_evo.engine.comparison.tables import csv_of
from rbflex_evo.engine.figures.page import Gallery, Shown, render_page
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.terminal.messages import attempt
from rbflex_evo.engine.terminal.wording import counted, flat

from . import figures as draw
from .document import StudyDocument, write_study
from .tables import asked, headline, leaders, markdown, settings_csv, sheets


def write_study_files(folder: Path, document: StudyDocument, config_text: str) -> Path | None:
    """Writes every file of a comparison over settings into its folder; returns the page's path, or None if only the page failed.

    Raises:
        RunError: If one cannot be written.
    """
    write_study(folder, document)
    replace_text(folder / "study.md", markdown(document))
    replace_text(folder / "study.csv", settings_csv(document))
    replace_text(folder / "runs.csv", csv_of(document.runs))
    page = folder / "study.html"

    def write() -> Path:
        replace_text(page, render_page("study.html.j2", contents(document, config_text, Gallery(folder))))
        return page

    return attempt("page was written", "the same command", write)


def contents(document: StudyDocument, config_text: str, gallery: Gallery) -> dict[str, Any]:
    """Returns all that the page's template names.

    Args:
        document: The document.
        config_text: The configuration, as it was run.
        gallery: Takes the figures.
    """
    ranks, regrets, pairs = sheets(document)
    title = f"Mean ranks over {counted(len(document.settings), 'setting')}"
    return {
        "document": document,
        "headline": headline(document),
        "asked": asked(document),
        "leaders": leaders(document),
        "best": document.by_rank()[0],
        "ranks": ranks,
        "regrets": regrets,
        "pairs": pairs,
        "diagram": gallery.add("critical_difference", draw.draw_diagram(draw.diagram_of(document), title), title),
        "profiles": list(_profiles(document, gallery)),
        "facts": [("Strategies", list(flat(_strategies(document)))), ("Machine and versions", list(flat(document.environment)))],
        "config_text": config_text,
    }


def _profiles(document: StudyDocument, gallery: Gallery) -> list[Shown]:
    found, order = document.profiles, [row.label for row in document.by_rank()]
    regrets, evaluations = ({label: of[label] for label in order} for of in (found.relative_regret, found.evaluations))
    return [
        gallery.add("profile_regret", draw.draw_distances(regrets), "Distance from the best strategy"),
        gallery.add("profile_evaluations", draw.draw_ratios(evaluations), "Evaluations to the 99th percentile"),
    ]


def _strategies(document: StudyDocument) -> dict[str, Any]:
    return {row.label: {"strategy": row.strategy, **row.parameters} for row in document.ranks}
