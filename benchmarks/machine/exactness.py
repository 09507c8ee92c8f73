"""Exactness of the scores at full size: the literal paper, 60 digits, float32, micro-batches.

python -m benchmarks exactness [--cells 20] [--order 200] [--keys 200]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mpmath
import numpy as np
import torch
from scipy.stats import kendalltau
from torch import nn
from tqdm import tqdm

from benchmarks.shared import literal_rbflex
from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.rbflex import kernels
from rbflex_evo.spaces import Genotype, SearchSpace, create_space

WEIGHTS = WeightParameters()
BATCH = create_batch("noise", shape=[3, 32, 32], n=16, seed=0)


def live_cells(count: int, seed: int) -> tuple[SearchSpace, list[Genotype]]:
    """Returns `count` representatives of random nats_tss keys that have a path."""
    space, rng = create_space("nats_tss"), np.random.default_rng(seed)
    cells: list[Genotype] = []
    while len(cells) < count:
        cell = space.representative(space.key(space.encoding.sample(rng)))
        if any(cell):
            cells.append(cell)
    return space, cells


def size_networks(count: int, seed: int) -> tuple[SearchSpace, list[Genotype]]:
    """Returns `count` random nats_sss networks whose last width is at least 24."""
    space, rng = create_space("nats_sss"), np.random.default_rng(seed)
    return space, [(*map(int, rng.integers(0, 8, 4)), int(rng.integers(2, 8))) for _ in range(count)]


def against_literal(space: SearchSpace, genotypes: list[Genotype]) -> float:
    """Returns the largest relative difference of rbflex (float64, HDA gammas of the first 10) from the literal paper."""
    images = BATCH.images.double()
    literal, ours = [], []
    proxy = create_proxy("rbflex")
    for genotype in tqdm(genotypes, f"{space.name} against the literal paper", disable=None):
        network = build_initialised(space, genotype, WEIGHTS).double()
        observer = proxy.observer()
        run_observed(network, images, [observer], space.classifier(network))
        ours.append(observer.finish())
        layers = [module for module in network.modules() if isinstance(module, nn.ReLU)]
        x, y = literal_rbflex.raw_vectors(network, images, space.classifier(network), layers)
        literal.append((x, y) if len(literal) < 10 else None)
        if len(literal) == 10:
            gammas = [literal_rbflex.gamma([pair[part] for pair in literal if pair]) for part in (0, 1)]
            values = proxy.calibrate(ours, np.random.default_rng(0))
            calibrated = proxy.calibrated(values)
            expected = [literal_rbflex.score(*pair, *gammas) for pair in literal if pair]
            literal = [None] * 10
        elif len(literal) > 10:
            expected.append(literal_rbflex.score(x, y, *gammas))
    found = [calibrated.score(statistics) for statistics in ours]
    return float(np.max(np.abs(np.array(found) / np.array(expected) - 1)))


def against_sixty_digits() -> float:
    """Returns the largest relative error of log|K| for gamma from 1e-1 to 1e-20."""
    worst = 0.0
    for seed in range(3):
        rows = np.random.default_rng(seed).random((16, 400))
        distances = kernels.squared_distances(rows @ rows.T)
        for exponent in tqdm(range(1, 21), "log|K| against 60 digits", disable=None):
            gamma = 10.0**-exponent
            with mpmath.workdps(60 + 15 * exponent):  # keeps 60 digits after 15 cancellations
                matrix = mpmath.matrix([[mpmath.exp(-mpmath.mpf(gamma) * mpmath.mpf(float(d))) for d in row] for row in distances])
                exact = float(mpmath.log(mpmath.det(matrix)))
            worst = max(worst, abs(float(kernels.rbf_log_determinants(distances, gamma)) / exact - 1))
    return worst


def order_of_precisions(count: int) -> tuple[float, float]:
    """Returns Kendall's tau and the largest relative difference of D between float32 and float64."""
    space, cells = live_cells(count, seed=2)
    proxy = create_proxy("rbflex", gamma="flat")
    scores: dict[torch.dtype, list[float]] = {torch.float32: [], torch.float64: []}
    error = 0.0
    for cell in tqdm(cells, "float32 against float64", disable=None):
        distances = []
        for dtype, known in scores.items():
            network = build_initialised(space, cell, WEIGHTS).to(dtype)
            observer = proxy.observer()
            run_observed(network, BATCH.images.to(dtype), [observer], space.classifier(network))
            statistics = observer.finish()
            known.append(proxy.score(statistics))
            distances.append(kernels.squared_distances(statistics["k_gram"]))
        error = max(error, float(np.abs(distances[0] - distances[1]).max() / distances[1].max()))
    return float(kendalltau(*scores.values()).statistic), error


def keys_and_company(count: int) -> tuple[int, int]:
    """Returns the number of random keys with one network for all genotypes, and of 32 cells whose score depends on the batch."""
    space = create_space("nats_tss")
    members: dict[str, list[Genotype]] = {}
    for genotype in space.encoding.enumerate():
        members.setdefault(space.key(genotype), []).append(genotype)
    chosen = np.random.default_rng(0).choice(sorted(members), count, replace=False)
    equal = sum(len({space.representative(space.key(genotype)) for genotype in members[key]}) == 1 for key in chosen)
    genotypes = [space.parse(key) for key in chosen[:32]]
    results = []
    for micro_batch in (1, 16):
        proxies = {"rbflex": create_proxy("rbflex", gamma="flat")}
        with Evaluator(Conditions.of(space, BATCH), proxies, workers=1, micro_batch=micro_batch) as one:
            title = f"micro-batch {micro_batch}"
            evaluations = list(tqdm(one.evaluate(keyed(one, genotypes)), title, total=len(genotypes), disable=None))
            results.append([dict(evaluation.scores) for evaluation in evaluations])
    return equal, sum(a != b for a, b in zip(*results, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20, help="networks of each space that are compared with the literal paper")
    parser.add_argument("--order", type=int, default=200, help="cells that are scored in float32 and float64")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    tau, error = order_of_precisions(options.order)
    equal, different = keys_and_company(options.keys)
    rows = [
        ["log|K| against mpmath, gamma 1e-1 .. 1e-20", "largest relative error", against_sixty_digits(), "< 1e-10"],
        [f"rbflex against the literal paper, {options.cells} nats_tss cells", "largest relative difference",
         against_literal(*live_cells(options.cells, seed=5)), "< 1e-6"],
        [f"the same, {options.cells} nats_sss networks of last width >= 24", "largest relative difference",
         against_literal(*size_networks(options.cells, seed=6)), "< 1e-6"],
        [f"float32 against float64, {options.order} cells", "Kendall", tau, ">= 0.999"],
        ["distances in float32", "largest relative error", error, ""],
        [f"{options.keys} random keys", "one network for all genotypes", equal, str(options.keys)],
        ["32 cells in micro-batches of 1 and of 16", "different scores", different, "0"],
    ]  # fmt: skip
    columns = ["what", "measure", "found", "wanted"]
    content = {"rows": [dict(zip(columns, row, strict=True)) for row in rows]}
    write(options.folder, "exactness", "Exactness at full size, N = 16, 32 x 32", markdown(columns, rows), content)


if __name__ == "__main__":
    main()
