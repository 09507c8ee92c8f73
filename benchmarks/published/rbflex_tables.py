"""RBFleX-NAS's Table I and Fig. 13: correlation of scores with known accuracies.

    python -m benchmarks rbflex_tables --benchdata FOLDER [--networks 1000] [--own-passes 60] [--scores rbflex naswot]

Table I: Pearson's and Kendall's correlation of nine scores with accuracy on nats_tss (NAS-Bench-201) and nats_sss, CIFAR-10 and
CIFAR-100, N = 16, HDA over 10 networks. The paper averages ten draws of 1,000 networks; this uses one draw and reports a
bootstrap interval. Fig. 13: score against accuracy on nats_sss, CIFAR-100, one point a network: the straighter the cloud, the
better the score separates networks.
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

from . import printed_scores as published

ROWS = [
    *(Score(name, (name,)) for name in ("grad_norm", "snip", "synflow", "eproxy", "zico", "das", "naswot")),
    Score("te_nas", ("ntk_cond", "linear_regions")),
    Score("rbflex", ("rbflex",), {"networks": 10}),
    Score("rbflex, published layers", ("rbflex",), {"mode": "published"}),
]
# Rows that are another form of a printed one.
PRINTED_AS = {"rbflex, published layers": "rbflex"}
SCATTERED = ("rbflex", "naswot", "das")
STATISTICS = ("Pearson", "Kendall")


def compare(
    scores: Mapping[str, np.ndarray],
    accuracies: np.ndarray,
    printed: Mapping[str, tuple[float, float]],
    others: Mapping[str, float],
    resamples: int,
) -> list[Comparison]:
    """Returns Pearson's and Kendall's comparison of each row.

    Args:
        scores: Scores by row, float64 [networks], NaN where failed; an expensive score may have fewer.
        accuracies: Accuracies of the same networks, float64.
        printed: (Pearson, Kendall) by row.
        others: The same figure from others' scores, by "row, statistic".
    """
    found = []
    for row, values in scores.items():
        ours = samples.judged(values, accuracies, resamples)
        pair = printed.get(PRINTED_AS.get(row, row), (None, None))
        for what, value in zip(STATISTICS, pair, strict=True):
            found.append(Comparison(row, what, ours[what.lower()], value, others.get(f"{row}, {what}")))
    return found


def of_others(options: argparse.Namespace, space: str, dataset: str, accuracies: np.ndarray) -> dict[str, float]:
    """Returns the correlations of independent scores, if available."""
    if space != "nats_tss":
        return {}
    found = scores_of_others(options.benchdata, dataset)
    return {
        f"{row}, {what}": samples.correlation(what.lower(), scores, accuracies[indices])
        for row, (indices, scores) in found.items()
        for what in STATISTICS
    }


def table(scores: Mapping[str, np.ndarray], comparisons: Sequence[Comparison]) -> str:
    """Returns one setting's Markdown table, with a sentence below for each figure that disagrees."""
    by_row: dict[str, dict[str, Comparison]] = {}
    for one in comparisons:
        by_row.setdefault(one.row, {})[one.what] = one
    rows = []
    for row, found in by_row.items():
        values = scores[row]
        counts = [str(len(values)), str(int(np.isnan(values).sum()))]
        figures = [cell for one in found.values() for cell in (*cells(one), number(one.independent))]
        rows.append([row, *counts, *figures])
    titles = [title for what in STATISTICS for title in (what, "published", "difference", "by others")]
    text = markdown(["score", "networks", "failed", *titles], rows)
    return "\n".join([text, "", *sentences(comparisons, published.RBFLEX_REASONS)])


def command(options: argparse.Namespace) -> None:
    size = samples.size_of(options)
    rows = samples.wanted(ROWS, options.scores)
    texts, content = [], {}
    for (name, dataset), printed in published.RBFLEX_TABLE_1.items():
        space, setting = samples.space_of(name, dataset), f"{name}, {dataset}"
        indices, batch = samples.sample(name, size.networks), samples.images_of(options.benchdata, dataset, size.images)
        there, left_out = samples.served(rows, space)
        scores = samples.measure(space, indices, there, batch, own_passes=size.own_passes, workers=options.workers, title=setting)
        known = samples.accuracies_of(options.benchdata, name, dataset)
        comparisons = compare(scores, known[indices], printed, of_others(options, name, dataset, known), size.resamples)
        quantity = samples.TABLES[name, dataset][1].replace("_", " ")
        texts.append("\n".join([f"## {setting} ({quantity})\n", table(scores, comparisons), *left_out]))
        content[setting] = [one.document() for one in comparisons]
        if (name, dataset) == ("nats_sss", "cifar100"):
            clouds = {row: (scores[row], known[indices][: len(scores[row])]) for row in SCATTERED if row in scores}
            if clouds:
                path = options.folder / "rbflex_figure_13.png"
                title = f"RBFleX's Fig. 13: nats_sss, CIFAR-100, N = {size.images}"
                small_multiples.draw_clouds(clouds, path, title, "validation accuracy, %")
    title = f"RBFleX-NAS, Table I: {size.networks} random networks a space (seed 0), {size.own_passes} for scores with " \
            f"passes of their own, N = {size.images}"  # fmt: skip
    notes = (
        "Brackets: 95 % interval of resampled networks. Pearson leaves failed networks out, Kendall ranks them last. "
        "By others: the same figure from scores that others published.\n\n" + published.NOT_REBUILT["tables"]
    )
    write(options.folder, "rbflex_tables", title, "\n\n".join([*texts, notes]), {"sample": size.document(), "settings": content})


def main(options: Sequence[str] | None = None) -> None:
    parser = samples.arguments(__doc__)
    samples.add_sizes(parser, networks=1000, own_passes=60)
    samples.run(parser, command, options)


if __name__ == "__main__":
    main()
