"""The document of a comparison over several settings as sentences and tables of text, the same ones for Markdown and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rbflex_evo.engine.comparison.tables import Sheet, csv_of, markdown_table
from rbflex_evo.engine.terminal.wording import UNKNOWN, counted, fixed, significant

from .document import SettingRow, Standing, StudyDocument


def headline(document: StudyDocument) -> list[str]:
    """Returns what the comparison says, in a few sentences."""
    return [*_ranks(document), *_tests(document), *_references(document), *_failures(document)]


def _ranks(document: StudyDocument) -> Iterator[str]:
    best = document.by_rank()[0]
    settings = counted(len(document.settings), "setting")
    yield (
        f"Least mean rank over {settings}: {', '.join(leaders(document))}, {fixed(best.mean_rank)} of {len(document.ranks)}, "
        f"and the least mean regret, alone or tied, in {best.first}."
    )
    tied = [row.label for row in document.settings if len({standing.rank for standing in row.contenders}) == 1]
    if tied and len(document.ranks) > 1:
        yield f"All strategies are equal in {counted(len(tied), 'setting')}, where nothing tells them apart: {', '.join(tied)}."


def leaders(document: StudyDocument) -> list[str]:
    """Returns the contenders with the least mean rank."""
    least = min(row.mean_rank for row in document.ranks)
    return [row.label for row in document.ranks if row.mean_rank == least]


def _tests(document: StudyDocument) -> Iterator[str]:
    level, difference, test = f"{document.level:g}", document.critical_difference, document.friedman
    if difference is None:
        yield "With one setting or one strategy there is nothing to test over settings."
        return
    if test is None:
        yield "All strategies have equal ranks in every setting."
        return
    contenders, settings = len(document.ranks), len(document.settings)
    freedom = f"{contenders - 1}, {(contenders - 1) * (settings - 1)}"
    f = "infinite" if test.f is None else significant(test.f, 3)
    verdict = "The strategies differ" if test.p < document.level else "No difference between the strategies is shown"
    yield (
        f"{verdict} (Friedman's chi-square {significant(test.chi_square, 3)}, Iman and Davenport's F({freedom}) {f}, "
        f"p = {significant(test.p, 2)})."
    )
    best = document.by_rank()[0]
    equal = [row.label for row in document.by_rank()[1:] if row.mean_rank - best.mean_rank < difference]
    yield (
        f"The critical difference of mean ranks is {fixed(difference)} (Nemenyi, {level}); not told apart from {best.label}: "
        f"{', '.join(equal) or 'none'}."
    )
    worse = [label for label, p, better in _against(document, best.label) if p < document.level and better]
    yield f"By Wilcoxon's test over settings (Holm, p < {level}), {best.label} is better than: {', '.join(worse) or 'none'}."
    shared = len({(row.space, row.objective) for row in document.settings})
    if shared < settings or len({row.space for row in document.settings}) < settings:
        yield (
            "The tests take settings as independent. Settings that share a space or an objective are not quite so; take p-values "
            "near the level with care."
        )


def _against(document: StudyDocument, label: str) -> Iterator[tuple[str, float, bool]]:
    """Yields every other contender with the corrected p of its test, and whether `label` is the better one."""
    for pair in document.pairs:
        if label in (pair.first, pair.second) and pair.p_holm is not None:
            first = label == pair.first
            yield pair.second if first else pair.first, pair.p_holm, ((pair.effect or 0) > 0) == first


def _references(document: StudyDocument) -> Iterator[str]:
    counts = Counter(row.best_of for row in document.settings)
    where = [f"{of} in {counted(count, 'setting')}" for of, count in counts.items()]
    yield f"Regret is the best score known minus that of the incumbent; the best known is that of {', and of '.join(where)}."


def _failures(document: StudyDocument) -> Iterator[str]:
    failures = document.failures
    if failures:
        first = failures[0]
        yield (
            f"{counted(len(failures), 'run')} failed and {'is' if len(failures) == 1 else 'are'} left out, "
            f"the first being {first.setting}, {first.label}, seed {first.seed}: {first.reason}"
        )
    absent = [
        f"{standing.label} in {row.label}" for row in document.settings for standing in row.contenders if standing.regret is None
    ]
    if absent:
        yield f"Without a finished run, and therefore last there: {', '.join(absent)}."


def sheets(document: StudyDocument) -> list[Sheet]:
    """Returns all tables."""
    return [_mean_ranks(document), regrets(document), _pairs(document)]


def _mean_ranks(document: StudyDocument) -> Sheet:
    parts = list(document.ranks[0].parts)
    note = (
        "Within a setting, strategies are ranked by their mean score regret over the seeds, 1 for the least. Ties share the mean "
        "of their places, and a setting is one observation (Demsar, JMLR 7, 2006). Relative regret is in units of the setting: the "
        "best score known minus the median architecture's."
    )
    header = ["strategy", "mean rank", "best in", "relative regret", *parts]
    rows = [
        [
            row.label,
            fixed(row.mean_rank),
            f"{row.first} of {len(document.settings)}",
            significant(row.relative_regret, 3),
            *(fixed(row.parts[part]) for part in parts),
        ]
        for row in document.by_rank()
    ]
    return Sheet("Mean ranks", note, header, rows)


def regrets(document: StudyDocument) -> Sheet:
    """Returns the table of mean regrets, with a row for each setting."""
    note = (
        f"Mean score regret over {counted(len(document.seeds), 'seed')}, and the rank in brackets. The best score known is that of "
        "the whole table of scores where there is one (marked t), and the best that any run found with any budget where there is "
        "none (marked f)."
    )
    rows = [[row.label, _best(row), *map(_standing, row.contenders)] for row in document.settings]
    return Sheet("Regret in each setting", note, ["setting", "best known", *(row.label for row in document.ranks)], rows)


def _best(row: SettingRow) -> str:
    return f"{significant(row.best)} {'t' if row.best_of == 'the whole table' else 'f'}"


def _standing(standing: Standing) -> str:
    if standing.regret is None:
        return f"{UNKNOWN} ({standing.rank:g})"
    return f"{significant(standing.regret, 3)} ({standing.rank:g})"


def _pairs(document: StudyDocument) -> Sheet:
    note = (
        "Relative regrets, a setting being a pair. p is of Wilcoxon's signed-rank test (two-sided, equal pairs left out), with "
        "Holm's correction over this table beside it. The effect is the matched-pairs rank-biserial correlation, from 1 (the first "
        "always better) to -1. An asterisk marks a difference of mean ranks of at least the critical difference (Nemenyi)."
    )
    rows = []
    for pair in document.pairs:
        beyond = document.critical_difference is not None and abs(pair.mean_rank_difference) >= document.critical_difference
        rows.append(
            [
                f"{pair.first} – {pair.second}",
                f"{pair.wins} / {pair.ties} / {pair.losses}",
                significant(pair.p, 3),
                significant(pair.p_holm, 3),
                UNKNOWN if pair.effect is None else f"{pair.effect:+.3f}",
                f"{pair.mean_rank_difference:+.2f}{' *' if beyond else ''}",
            ]
        )
    header = ["pair", "better / equal / worse", "p", "p (Holm)", "effect (rank-biserial)", "difference of mean ranks"]
    return Sheet("All pairs", note, header, rows)


def markdown(document: StudyDocument) -> str:
    """Returns the whole comparison as Markdown."""
    lines = [
        f"# {document.name}: {len(document.ranks)} strategies compared in {counted(len(document.settings), 'setting')}",
        "",
        f"{asked(document)}.",
        "",
        *(f"- {sentence}" for sentence in headline(document)),
    ]
    for sheet in sheets(document):
        if sheet.rows:
            lines += ["", f"## {sheet.title}", "", sheet.note, "", *markdown_table(sheet)]
    return "\n".join(lines) + "\n"


def asked(document: StudyDocument) -> str:
    """Returns what was compared, in a line."""
    spaces, objectives, budgets = (
        list(dict.fromkeys(getattr(row, axis) for row in document.settings)) for axis in ("space", "objective", "budget")
    )
    return (
        f"{', '.join(spaces)}; {', '.join(objectives)}; {', '.join(f'{budget:,}' for budget in budgets)} unique evaluations; "
        f"{counted(len(document.seeds), 'seed')} each"
    )


def settings_csv(document: StudyDocument) -> str:
    """Returns one row a setting and contender; an empty field is not known."""
    rows: list[dict[str, Any]] = []
    for row in document.settings:
        setting = {"setting": row.label, "space": row.space, "objective": row.objective, "budget": row.budget}
        best = {"best": row.best, "best_of": row.best_of, "scale": row.scale}
        for standing in row.contenders:
            values = standing.model_dump()
            rows.append({**setting, "strategy": values.pop("label"), **values, **best})
    return csv_of(rows)
