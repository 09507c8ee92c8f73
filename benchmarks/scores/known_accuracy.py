"""Kendall's tau of scores with known accuracies of nats_tss, beside parameters and FLOPs.

    python -m benchmarks known_accuracy --table nb201.npz --images foolbox_samples.npz [--array cifar10_images] [--cells 1000]

The cells are `numpy.random.default_rng(0).choice(15625, cells, replace=False)`, the images the first 16 of the file. The table
is an npz in the official order with `<data set>_test_200ep_mean`. A failed score ranks last. Statistics are kept in the user's
cache, so that a second run takes seconds. Accuracies are read after everything is scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, spearmanr
from tqdm import tqdm

from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import create_space

DATA_SETS = ("cifar10", "cifar100")
CIFAR10 = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616]}
PROXIES = {
    "rbflex": ("rbflex", {"networks": 10}),
    "rbflex published": ("rbflex", {"mode": "published"}),
    "layered": ("layered", {}),
    "naswot": ("naswot", {}),
    "naswot, batch statistics": ("naswot", {"statistics": "batch"}),
    "synflow": ("synflow", {}),
}


def score(options: argparse.Namespace) -> tuple[dict[str, np.ndarray], int]:
    """Returns each score [cells], -inf where it failed, and the number of failed cells."""
    space = create_space("nats_tss")
    indices = np.random.default_rng(0).choice(15625, options.cells, replace=False)
    genotypes = [space.at(int(index)) for index in indices]
    if options.images is None:
        batch = create_batch("noise", shape=[3, 32, 32], n=16, seed=0)
    else:
        batch = create_batch("file", path=str(options.images), array=options.array, n=16, order="first", **CIFAR10)
    found: dict[str, np.ndarray] = {}
    failed = 0
    # The published score uses raw cells, so it needs a separate evaluator.
    for published in (False, True):
        chosen = {
            label: create_proxy(name, **values) for label, (name, values) in PROXIES.items() if ("mode" in values) == published
        }
        with Evaluator(Conditions.of(space, batch), chosen, workers=options.workers, cache=default_path()) as evaluator:
            title = "published" if published else "scores"
            evaluations = list(tqdm(evaluator.evaluate(keyed(evaluator, genotypes)), title, total=len(genotypes), disable=None))
        failed = max(failed, sum(evaluation.failed for evaluation in evaluations))
        for label in chosen:
            found[label] = np.array([evaluation.scores.get(label, -np.inf) for evaluation in evaluations])
    costs = [space.costs(genotype) for genotype in tqdm(genotypes, "params, flops", disable=None)]
    found["params"] = np.array([cost.params for cost in costs])
    found["flops"] = np.array([cost.flops for cost in costs])
    return found, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="npz of known accuracies in the official order")
    parser.add_argument("--images", type=Path, help="npz, npy or pt of images; noise without it")
    parser.add_argument("--array", default="cifar10_images", help="name of the array of images")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    found, failed = score(options)
    indices = np.random.default_rng(0).choice(15625, options.cells, replace=False)
    table = np.load(options.table, allow_pickle=False)
    rows, content = [], {}
    for label, values in found.items():
        # Ranks, because correlations do not accept -inf: failed cells tie below all others.
        ranks = np.unique(values, return_inverse=True)[1]
        accuracies = [table[f"{data}_test_200ep_mean"][indices] for data in DATA_SETS]
        taus = [float(kendalltau(ranks, accuracy).statistic) for accuracy in accuracies]
        rhos = [float(spearmanr(ranks, accuracy).statistic) for accuracy in accuracies]
        rows.append([label, *taus, *rhos])
        content[label] = {"kendall": dict(zip(DATA_SETS, taus, strict=True)), "spearman": dict(zip(DATA_SETS, rhos, strict=True))}
    columns = ["score", *(f"Kendall {d}" for d in DATA_SETS), *(f"Spearman {d}" for d in DATA_SETS)]
    inputs = "16 noise images" if options.images is None else f"16 images of {options.array}"
    title = f"{options.cells} cells of nats_tss, {inputs}, {failed} dead cells last, 200-epoch mean test accuracy"
    write(options.folder, "known_accuracy", title, markdown(columns, rows), {"cells": options.cells, "scores": content})


if __name__ == "__main__":
    main()
