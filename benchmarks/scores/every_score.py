"""Cost and failures of every registered score, and agreement with values that others computed.

    python -m benchmarks every_score --benchdata FOLDER [--cells 300] [--timed 10] [--random 500] [--quick]

    seconds        in one process and one thread, without a cache, medians over random nats_tss cells, beside rbflex
    any cell       500 random cells of a narrow nats_tss, including dead ones: a finite number, or a failure with its reason
    independent    Spearman with the scores that FreeREA's and NASLib's authors published, over random cells, 16 CIFAR-10 images

Others score raw cells, so naswot is compared in its ``published`` mode. Where definitions differ, a sentence below the table says
how.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from benchmarks.shared.independent import scores_of_others
from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import arguments, images_of, run, sample
from rbflex_evo.fitness import PROXIES, Proxy, create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import ConfigError, SearchSpace, create_space

# Parameters for the comparison where they are not the defaults, and how the definitions differ.
INDEPENDENT: dict[str, tuple[dict[str, Any], str]] = {
    "naswot": ({"mode": "published"}, "same definition, raw cells"),
    "logsynflow": ({}, "same definition"),
    "synflow": ({}, "same definition, in logarithm"),
    "snip": ({}, "same definition"),
    "grad_norm": ({}, "same definition"),
    "fisher": ({}, "NASLib multiplies each channel by its number of weights"),
    "jacob_cov": ({}, "same formula; two seeds of the weights agree no better"),
    "grasp": ({}, "same formula; mostly the score's own noise over seeds"),
}


def defined(space: SearchSpace) -> dict[str, Proxy]:
    """Returns every registered score that is defined on a space; `mlp_ratio`, for one, needs Transformer blocks."""
    found = {}
    for name in PROXIES.names():
        proxy = create_proxy(name, **({"gamma": "flat"} if name == "rbflex" else {})).for_space(space)
        with contextlib.suppress(ConfigError):
            proxy.check(space)
            found[name] = proxy
    return found


def seconds(cells: int, images: Any) -> dict[str, float]:
    """Returns the median seconds a network of each score alone, including building the network."""
    space = create_space("nats_tss")
    chosen = [space.at(int(index)) for index in sample("nats_tss", cells + 1, seed=1)]
    found = {}
    for name, proxy in tqdm(defined(space).items(), "seconds", disable=None):
        with Evaluator(Conditions.of(space, images), {name: proxy}, workers=1) as evaluator:
            list(evaluator.evaluate(keyed(evaluator, chosen[:1])))  # initialises libraries
            taken = []
            for genotype in chosen[1:]:
                started = time.perf_counter()
                list(evaluator.evaluate(keyed(evaluator, [genotype])))
                taken.append(time.perf_counter() - started)
        found[name] = float(np.median(taken))
    return found


def failures(cells: int) -> dict[str, int]:
    """Returns how many of the random cells each score fails on; a score that raises, or is not finite, ends the command."""
    space = create_space("nats_tss", channels=4, cells=1)
    chosen = [space.at(int(index)) for index in sample("nats_tss", cells, seed=2)]
    images = create_batch("noise", shape=[3, 16, 16], n=8, seed=0)
    proxies = defined(space)
    failed = dict.fromkeys(proxies, 0)
    with Evaluator(Conditions.of(space, images), proxies) as evaluator:
        for evaluation in tqdm(evaluator.evaluate(keyed(evaluator, chosen)), "any cell", total=cells, disable=None):
            for name in proxies:
                if name in evaluation.failures:
                    assert evaluation.failures[name]
                    failed[name] += 1
                else:
                    assert np.isfinite(evaluation.scores[name])
    return failed


def agreement(options: argparse.Namespace, cells: int) -> dict[str, tuple[int, float]]:
    """Returns, for each score that others published, the number of common cells and Spearman's rho over them."""
    space = create_space("nats_tss")
    others = scores_of_others(options.benchdata, "cifar10")
    images = images_of(options.benchdata, "cifar10")
    found = {}
    for name, (parameters, _) in INDEPENDENT.items():
        if name not in others:
            continue
        indices, theirs = others[name]
        chosen = np.random.default_rng(1).permutation(len(indices))[:cells]
        with Evaluator(Conditions.of(space, images), {name: create_proxy(name, **parameters)}, cache=default_path()) as evaluator:
            evaluations = evaluator.evaluate(keyed(evaluator, [space.at(int(index)) for index in indices[chosen]]))
            shown = tqdm(evaluations, name, total=len(chosen), disable=None)
            ours = np.array([evaluation.scores.get(name, np.nan) for evaluation in shown])
        both = np.isfinite(ours) & np.isfinite(theirs[chosen])
        found[name] = int(both.sum()), float(spearmanr(ours[both], theirs[chosen][both]).statistic)
    return found


def rows(taken: Mapping[str, float], failed: Mapping[str, int], agreed: Mapping[str, tuple[int, float]]) -> list[list[Any]]:
    """Returns the table, the quickest score first."""
    return [
        [
            name,
            PROXIES.get(name).cost,
            1000 * taken[name],
            taken[name] / taken["rbflex"],
            failed[name],
            *(f"{agreed[name][1]:.3f} ({agreed[name][0]} cells)" if name in agreed else "",),
            INDEPENDENT[name][1] if name in agreed else "",
        ]
        for name in sorted(taken, key=taken.__getitem__)
    ]


def command(options: argparse.Namespace) -> None:
    """Measures everything and writes the table."""
    few = options.quick
    taken = seconds(2 if few else options.timed, images_of(options.benchdata, "cifar10", 4 if few else 16))
    failed = failures(6 if few else options.random)
    agreed = agreement(options, 4 if few else options.cells)
    columns = ["score", "cost class", "ms a network", "beside rbflex", "failed", "Spearman with others", "definitions"]
    title = f"Every score: nats_tss, 16 CIFAR-10 images, one thread; failures among {6 if few else options.random} random cells"
    content = {"seconds": taken, "failed": failed, "independent": agreed}
    write(options.folder, "every_score", title, markdown(columns, rows(taken, failed, agreed)), content)


def main(options: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--cells", type=int, default=300, help="cells that are compared with the scores of others")
    parser.add_argument("--timed", type=int, default=10, help="cells for the timing")
    parser.add_argument("--random", type=int, default=500, help="random cells on which no score may raise")
    run(parser, command, options)


if __name__ == "__main__":
    main()
