"""Rank-based NAS's Table 1: Kendall's and Spearman's correlation of scores with accuracy on nats_tss.

    python -m benchmarks rank_nas_table --benchdata FOLDER [--networks 1000] [--own-passes 60] [--seeds 3]

As in the paper, the score of a network is its mean over three initialisations. The paper ranks all 15,625 cells (its figures are
FreeREA's); this ranks a random sample and reports a bootstrap interval. The last rows have no published figure: noise immunity,
the paper's combination by the sum of ranks, and RBFleX. In the figure a dot is our value and a diamond the published one; where
they differ, the setting or the code of the paper differs from ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.figures import small_multiples
from benchmarks.shared import samples
from benchmarks.shared.comparison import Comparison, cells, number, sentences
from benchmarks.shared.independent import scores_of_others
from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import Score
from rbflex_evo.fitness import WeightParameters

from . import printed_scores as published

SPACE = "nats_tss"
ROWS = [
    *(Score(name, (name,)) for name in (*published.RANK_TABLE_1, "ni")),
    Score("ni + naswot + logsynflow", ("ni", "naswot", "logsynflow")),
    Score("rbflex", ("rbflex",), {"networks": 10}),
]
STATISTICS = ("Kendall", "Spearman")


def mean_scores(options: argparse.Namespace, rows: Sequence[Score], indices: np.ndarray, dataset: str, size: samples.Size,
                seeds: int) -> dict[str, np.ndarray]:  # fmt: skip
    """Returns by row the mean score over several initialisations; NaN where one of them failed."""
    space, batch = samples.space_of(SPACE, dataset), samples.images_of(options.benchdata, dataset, size.images)
    found = [
        samples.measure(
            space, indices, rows, batch, own_passes=size.own_passes, weights=WeightParameters(seed=seed), workers=options.workers,
            title=f"{dataset}, seed {seed}",
        )
        for seed in range(seeds)
    ]  # fmt: skip
    return {row.label: np.mean([scores[row.label] for scores in found], axis=0) for row in rows}


def compare(
    scores: Mapping[str, np.ndarray],
    known: np.ndarray,
    indices: np.ndarray,
    dataset: str,
    others: Mapping[str, tuple[np.ndarray, np.ndarray]],
    resamples: int,
) -> list[Comparison]:
    """Returns both comparisons of each row.

    Args:
        scores: Scores of the cells `indices`.
        known: Accuracies of the whole space.
        others: Independent scores by row, with the indices of their cells.
    """
    found = []
    for row, values in scores.items():
        ours = samples.judged(values, known[indices], resamples)
        printed = published.RANK_TABLE_1.get(row, {}).get(dataset, (None, None))
        for what, value in zip(STATISTICS, printed, strict=True):
            other = None if row not in others else samples.correlation(what.lower(), others[row][1], known[others[row][0]])
            found.append(Comparison(row, what, ours[what.lower()], value, other))
    return found


def table(comparisons: Sequence[Comparison], counts: Mapping[str, int]) -> str:
    """Returns the Markdown table, with a sentence below for each figure that disagrees."""
    rows: dict[str, list[str]] = {}
    for one in comparisons:
        rows.setdefault(one.row, [one.row, str(counts[one.row])]).extend([*cells(one), number(one.independent)])
    titles = [title for what in STATISTICS for title in (what, "published", "difference", "by others")]
    text = markdown(["score", "networks", *titles], list(rows.values()))
    return "\n".join([text, "", *sentences(comparisons, published.RANK_REASONS)])


def command(options: argparse.Namespace) -> None:
    size = samples.size_of(options)
    seeds = 2 if options.quick else options.seeds
    rows = samples.wanted(ROWS, options.scores)
    indices = samples.sample(SPACE, size.networks)
    texts, content, panels = [], {}, {}
    for dataset in ("cifar10", "cifar100"):
        scores = mean_scores(options, rows, indices, dataset, size, seeds)
        known = samples.accuracies_of(options.benchdata, SPACE, dataset)
        others = scores_of_others(options.benchdata, dataset)
        comparisons = compare(scores, known, indices, dataset, others, size.resamples)
        texts.append(f"## {dataset}\n\n{table(comparisons, {row: len(values) for row, values in scores.items()})}")
        content[dataset] = [one.document() for one in comparisons]
        panels[dataset] = small_multiples.compared(comparisons, "Kendall")
    title = f"Rank-based NAS, Table 1: {size.networks} random cells of nats_tss (seed 0), {size.own_passes} for scores with " \
            f"passes of their own, mean of {seeds} initialisations, N = {size.images}"  # fmt: skip
    notes = (
        "Brackets: 95 % interval of resampled networks. Failed networks rank last. The paper prints NTK's condition number, of "
        "which a small one is good; its sign is turned here. By others: scores that FreeREA's and NASLib's authors published.\n\n"
        + published.NOT_REBUILT["rank"]
    )
    path = options.folder / "rank_nas_table.png"
    small_multiples.draw_dumbbells(panels, ("ours", "published"), path, "Rank-based NAS's Table 1", "Kendall's tau")
    write(options.folder, "rank_nas_table", title, "\n\n".join([*texts, notes]), {"sample": size.document(), "data sets": content})


def main(options: Sequence[str] | None = None) -> None:
    parser = samples.arguments(__doc__)
    samples.add_sizes(parser, networks=1000, own_passes=60)
    parser.add_argument("--seeds", type=int, default=3, help="initialisations")
    samples.run(parser, command, options)


if __name__ == "__main__":
    main()
