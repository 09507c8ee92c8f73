"""What ``correlate`` shows: a page with figures, and the same figures as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.figures.page import Gallery, render_page
from rbflex_evo.engine.figures.plots import accuracy_name
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.terminal.wording import fixed, flat, percent

from . import figures as figures
from .baselines import RANDOM
from .columns import Accuracies
from .document import Correlation, CorrelationDocument, Judged, JudgedTable, ScoreFacts

LABELS = {
    "kendall": "Kendall τ",
    "kendall_one_size": "τ at one size",
    "kendall_given_size": "τ given size",
    "kendall_of_mean": "τ of the mean over seeds",
    "repeatability": "two weight seeds",
    "spearman": "Spearman ρ",
    "pearson": "Pearson r",
    "ndcg": "nDCG",
}
# Decimal places of statistics in percent; others have three.
DIGITS = {"accuracy": 2, "regret": 2, "spread": 2}


def write_page(found: Correlation, config_text: str) -> Path:
    """Writes correlate.html and its figures into the folder and returns the page's path."""
    page = found.folder / "correlate.html"
    for old in found.folder.glob("*.png"):
        old.unlink()
    gallery = Gallery(found.folder)
    document = found.document
    facts = document.model_dump(include={"space", "sample", "resamples", "seed", "weight_seeds"}, exclude_none=True)
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
        "standing": gallery.add(
            f"{known.dataset}_standing",
            figures.draw_standing(figures.standing(table), f"Which scores tell more than counting, {known.dataset}"),
            f"Kendall τ of every score beside the counts, {known.dataset}",
        ),
        "summary": summary(table),
        "ceiling": ceiling_text(table),
        "verdicts": [(name, verdict_text(table, name)) for name in by_kendall(table)],
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
    for name in ("kendall_one_size", "kendall_top_10", *first[-1:]):
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


def by_kendall(table: JudgedTable) -> list[str]:
    """Returns the names that have a verdict, the best Kendall first, those without one last."""

    def kendall(name: str) -> float:
        value = table.scores[name]["kendall"].value
        return -math.inf if value is None else value

    return sorted(table.verdicts, key=lambda name: -kendall(name))


def verdict_text(table: JudgedTable, name: str) -> str:
    """Returns the verdict line of one score."""
    verdict = table.verdicts[name]
    return "undefined: its scores, or the accuracies, are all equal" if verdict is None else verdict.text


def summary(table: JudgedTable) -> str:
    """Returns the answer in one sentence: how many scores are above all counts."""
    verdicts = [verdict.kind for name, verdict in table.verdicts.items() if verdict is not None and name != RANDOM]
    above, within, below = (verdicts.count(kind) for kind in ("above", "within", "below"))
    if table.best_count is None:
        return (
            f"No count orders these architectures. {above} of {len(verdicts)} scores are above chance, {within} within its noise."
        )
    best = fixed(table.scores[table.best_count]["kendall"].value, 3)
    return (
        f"{above} of {len(verdicts)} scores are above all counts, {within} within noise of {table.best_count} "
        f"(τ {best}, the best count), {below} below it."
    )


def ceiling_text(table: JudgedTable) -> str:
    """Returns what the training runs of a table allow, or why that is unknown."""
    found = table.ceiling
    if found.reason:
        return f"No ceiling: {found.reason}."
    between, others = fixed(found.between, 3), fixed(found.of_others, 3)
    return (
        f"Ceiling: one training run has τ {between} with another one, and {others} with the mean of the others "
        f"({found.architectures:,} architectures with several runs)."
    )


def sections(document: CorrelationDocument, judged: Judged) -> list[tuple[str, str, list[str]]]:
    """Returns the tables of one data set: title, what it says, and the statistics that are its columns."""
    tops = [f"kendall_top_{percent}" for percent in document.tops]
    draws = [draw for draw in document.draws if any_value(judged, f"accuracy_of_{draw}")]
    firsts = [name for draw in draws for name in (f"accuracy_of_{draw}", f"regret_of_{draw}")]
    order = ["kendall", *tops, "spearman", "pearson", "ndcg"]
    beside = ["kendall", "kendall_one_size", "kendall_given_size", "kendall_top_10", "kendall_of_mean", "repeatability"]
    return [
        ("Beside size", "what a score tells of networks that cost the same", [n for n in beside if any_value(judged, n)]),
        ("The whole order, and the top of it", "which of two architectures is better", order),
        ("The first of some random ones", "which architecture to take in the end", firsts),
    ]


def any_value(judged: Judged, statistic: str) -> bool:
    """True if any score has that statistic."""
    return any(statistic in found and found[statistic].value is not None for found in judged.values())


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
            one = found.get(statistic, Statistic(None))
            value, low, high = one.value, one.low, one.high
            cells.append(
                {
                    "value": fixed(value, places),
                    "interval": "" if low is None else f"{fixed(low, places)} … {fixed(high, places)}",
                    "best": value is not None and value == best[statistic],
                }
            )
        yield {"name": name, **scores[name].model_dump(), "cells": cells}


def _best(judged: Judged, statistic: str) -> float | None:
    values = [value for found in judged.values() if (value := found.get(statistic, Statistic(None)).value) is not None]
    best = min if statistic.startswith("regret") else max
    return best(values) if values else None


def markdown(document: CorrelationDocument) -> str:
    """Returns every table as Markdown, intervals in brackets."""
    texts = []
    for table in document.tables:
        lines = [[name, verdict_text(table, name)] for name in by_kendall(table)]
        pairs = "" if table.pairs_of_one_size is None else f" Pairs of one size: {table.pairs_of_one_size:,}."
        texts.append(f"{table.dataset}: {summary(table)} {ceiling_text(table)}{pairs}\n\n{_table(['score', 'verdict'], lines)}")
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
