"""RBFleX's Table II: correlation of scores with accuracies of TransNAS-Bench-101 on two of its tasks.

    python -m benchmarks transnas --tables FOLDER --images FOLDER [--networks 500] [--quick]

`--tables` holds transnas101_micro.npz and transnas101_macro.npz, `--images` RGB images of Taskonomy. `--networks` random networks
of each space (seed 0) are scored with each task's own decoder and normalisation of the images. A second row scores the networks
that the published scripts build (`transnas_published`). Accuracies are those of the validation images at the best epoch, and are
read after everything is scored. Statistics are kept in the user's cache, so that an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import samples
from benchmarks.shared.comparison import Comparison, cells, interval, sentences
from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import Score
from rbflex_evo.fitness import create_batch
from rbflex_evo.spaces import Genotype, SearchSpace, create_space
from rbflex_evo.spaces.families.transnas_bench_101.tasks import CHANNELS
from rbflex_evo.spaces.tables.table import create_table

from . import printed_scores as published
from .transnas_published import PUBLISHED

KINDS = ("transnas_macro", "transnas_micro")
TASKS = ("class_object", "segmentsemantic")
ROWS = [
    Score("rbflex", ("rbflex",), {"networks": 10}),
    Score("naswot", ("naswot",)),
    Score("params", ("params",)),
    Score("flops", ("flops",)),
    Score("3 x 3 convolutions", ("n_conv",)),
]
AS_PUBLISHED = Score("rbflex as published", ("rbflex",), {"mode": "published"})
STATISTICS = ("Kendall", "Spearman", "Pearson")


def drawn(space: SearchSpace, count: int) -> list[Genotype]:
    """Returns distinct random genotypes, sorted so that networks with the same first layers are adjacent and share them."""
    every = list(space.encoding.enumerate())
    chosen = np.random.default_rng(0).permutation(len(every))[:count]
    return sorted(every[i] for i in chosen)


Scores = dict[str, np.ndarray]


def scored(name: str, genotypes: Sequence[Genotype], size: samples.Size, options: argparse.Namespace) -> dict[str, Scores]:
    """Returns by task each row's score [networks], NaN where it failed, and prints how long each setting took."""

    def measured(space: SearchSpace, rows: Sequence[Score], task: str, title: str) -> Scores:
        values = {"root": str(options.images), "task": task, "n": size.images, "seed": 0, "size": options.size}
        started = time.perf_counter()
        batch = create_batch("taskonomy", **values)
        found = samples.scored(space, genotypes, rows, batch, workers=options.workers, title=title)
        print(f"{title}: {time.perf_counter() - started:.0f} s for {len(genotypes)} networks, what was cached included")
        return found

    form = {"size": options.size, "channels": options.channels}
    found = {task: measured(create_space(name, task=task, **form), ROWS, task, f"{name}, {task}") for task in TASKS}
    # Its images are in [0, 1], like the jigsaw's.
    plain = PUBLISHED[name](create_space(name, **form).parameters)
    row = measured(plain, [AS_PUBLISHED], "jigsaw", f"{name}, published network")
    return {task: scores | row for task, scores in found.items()}


def compare(
    scores: Mapping[str, np.ndarray], accuracies: np.ndarray, printed: Mapping[str, tuple[float, float]], resamples: int
) -> list[Comparison]:
    """Returns every statistic's comparison of each row.

    Args:
        scores: Scores by row, float64 [networks], NaN where failed.
        accuracies: Accuracies of the same networks, float64, NaN where the table lacks them.
        printed: (Pearson, Kendall) by row.
    """
    known = ~np.isnan(accuracies)
    found = []
    for row, values in scores.items():
        ours = samples.judged(values[known], accuracies[known], resamples)
        pair = dict(zip(("Pearson", "Kendall"), printed.get(row.partition(" as ")[0], (None, None)), strict=True))
        found += [Comparison(row, what, ours[what.lower()], pair.get(what)) for what in STATISTICS]
    return found


def table(scores: Mapping[str, np.ndarray], comparisons: Sequence[Comparison]) -> str:
    """Returns one setting's Markdown table, with a sentence below for each figure that disagrees."""
    by_row: dict[str, dict[str, Comparison]] = {}
    for one in comparisons:
        by_row.setdefault(one.row, {})[one.what] = one
    rows = [
        [row, str(int(np.isnan(scores[row]).sum())), *cells(one["Kendall"]), interval(one["Spearman"].ours), *cells(one["Pearson"])]
        for row, one in by_row.items()
    ]
    titles = ["score", "failed", "Kendall", "published", "difference", "Spearman", "Pearson", "published", "difference"]
    return "\n".join([markdown(titles, rows), "", *sentences(comparisons, published.TABLE_2_REASONS)])


def command(options: argparse.Namespace) -> None:
    size = samples.Size(6, 6, 4, 20) if options.quick else samples.Size(options.networks, options.networks, options.n)
    options.channels = 4 if options.quick else CHANNELS
    options.size = 64 if options.quick else options.size
    texts, content = [], {}
    for name in options.spaces:
        space = create_space(name)
        genotypes = drawn(space, size.networks)
        by_task = scored(name, genotypes, size, options)
        path = str(options.tables / f"transnas101_{name.removeprefix('transnas_')}.npz")
        for task, scores in by_task.items():
            known = create_table("transnas101", space, path=path, task=task).accuracies()
            accuracies = np.array([known.get(space.notation(genotype), np.nan) for genotype in genotypes])
            comparisons = compare(scores, accuracies, published.RBFLEX_TABLE_2[name, task], size.resamples)
            texts.append(f"## {name}, {task}\n\n{table(scores, comparisons)}")
            content[f"{name}, {task}"] = [one.document() for one in comparisons]
    title = (
        f"RBFleX-NAS, Table II: {size.networks} random networks a space (seed 0), N = {size.images} images of Taskonomy, "
        f"{options.size} pixels"
    )
    notes = (
        "Brackets: 95 % interval of resampled networks. Kendall and Spearman rank failed networks last, Pearson leaves them out. "
        "The published figures are of the whole space."
    )
    facts: dict[str, Any] = {"sample": size.document(), "pixels": options.size, "settings": content}
    write(options.folder, "transnas", title, "\n\n".join([*texts, notes]), facts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="folder of transnas101_micro.npz and transnas101_macro.npz")
    parser.add_argument("--images", type=Path, required=True, help="folder of Taskonomy's RGB images")
    parser.add_argument("--networks", type=int, default=500, help="random networks of each space")
    parser.add_argument("--spaces", nargs="+", choices=KINDS, default=KINDS, help="only these")
    parser.add_argument("--n", type=int, default=16, help="images")
    parser.add_argument("--size", type=int, default=256, help="their sides in pixels")
    parser.add_argument("--workers", type=int, help="worker processes; one a core by default")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where the table goes")
    parser.add_argument("--quick", action="store_true", help="smoke test with a few thin networks")
    samples.run(parser, command, arguments)


if __name__ == "__main__":
    main()
