"""Comparison of all strategies on nats_tss by one preset, at 1,000 unique evaluations over 100 seeds.

    python -m benchmarks every_strategy --tss-scores TSS/scores.npz --benchdata FOLDER

The searches run on a table of scores by the engine's own `compare`, whose page with every test and figure is written, too. All
strategies use the same seeds. The incumbent of a run is chosen by score alone, and its accuracy is looked up after all runs are
finished. If the score has one argmax in the whole table, its accuracy is printed: it is the accuracy of a strategy that always
finds the argmax.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import search_plots
from benchmarks.published import printed_searches as published
from benchmarks.shared import replays
from benchmarks.shared.comparison import pair
from benchmarks.shared.output import markdown, write
from benchmarks.shared.score_tables import ACCURACIES, Choice, Scores, arguments, run, tables_of
from rbflex_evo.engine.comparison.document import ComparisonDocument
from rbflex_evo.engine.comparison.facts import document_of
from rbflex_evo.engine.comparison.report import write_all
from rbflex_evo.spaces import ConfigError

SPACE = "nats_tss"
PRESET = "rbflex_search"
DATA_SETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
LEVEL = 0.01


def accuracy_tables(folder: Path) -> list[dict[str, Any]]:
    """Returns the known accuracies as a configuration names them, under the data set and the kind."""
    file, arrays = ACCURACIES[SPACE]
    return [
        {"source": "npz", "path": str(folder / file), "accuracy": array, "dataset": f"{dataset} {kind}"}
        for (dataset, kind), array in arrays.items()
    ]


def choice_of(scores: Scores, label: str) -> Choice:
    """Returns the choice of that label.

    Raises:
        ConfigError: if the table cannot make it.
    """
    choice = scores.choice(label)
    if choice is None:
        lacking = scores.missing.get(label)
        why = f"it lacks {', '.join(lacking)}" if lacking else f"it can make {', '.join(one.label for one in scores.choices)}"
        raise ConfigError(f"{str(scores.path)!r} has no scores for {label!r}: {why}")
    return choice


def table(document: ComparisonDocument) -> str:
    """Returns the Markdown table in order of score regret, with the argmax and the published figures below."""
    names = list(document.reference.best_accuracy)
    tests = {row.first: row for row in document.pairs.against_random}
    lines = []
    for row in document.by_regret():
        test = tests.get(row.label)
        p = "" if test is None or test.p_holm is None else f"{test.p_holm:.2g} ({test.effect:+.2f})"
        accuracies = [pair((row.accuracy[name].mean, row.accuracy[name].deviation or 0.0)) for name in names]
        there = f"{row.at_best}/{row.runs}"
        lines.append([row.label, f"{row.regret.mean:.4g} ± {row.regret.deviation or 0:.2g}", p, there, *accuracies])
    for best in document.reference.argmax[:3]:
        lines.append(["argmax of the whole table", "0", "", "", *(f"{best.accuracy[name]:.2f}" for name in names)])
    quoted = {f"{dataset} test, one seed": value for dataset, value in published.RBFLEX_SEARCH.items()}
    lines.append(["RBFleX-NAS, S = 1,000, published", "", "", "", *(f"{quoted[n]:.2f}" if n in quoted else "" for n in names)])
    best = document.reference.best_accuracy
    lines.append(["best network of the benchmark", "", "", "", *(f"{best[name].accuracy:.2f}" for name in names)])
    return markdown(["strategy", "score regret", "p against random (effect)", "at the argmax", *names], lines)


def sentences(document: ComparisonDocument) -> list[str]:
    """Returns whether the best strategy is better than random search, and whether accuracies are above the published ones."""
    best = document.by_regret()[0]
    tied = [row.label for row in document.contenders if row.regret.mean == best.regret.mean]
    who = best.label if len(tied) == 1 else f"{best.label} ({len(tied)} strategies tie: {', '.join(tied)})"
    test = next((row for row in document.pairs.against_random if row.first == best.label), None)
    found = []
    if test is None or test.p_holm is None:
        found.append(f"- Least score regret: {who}; there is nothing to test it against.")
    else:
        below = test.p_holm < LEVEL and test.effect > 0
        found.append(
            f"- Least score regret: {who}; {best.label} is {'below' if below else 'not told apart from'} random search "
            f"(p = {test.p_holm:.2g}, Wilcoxon over {test.seeds} seeds, Holm)."
        )
    for dataset, title in DATA_SETS.items():
        known = published.RBFLEX_SEARCH[dataset]
        for kind, what in (("test", "mean of the benchmark's seeds"), ("test, one seed", "one seed, as published")):
            means = {row.label: row.accuracy[f"{dataset} {kind}"].mean for row in document.contenders}
            verdict = "above" if means[best.label] > known else "not above"
            above = sum(mean > known for mean in means.values())
            found.append(
                f"- {title}, {what}: {best.label} ends at {means[best.label]:.2f} %, {verdict} the published {known:.2f} %; "
                f"{above} of {len(means)} strategies are above it."
            )
    reference = document.reference
    if reference.argmax_count == 1:
        argmax = reference.argmax[0]
        values = " / ".join(f"{argmax.accuracy[f'{dataset} test']:.2f}" for dataset in DATA_SETS)
        found.append(
            f"- The score has one argmax in the whole table, {argmax.notation}, of {values} % on CIFAR-10 / CIFAR-100: that is "
            "what a strategy converges to, however good it is."
        )
    else:
        found.append(f"- {reference.argmax_count} networks share the highest score.")
    return found


def draw(document: ComparisonDocument, path: Path, label: str) -> None:
    ordered = [row.label for row in document.by_regret()]
    columns = {
        "score regret": "score_regret",
        **{f"{title} test, %": f"accuracy_{dataset} test" for dataset, title in DATA_SETS.items()},
    }
    panels = {
        name: [(one, np.array([run[column] for run in document.runs if run["strategy"] == one], dtype=float)) for one in ordered]
        for name, column in columns.items()
    }
    argmax = document.reference.argmax[0].accuracy
    marks = {
        f"{title} test, %": [("published", published.RBFLEX_SEARCH[dataset]), ("argmax of the score", argmax[f"{dataset} test"])]
        for dataset, title in DATA_SETS.items()
    }
    heading = f"Strategies on nats_tss by {label}: {document.budget:,} evaluations, {len(document.seeds)} seeds"
    search_plots.draw_strategies(panels, marks, path, heading)


def command(options: argparse.Namespace) -> None:
    scores = tables_of(options)[SPACE]
    choice = choice_of(scores, options.by)
    evaluations, seeds = (40, 2) if options.quick else (options.evaluations, options.seeds)
    config = replays.config_of(
        scores,
        choice,
        replays.all_strategies(),
        name=f"every_strategy-{choice.label}",
        folder=options.folder,
        evaluations=evaluations,
        seeds=seeds, workers=options.workers, tables=accuracy_tables(options.benchdata),
    )  # fmt: skip
    runs = replays.replay(config)
    document = document_of(config, runs)
    page = write_all(runs.folder, document, (runs.folder / "config.yaml").read_text(encoding="utf-8"))
    draw(document, options.folder / "every_strategy.png", choice.label)
    notes = (
        "Regret is in worth by the whole table, ± over seeds; p is Wilcoxon's with Holm's correction, its effect positive where a "
        "strategy is above random search. One seed is the published quantity, the others are means over the benchmark's seeds."
    )
    title = f"Every strategy on nats_tss by {choice.label}: {evaluations:,} unique evaluations, {seeds} seeds"
    texts = [table(document), "\n".join(sentences(document)), f"{notes} All tests and curves: {page}"]
    kept = ("space", "objective", "budget", "seeds", "reference", "contenders", "pairs")
    write(options.folder, "every_strategy", title, "\n\n".join(texts), document.model_dump(mode="json", include=set(kept)))


def main(options: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, SPACE)
    parser.add_argument("--by", default=PRESET, help="score or preset that the searches use")
    parser.add_argument("--evaluations", type=int, default=1000, help="unique evaluations of a search")
    parser.add_argument("--seeds", type=int, default=100, help="runs of each strategy")
    run(parser, command, options)


if __name__ == "__main__":
    main()
