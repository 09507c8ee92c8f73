"""What ``correlate`` shows: a page with figures, and the same figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rbflex_evo.engine.figures.page import Gallery, render_page
from rbflex_evo.engine.figures.plots import accuracy_name
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.terminal.wording import fixed, flat, percent

from . import figures as figures
from .columns import Accuracies
from .document import Correlation, CorrelationDocument, Judged, ScoreFacts

LABELS = {"kendall": "Kendall τ", "spearman": "Spearman ρ", "pearson": "Pearson r", "ndcg": "nDCG"}
# Decimal places of statistics in percent; others have three.
DIGITS = {"accuracy": 2, "regret": 2, "spread": 2}


def write_page(found: Correlation, config_text: str) -> Path:
    """Writes correlate.html and its figures into the folder and returns the page's path."""
    page = found.folder / "correlate.html"
    for old in found.folder.glob("*.png"):
        old.unlink()
    gallery = Gallery(found.folder)
    document = found.document
    facts = document.model_dump(include={"space", "sample", "resamples", "seed"}, exclude_none=True)
    contents = {
        "document": document,
        "parts": [_part(found, i, gallery) for i in range(len(found.known))],
        "facts": [("Compared", list(flat(facts))), ("Machine and versions", list(flat(document.environment)))],
        "config_text": config_text,
    }
    replace_text(page, render_page("correlate.html.j2", contents))
    return page


def _part(found: Correlation, which: int, gallery: Gallery) -> dict[str, Any]:
    """Returns what the page shows of one table of accuracies."""
    known, table = found.known[which], found.document.tables[which]
    judged = table.scores
    return {
        "table": table,
        "accuracy_name": accuracy_name(known.dataset),
        "intervals": list(_interval_figures(found, known, judged, gallery)),
        "sections": [
            (title, note, [label(name) for name in names], list(rows(judged, found.document.scores, names)))
            for title, note, names in sections(found.document, judged)
        ],
        "scatters": list(_scatters(found, known, judged, gallery)),
    }


def _interval_figures(found: Correlation, known: Accuracies, judged: Judged, gallery: Gallery) -> Iterator[Any]:
    kinds = {column.name: column.kind for column in found.columns}
    first = [f"accuracy_of_{draw}" for draw in found.document.draws if any_value(judged, f"accuracy_of_{draw}")]
    for name in ("kendall", "kendall_top_10", *first[-1:]):
        data = figures.intervals(judged, kinds, name)
        if data.names:
            axis = accuracy_name(known.dataset) + ", %" if name in first else "Kendall τ"
            # Random scores choose so badly that the others would lie on one spot.
            limits = figures.close_range(data) if name in first else None
            figure = figures.draw_intervals(data, label(name), axis, limits)
            yield gallery.add(f"{known.dataset}_{name}", figure, f"{label(name)} of every score, {known.dataset}")


def _scatters(found: Correlation, known: Accuracies, judged: Judged, gallery: Gallery) -> Iterator[Any]:
    for column in found.columns:
        tau = judged[column.name]["kendall"].value
        figure = figures.draw_scatter(column.values, known.values, column.name, known.dataset, tau)
        title = f"{column.name} against {accuracy_name(known.dataset)}"
        yield gallery.add(f"{known.dataset}_{column.name}_scatter", figure, title)


def sections(document: CorrelationDocument, judged: Judged) -> list[tuple[str, str, list[str]]]:
    """Returns the tables of one data set: title, what it says, and the statistics that are its columns."""
    tops = [f"kendall_top_{percent}" for percent in document.tops]
    draws = [draw for draw in document.draws if any_value(judged, f"accuracy_of_{draw}")]
    firsts = [name for draw in draws for name in (f"accuracy_of_{draw}", f"regret_of_{draw}")]
    order = ["kendall", *tops, "spearman", "pearson", "ndcg"]
    return [
        ("The whole order, and the top of it", "which of two architectures is better", order),
        ("The first of some random ones", "which architecture to take in the end", firsts),
    ]


def any_value(judged: Judged, statistic: str) -> bool:
    """True if any score has that statistic."""
    return any(found[statistic].value is not None for found in judged.values())


def label(statistic: str) -> str:
    """Returns what a statistic is called in a table's head."""
    what, _, number = statistic.rpartition("_")
    if what == "kendall_top":
        return f"τ on top {number} %"
    if what == "accuracy_of":
        return f"first of {int(number):,}"
    if what == "regret_of":
        return f"regret of {int(number):,}"
    return LABELS[statistic]


def rows(judged: Judged, scores: Mapping[str, ScoreFacts], statistics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields a row a score: its name and kind, and for each statistic value, interval and whether it is the best."""
    best = {name: _best(judged, name) for name in statistics}
    for name, found in judged.items():
        cells = []
        for statistic in statistics:
            places = DIGITS.get(statistic.partition("_")[0], 3)
            value, low, high = (getattr(found[statistic], part) for part in ("value", "low", "high"))
            cells.append(
                {
                    "value": fixed(value, places),
                    "interval": "" if low is None else f"{fixed(low, places)} … {fixed(high, places)}",
                    "best": value is not None and value == best[statistic],
                }
            )
        yield {"name": name, **scores[name].model_dump(), "cells": cells}


def _best(judged: Judged, statistic: str) -> float | None:
    values = [value for found in judged.values() if (value := found[statistic].value) is not None]
    best = min if statistic.startswith("regret") else max
    return best(values) if values else None


def markdown(document: CorrelationDocument) -> str:
    """Returns every table as Markdown, intervals in brackets."""
    texts = []
    for table in document.tables:
        known = f"{table.known:,} architectures, mean {percent(table.mean)}, best {percent(table.best)}"
        for title, _, names in sections(document, table.scores):
            if not names:
                continue
            head = ["score", *map(label, names), "failed"]
            body = [
                [row["name"], *(_bracketed(cell) for cell in row["cells"]), f"{row['failed']:,}"]
                for row in rows(table.scores, document.scores, names)
            ]
            texts.append(f"{table.dataset}: {title[0].lower()}{title[1:]} ({known})\n\n{_table(head, body)}")
    return "\n\n".join(texts)


def _bracketed(cell: Mapping[str, Any]) -> str:
    return f"{cell['value']} [{cell['interval'].replace(' … ', ', ')}]" if cell["interval"] else cell["value"]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)
