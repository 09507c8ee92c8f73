"""RBFleX's Table III and Fig. 15, and Rank-based NAS's Tables 2 and 3: accuracy and cost of searches.

    rbflex-evo tabulate CONFIG        # once for each space; then draws cost nothing
    python -m benchmarks search_tables --tss-scores TSS/scores.npz --sss-scores SSS/scores.npz --benchdata FOLDER

Random search by a score selects the best of S random networks: S = 10, 100, 1,000. Means and deviations are over 500 draws, the
same draws for every score. A preset ranks the S networks of a draw. The cost is S times the measured seconds a network on this
machine in one process, plus the detection of gammas once. Rows of methods that train networks are quoted and marked so.
Accuracies are read after every search is finished.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.figures import search_plots
from benchmarks.shared import samples, scoring_seconds
from benchmarks.shared.comparison import pair, spread
from benchmarks.shared.output import markdown, write
from benchmarks.shared.score_tables import DRAWS, Scores, accuracies_of, arguments, draws, found, run, tables_of
from benchmarks.shared.scoring_seconds import Seconds

from . import printed_searches as published
from . import rank_searches
from .printed_searches import Printed
from .rank_searches import CLOSE

SIZES = (10, 100, 1000)
DATA_SETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
# Ours in the figure: the scores that the paper draws, and two presets beside them.
DRAWN = (*(name for name in published.TABLE_3_NAMES if name != "random"), "rbflex_search", "rbflex_synflow")
RANDOM = "random"

# Ours and the paper's, of one space: by data set, kind of accuracy and (of ceilings) S; by method seconds and accuracies.
Known = Mapping[tuple[str, str], np.ndarray]
Ceilings = Mapping[tuple[str, str, int], float]
Points = dict[str, list[tuple[float, float]]]

SETTINGS = "the paper's images, initial weights and draws are not ours"
BACKWARDS = (
    "the published search ends below the paper's own random networks, so its score orders them backwards or overflows; ours is "
    "the logarithm of the flow, and a cell without a path has no score"
)


@dataclass(frozen=True)
class Row:
    """Result of random search by one choice at one S.

    Attributes:
        ours: by data set and kind of accuracy, mean and deviation over draws, percent.
        seconds: of the search, None where it was not timed.
    """

    method: str
    size: int
    ours: Mapping[tuple[str, str], tuple[float, float]]
    seconds: float | None

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "ours": {" ".join(what): value for what, value in self.ours.items()}}


def chosen_of(scores: Scores, drawn: np.ndarray, sizes: Sequence[int]) -> dict[tuple[str, int], np.ndarray]:
    """Returns by choice and S the networks [draws] that random search selects."""
    picked = {(RANDOM, sizes[0]): drawn[:, 0]}
    for choice in scores.choices:
        for size in sizes:
            picked[choice.label, size] = found(scores, choice, drawn[:, :size])
    return picked


def rows_of(
    picked: Mapping[tuple[str, int], np.ndarray],
    accuracies: Known,
    seconds: Mapping[str, Seconds],
) -> list[Row]:
    rows = []
    for (method, size), networks in picked.items():
        ours = {what: spread(values[networks]) for what, values in accuracies.items()}
        if method == RANDOM:
            # The mean over single random networks is known without drawing.
            ours = {what: (float(values.mean()), float(values.std())) for what, values in accuracies.items()}
        rows.append(Row(method, size, ours, seconds[method].search(size) if method in seconds else None))
    return rows


def split_of(printed: Printed) -> str:
    """Returns which accuracies a row of Table III holds: see `split_sentences` for why the paper mixes two kinds."""
    return "test" if printed.method == "RBFleX-NAS" or printed.kind == published.SHARING else "validation"


def counterpart(dataset: str, split: str, known: Mapping[tuple[str, str], Any]) -> str | None:
    """Returns which of our accuracies a printed one is compared with; None if we have none of its kind.

    CIFAR-100's validation and test accuracies are of the two halves of one held-out set, so one replaces the other.
    """
    wanted = ("test, one seed", "test") if split == "test" else ("validation",)
    there = [kind for kind in wanted if (dataset, kind) in known]
    if not there and dataset == "cifar100":
        there = [kind for data, kind in known if data == dataset]
    return there[0] if there else None


def split_sentences(name: str, accuracies: Known) -> list[str]:
    """Returns sentences that infer from the printed mean of random networks which accuracies Table III prints."""
    random = next(row for row in published.RBFLEX_TABLE_3[name] if row.kind == published.RANDOM)
    sentences = []
    for dataset, title in DATA_SETS.items():
        mean, _, _ = random.figure(dataset)
        compared = {kind: values for (data, kind), values in accuracies.items() if data == dataset and kind != "test, one seed"}
        parts = []
        for kind, values in compared.items():
            errors = abs(mean - values.mean()) / (values.std() / np.sqrt(random.runs))
            parts.append(f"{values.mean():.2f} is the whole space's mean {kind} accuracy, {errors:.1f} standard errors from it")
        sentences.append(f"- {name}, {title}: the paper's Random row, 500 networks, has {mean:.2f}; {'; '.join(parts)}.")
    return sentences


def ceilings(accuracies: Known, drawn: np.ndarray, sizes: Sequence[int]) -> dict[tuple[str, str, int], float]:
    """Returns by data set, kind and S the mean accuracy of the best network of each draw, an upper bound for every search."""
    return {
        (*what, size): float(values[drawn[:, :size]].max(axis=1).mean()) for what, values in accuracies.items() for size in sizes
    }


def disagreements(name: str, rows: Sequence[Row], best: Ceilings, count: int) -> list[str]:
    """Returns a sentence for each score and data set at which a printed mean is further from ours than draws explain."""
    at = {(row.method, row.size): row for row in rows}
    sentences = []
    for method in (method for method in published.TABLE_3_NAMES if (method, SIZES[0]) in at and method != RANDOM):
        for dataset, title in DATA_SETS.items():
            ours, theirs, far, above = [], [], False, []
            for printed in published.RBFLEX_TABLE_3[name]:
                row = at.get((method, printed.size or 0))
                if row is None or printed.method != published.TABLE_3_NAMES[method]:
                    continue
                kind = counterpart(dataset, split_of(printed), row.ours)
                if kind is None:
                    break
                (mean, deviation), (other, spread_of, _) = row.ours[dataset, kind], printed.figure(dataset)
                error = float(np.hypot(deviation / np.sqrt(count), spread_of / np.sqrt(printed.runs)))
                far = far or abs(mean - other) > max(CLOSE, 3 * error)
                limit = best[dataset, kind, row.size]
                # Only accuracies of the printed kind bound the printed values.
                if kind.startswith(split_of(printed)) and other > limit + 3 * spread_of / np.sqrt(printed.runs):
                    above.append(f"at S = {row.size} {other:.2f} is above {limit:.2f}, the mean of the best network of each draw")
                ours.append(f"{mean:.2f}")
                theirs.append(f"{other:.2f}")
            if far:
                why = BACKWARDS if method == "synflow" else SETTINGS
                if above:
                    why = f"no search of S networks drawn from the whole space has such a mean: {'; '.join(above)}"
                sentences.append(f"- {method}, {name}, {title}: {' / '.join(ours)} here, {' / '.join(theirs)} published; {why}.")
    return sentences


def table(name: str, rows: Sequence[Row], dataset: str, best: Ceilings) -> str:
    """Returns one space's and data set's part of Table III, ours beside it."""
    printed = {(row.method, row.size): row for row in published.RBFLEX_TABLE_3[name]}
    kinds = [kind for data, kind in rows[0].ours if data == dataset]
    lines = []
    for row in rows:
        random = row.method == RANDOM
        other = printed.pop((published.TABLE_3_NAMES.get(row.method, ""), None if random else row.size), None)
        kind = None if other is None else counterpart(dataset, split_of(other), row.ours)
        mean = None if other is None else other.figure(dataset)
        difference = "" if mean is None or kind is None else f"{row.ours[dataset, kind][0] - mean[0]:+.2f}"
        split = "" if other is None else split_of(other)
        seconds = ["" if s is None else f"{s:,.2f}" for s in (row.seconds, None if mean is None else mean[2])]
        lines.append([
            row.method, "" if random else row.size, *(pair(row.ours[dataset, k]) for k in kinds), pair(mean), split, difference,
            *seconds,
        ])  # fmt: skip
    for size in SIZES:
        lines.append(["best of the draw", size, *(f"{best[dataset, kind, size]:.2f}" for kind in kinds), "", "", "", "", ""])
    for other in printed.values():
        quoted = "quoted" if other.kind not in published.QUOTED else f"quoted ({other.kind})"
        mean = other.figure(dataset)
        cost = "" if mean[2] is None else f"{mean[2]:,.2f}"
        ours = [""] * len(kinds)
        lines.append([f"{other.method}, {quoted}", other.size or "", *ours, pair(mean), split_of(other), "", "", cost])
    return markdown(["method", "S", *kinds, "published", "which is", "difference", "s here", "s published"], lines)


def points_of(name: str, rows: Sequence[Row], dataset: str, kind: str) -> tuple[Points, Points]:
    """Returns (seconds, accuracy) of our searches and of the published ones of that kind of accuracy, by method, in order of S."""
    ours: Points = {}
    for row in rows:
        if row.method in DRAWN and row.seconds is not None and (dataset, kind) in row.ours:
            ours.setdefault(row.method, []).append((row.seconds, row.ours[dataset, kind][0]))
    theirs: Points = {}
    for printed in published.RBFLEX_TABLE_3[name]:
        mean, _, seconds = printed.figure(dataset)
        if printed.size is not None and seconds is not None and (dataset != "cifar10" or split_of(printed) == kind):
            theirs.setdefault(printed.method, []).append((seconds, mean))
    return ours, theirs


def draw_figure_15(rows: Sequence[Row], options: argparse.Namespace) -> None:
    wanted = {
        "CIFAR-10, test": ("cifar10", "test"),
        "CIFAR-10, validation": ("cifar10", "validation"),
        "CIFAR-100": ("cifar100", "validation"),
        "ImageNet16-120, published alone": ("imagenet16", "published"),
    }
    panels = {title: points_of("nats_sss", rows, *what) for title, what in wanted.items()}
    heading = "RBFleX's Fig. 15: search cost and accuracy at S = 10, 100, 1,000, nats_sss"
    search_plots.draw_costs(panels, options.folder / "rbflex_figure_15.png", heading)


def command(options: argparse.Namespace) -> None:
    count, runs = (5, 2) if options.quick else (options.draws, options.seeds)
    size, timed, images = (40, 1, 4) if options.quick else (published.RANK_EVALUATIONS, options.timed, 16)
    tables = tables_of(options)
    batch = samples.images_of(options.benchdata, "cifar10", images)
    texts: list[str] = []
    content: dict[str, Any] = {"draws": count, "runs": runs, "timed": timed, "spaces": {}}
    for name, scores in tables.items():
        seconds = scoring_seconds.measure(scores, scores.choices, batch, timed)
        drawn = draws(samples.SIZES[name], max(SIZES), count)
        picked = chosen_of(scores, drawn, SIZES)
        ranked = rank_searches.chosen_of(options, scores, seconds, size, runs, count)
        # All networks are selected; accuracies are read from here on.
        accuracies = accuracies_of(options.benchdata, name)
        rows = rows_of(picked, accuracies, seconds)
        best = ceilings(accuracies, drawn, SIZES)
        texts += [f"## Table III, {name}, {title}\n\n{table(name, rows, dataset, best)}" for dataset, title in DATA_SETS.items()]
        said = [*split_sentences(name, accuracies), *disagreements(name, rows, best, count)]
        rank_table, differing, rank_rows = rank_searches.table(name, ranked, accuracies)
        which = "Table 2" if name == "nats_sss" else "Table 3"
        lacking = [f"- Not in the table of scores: {', '.join(lost)}, so no {preset}." for preset, lost in scores.missing.items()]
        texts += ["\n".join(said), f"## Rank-based NAS's {which}, {name}\n\n{rank_table}", "\n".join([*differing, *lacking])]
        content["spaces"][name] = {
            "table_3": [row.document() for row in rows],
            "rank": rank_rows,
            "seconds": {label: asdict(one) for label, one in seconds.items()},
            "best_of_draw": {" ".join(map(str, what)): value for what, value in best.items()},
        }
        if name == "nats_sss":
            draw_figure_15(rows, options)
    texts.append(NOTES)
    title = f"Searches by score: S networks drawn at random, {count} draws; rank searches of {size} evaluations, {runs} runs; " \
            f"seconds measured on {timed} networks, N = {images}"  # fmt: skip
    write(options.folder, "search_tables", title, "\n\n".join(text for text in texts if text), content)


NOTES = """\
Which accuracies the paper prints: the Random rows tell that Table III sets its own test accuracies beside validation accuracies of
the other scores and of random networks; on CIFAR-10 the two differ by some three points, because the benchmark trains for
validation on half of the images. A difference is given where both are of one kind (CIFAR-100's two kinds are halves of one
held-out set). "one seed" is the paper's quantity, "test" the mean over the benchmark's seeds; nats_sss has one seed, and no table
of test accuracies on CIFAR-100. Costs are of other machines: a V100 there, this machine's processor here. "best of the draw" is
what a search that knew the accuracies would have. Not rebuilt: the ImageNet16-120 columns (there is no table of it after full
training here; of Fig. 15, which the paper draws of it alone, the published points are shown, and ours beside theirs on the
CIFARs)."""


def main(options: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, "nats_tss", "nats_sss")
    parser.add_argument("--draws", type=int, default=DRAWS, help="random searches by each score")
    parser.add_argument("--seeds", type=int, default=30, help="runs of each searching strategy")
    parser.add_argument("--timed", type=int, default=8, help="networks whose scoring is timed")
    run(parser, command, options)


if __name__ == "__main__":
    main()
