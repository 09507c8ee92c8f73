"""A comparison's document as sentences and tables of text, the same ones for Markdown and the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rbflex_evo.engine.figures.plots import accuracy_name
from rbflex_evo.engine.terminal.wording import counted, fixed, percent, significant
from rbflex_evo.fitness.objective.constraints import written
from rbflex_evo.fitness.objective.objective import Objective

from .document import ComparisonDocument, ContenderRow, PairTest

LEVEL = 0.01
# Markdown has no table where a cell of the rule under its header is a colon alone.
NARROWEST_CELL = 3


@dataclass(frozen=True)
class Sheet:
    """A table of text; the first column names the row, the others hold numbers."""

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def headline(document: ComparisonDocument) -> list[str]:
    """Returns what the comparison says, in a few sentences."""
    return [*_winner(document), *_convergence(document), *_proved(document), *_failures(document)]


def _winner(document: ComparisonDocument) -> Iterator[str]:
    ranked = document.by_regret()
    if not ranked:
        return
    best, baseline = ranked[0], document.baseline
    yield f"Least mean score regret: {best.label}, {significant(best.regret.mean, 3)} over {counted(best.runs, 'run')}."
    if baseline is None:
        yield "Random search is not among the contenders, so nothing here says whether any of them is better than chance."
        return
    tests = [(row.first, row.p_holm, row.effect or 0.0) for row in document.pairs.against_random if row.p_holm is not None]
    better = [label for label, p, effect in tests if p < LEVEL and effect > 0]
    worse = [label for label, p, effect in tests if p < LEVEL and effect < 0]
    others = [label for label, _, _ in tests if label not in better + worse]
    for labels, text in ((better, "better than"), (others, "not told apart from"), (worse, "worse than")):
        if labels:
            yield f"In score regret {text} {baseline} at p < {LEVEL:g} (Wilcoxon, Holm): {', '.join(labels)}."


def _convergence(document: ComparisonDocument) -> Iterator[str]:
    reference = document.reference
    where = f"{reference.of} ({reference.architectures:,} architectures)"
    if reference.argmax_count > 1:
        yield f"{reference.argmax_count:,} architectures share the best score of {where}, {significant(reference.best)}."
        return
    best = reference.argmax[0]
    known = [f"{percent(value)} ({name})" for name, value in best.accuracy.items() if value is not None]
    yield f"One architecture has the best score of {where}, {significant(reference.best)}: {best.notation}."
    if known:
        tops = [f"{percent(best.accuracy)} ({name})" for name, best in reference.best_accuracy.items()]
        yield (
            f"A search that converged on it has found {', '.join(known)}, where the best there is has {', '.join(tops)}: "
            "converging says nothing about quality."
        )


def _proved(document: ComparisonDocument) -> Iterator[str]:
    if document.not_proved:
        yield f"The optimum is not proved: {document.not_proved}."
    facts = document.optimum
    if facts is None:
        return
    name = document.objective.members[0]
    if facts.optimum is None:
        yield f"No architecture is within the limits, {facts.method_sentence()}."
        return
    gaps = _gaps(document, facts.optimum)
    found = sum(gap == 0 for runs in gaps.values() for gap in runs)
    of = counted(sum(map(len, gaps.values())), "run")
    yield f"The optimum of {name} is {written(facts.optimum)}, {facts.method_sentence()}; {found} of {of} found it."


def _gaps(document: ComparisonDocument, optimum: float) -> dict[str, list[float]]:
    """Returns the optimum minus the final score of each run, by contender."""
    gaps: dict[str, list[float]] = {row.label: [] for row in document.contenders}
    for run in document.runs:
        if isinstance(run["score"], float):
            gaps[str(run["strategy"])].append(optimum - run["score"])
    return gaps


def _optimum(document: ComparisonDocument) -> Iterator[Sheet]:
    facts = document.optimum
    if facts is None or facts.optimum is None:
        return
    rows = []
    for label, gaps in _gaps(document, facts.optimum).items():
        mean = sum(gaps) / len(gaps) if gaps else None
        share = None if mean is None or facts.optimum == 0 else 100 * mean / abs(facts.optimum)
        rows.append([label, significant(mean, 3), percent(share), f"{sum(gap == 0 for gap in gaps)} of {len(gaps)}"])
    within = f" within {' and '.join(facts.limits)}" if facts.limits else ""
    note = (
        f"The best {document.objective.members[0]} of the whole space{within} is {written(facts.optimum)}, "
        f"{facts.method_sentence()}: {facts.front[0].notation}. The gap is that minus the score of a run's incumbent."
    )
    yield Sheet(OPTIMUM, note, ["strategy", "mean gap", "share of the optimum", "runs that found it"], rows)


def _failures(document: ComparisonDocument) -> Iterator[str]:
    failures = document.failures
    if failures:
        first = failures[0]
        yield (
            f"{counted(len(failures), 'run')} failed and {'is' if len(failures) == 1 else 'are'} left out, "
            f"the first being {first.label}, seed {first.seed}: {first.reason}"
        )


def sheets(document: ComparisonDocument) -> list[Sheet]:
    """Returns all tables."""
    found = [_final(document), *_optimum(document), *_accuracies(document)]
    tests = document.pairs
    if tests.against_random:
        note = f"{TESTS} The family of the correction is this table: every other contender against {document.baseline}."
        found.append(_tests(f"Against {document.baseline}", note, tests.against_random))
    if tests.all:
        found.append(_wins(document))
        found.append(_tests("All pairs", f"{TESTS} The family of the correction is this table.", tests.all))
    return [*found, _times(document)]


OPTIMUM = "Proved optimum"
TESTS = (
    "Score regret; runs of one seed are a pair. p is of Wilcoxon's signed-rank test (two-sided, equal pairs left out), with Holm's "
    "correction beside it. The effect is the matched-pairs rank-biserial correlation, from 1 (the first always better) to -1."
)


def _final(document: ComparisonDocument) -> Sheet:
    reference, rows = document.reference, document.contenders
    note = (
        f"The incumbents after {document.budget:,} unique evaluations, valued by {reference.of}. Score regret is the best "
        f"value, {significant(reference.best)}, minus theirs. The 99th percentile is {significant(reference.threshold)}; the "
        "evaluations to it are the median over all runs, including runs that never reached it."
    )
    header = ["strategy", "runs", "mean", "deviation", "best", "median", "mean regret", "at the best"]
    header += ["reached 99\N{NO-BREAK SPACE}%", "evaluations to 99\N{NO-BREAK SPACE}%"]
    return Sheet("Final scores", note, header, [_final_row(document, row) for row in rows])


def _final_row(document: ComparisonDocument, row: ContenderRow) -> list[str]:
    score, runs = row.score, row.runs
    to = row.evaluations_to_99th_percentile
    return [
        row.label,
        str(runs) + (f" ({row.failed} failed)" if row.failed else ""),
        *(significant(getattr(score, name), 5) for name in ("mean", "deviation", "best", "median")),
        significant(row.regret.mean, 3),
        f"{row.at_best} of {runs}",
        f"{row.reached} of {runs}",
        f"> {document.budget:,}" if to is None else f"{to:g}",
    ]


def _times(document: ComparisonDocument) -> Sheet:
    rows = [[row.label, significant(row.time.scoring_ms, 3), significant(row.time.strategy_ms, 3)] for row in document.contenders]
    what = (
        "Scores were read from a table, so scoring takes next to nothing; what is left is what strategies themselves cost."
        if document.replayed
        else "What another run had measured came from the cache."
    )
    note = (
        "Milliseconds an evaluation: scoring is what the search waited for scores, strategy is all else (proposing, ranking, the "
        f"journal). {what}"
    )
    return Sheet("Time", note, ["strategy", "scoring, ms", "strategy, ms"], rows)


def _accuracies(document: ComparisonDocument) -> Iterator[Sheet]:
    for dataset, best in document.reference.best_accuracy.items():
        rows = []
        for row in document.contenders:
            found = row.accuracy[dataset]
            numbers = [fixed(getattr(found, name)) for name in ("mean", "deviation", "best", "median", "worst", "regret")]
            rows.append([row.label, *numbers, f"{found.known} of {row.runs}"])
        argmax = document.reference.argmax if document.reference.argmax_count == 1 else []
        for architecture in argmax:
            accuracy = architecture.accuracy[dataset]
            regret = None if accuracy is None else best.accuracy - accuracy
            rows.append(["(the one best score)", fixed(accuracy), "–", "–", "–", "–", fixed(regret), "–"])
        note = (
            "Of the incumbents at the end, in percent, looked up when all runs were over. "
            f"The best in the table is {best.accuracy:.2f}; regret is that minus the mean."
        )
        header = ["strategy", "mean", "deviation", "best", "median", "worst", "regret", "known"]
        yield Sheet(title_of(dataset), note, header, rows)


def title_of(dataset: str) -> str:
    """Returns the heading over accuracies of a data set."""
    name = accuracy_name(dataset)
    return name[0].upper() + name[1:]


def _tests(title: str, note: str, tests: Sequence[PairTest]) -> Sheet:
    rows = []
    for test in tests:
        counts = [f"{test.wins} / {test.ties} / {test.losses}", significant(test.p, 3), significant(test.p_holm, 3)]
        rows.append([f"{test.first} – {test.second}", *counts, "–" if test.effect is None else f"{test.effect:+.3f}"])
    return Sheet(title, note, ["pair", "better / equal / worse", "p", "p (Holm)", "effect (rank-biserial)"], rows)


def wins(document: ComparisonDocument) -> dict[str, dict[str, float | None]]:
    """Returns the share of seeds in which the contender of a row is better than that of a column, ties counted half."""
    labels = [row.label for row in document.contenders if row.runs]
    shares: dict[str, dict[str, float | None]] = {label: dict.fromkeys(labels) for label in labels}
    for test in document.pairs.all:
        if test.seeds:
            share = (test.wins + test.ties / 2) / test.seeds
            shares[test.first][test.second], shares[test.second][test.first] = share, 1 - share
    return shares


def _wins(document: ComparisonDocument) -> Sheet:
    shares = wins(document)
    rows = [[label, *("–" if share is None else f"{100 * share:.0f} %" for share in row.values())] for label, row in shares.items()]
    note = "The share of seeds in which the contender of the row ends with a better score than that of the column; ties count half."
    return Sheet("Wins", note, ["better, than", *shares], rows)


def markdown(document: ComparisonDocument) -> str:
    """Returns the whole comparison as Markdown."""
    objective = document.objective
    how = "replayed from a table of scores" if document.replayed else "measured"
    lines = [
        f"# {document.name}: {len(document.contenders)} strategies compared",
        "",
        f"{document.space}, {_objective(objective)}, {document.budget:,} unique evaluations, "
        f"{counted(len(document.seeds), 'seed')}, {how}.",
        "",
        *(f"- {sentence}" for sentence in headline(document)),
    ]
    for sheet in sheets(document):
        lines += ["", f"## {sheet.title}", "", sheet.note, "", *markdown_table(sheet)]
    return "\n".join(lines) + "\n"


def _objective(objective: Objective) -> str:
    members = ", ".join(objective.members)
    return members if objective.rule == "score" else f"{objective.rule} rank aggregate of {members}"


def markdown_table(sheet: Sheet) -> Iterator[str]:
    """Yields the lines of a table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (sheet.header, *sheet.rows)]
    first, *others = (max(NARROWEST_CELL, *(len(row[i]) for row in cells)) for i in range(len(sheet.header)))
    rows = [[row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))] for row in cells]
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
    yield from (f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def runs_csv(document: ComparisonDocument) -> str:
    """Returns one row a finished run; an empty field is not known."""
    return csv_of(document.runs)


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as CSV with the columns of all rows; an empty field is not known."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
