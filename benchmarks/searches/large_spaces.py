"""Evaluation of scores and searches in the large spaces, one part a subcommand.

    python -m benchmarks large_spaces macro --table nasbench_macro.npz     scores against the test accuracy of NAS-Bench-Macro
    python -m benchmarks large_spaces found --run runs/mobilenet-search    the found network beside 1,000 random ones of its space
    python -m benchmarks large_spaces forward                              one mobilenet at 224 pixels: time and memory
    python -m benchmarks large_spaces shared                               time saved by sharing the first layers of networks

`macro` scores the first networks of a random order of the 3,969 keys and reads accuracies after everything is scored; a failed
score ranks last. `found` uses scores that the search did not use: for each score, it reports the share of random networks within
the same limits that lie below the found one. `forward` measures each method in its own process, on one thread. `shared`
alternates between scoring the candidates by RBFleX one by one and in one call, on one thread. ``--quick`` is a smoke test.
Statistics are kept in the user's cache, so that an interrupted part can be resumed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy.stats import kendalltau, rankdata, spearmanr
from tqdm import tqdm

from benchmarks.machine.speed_methods import noise, threads
from benchmarks.machine.speed_parts import peak_mib, timed
from benchmarks.shared.output import markdown, write
from rbflex_evo.engine.correlation.correlate import combine
from rbflex_evo.fitness import PROXIES, create_batch, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.objective.objective import ObjectiveParameters, create_objective
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, Costs, Genotype, RunError, SearchSpace, create_space

SCORES = (
    "rbflex", "naswot", "swap", "meco", "synflow", "logsynflow", "zen", "az_expressivity", "az_progressivity", "az_trainability",
)  # fmt: skip
PARAMETERS: dict[str, dict[str, Any]] = {"rbflex": {"gamma": "flat"}}
COSTS = ("params", "flops")
Scores = dict[str, np.ndarray]


def scored(
    space: SearchSpace, genotypes: Sequence[Genotype], names: Sequence[str], shape: Sequence[int], options: argparse.Namespace
) -> Scores:
    """Returns each score [genotypes], -inf where it failed, and the costs."""
    proxies = {name: create_proxy(name, **PARAMETERS.get(name, {})) for name in names}
    batch = create_batch("noise", shape=list(shape), n=options.n, seed=0)
    with Evaluator(Conditions.of(space, batch), proxies, workers=options.workers, cache=options.cache) as evaluator:
        evaluations = list(tqdm(evaluator.evaluate(keyed(evaluator, genotypes)), "scores", total=len(genotypes), disable=None))
    found = {name: np.array([evaluation.scores.get(name, -np.inf) for evaluation in evaluations]) for name in names}
    # Costs are those of the representative of each key, which is scored.
    costs = [space.costs(space.representative(space.key(genotype)), shape) for genotype in genotypes]
    return found | {cost: np.array([getattr(one, cost) for one in costs]) for cost in COSTS}


def with_presets(found: Scores) -> Scores:
    """Returns the scores, and every preset whose members are all among them."""
    scores = {name: np.where(np.isneginf(values), np.nan, values) for name, values in found.items()}
    combined = dict(found)
    for name in PRESETS.names():
        preset = PRESETS.get(name)
        if set(preset.members) <= set(scores):
            objective = create_objective(ObjectiveParameters(**preset.objective), preset.members)
            combined[name] = np.nan_to_num(combine(objective, scores), nan=-np.inf)
    return combined


def macro(options: argparse.Namespace) -> None:
    """Orders networks of NAS-Bench-Macro by every score."""
    space = create_space("nasbench_macro")
    keys = list(space.keys())
    chosen = np.random.default_rng(0).permutation(len(keys))[: options.networks]
    genotypes = [space.representative(keys[i]) for i in chosen]
    names = ["rbflex", "naswot"] if options.quick else list(options.scores)
    found = with_presets(scored(space, genotypes, names, space.input_shape, options))
    table = np.load(options.table, allow_pickle=False)
    known = dict(zip(map(tuple, table["code"].tolist()), table["test_acc"].mean(axis=1).tolist(), strict=True))
    accuracies = np.array([known[genotype] for genotype in genotypes])
    rows = [[name, *agreement(values, accuracies)] for name, values in found.items()]
    columns = ["score", "Kendall", "Spearman", "Kendall of the best 10 %", "accuracy of the first"]
    title = f"{len(genotypes)} of 3,969 networks of nasbench_macro, {options.n} noise images, mean test accuracy of 3 runs"
    content = {"networks": len(genotypes), "n": options.n, "rows": [dict(zip(columns, row, strict=True)) for row in rows]}
    content["best"] = float(accuracies.max())
    write(options.folder, "large_spaces_macro", f"{title} (best {accuracies.max():.2f})", markdown(columns, rows), content)


def agreement(values: np.ndarray, accuracies: np.ndarray) -> list[float]:
    """Returns Kendall's tau, Spearman's rho, tau among the tenth of greatest accuracy, and the accuracy of the highest score."""
    ranks = rankdata(values)  # correlations do not accept -inf
    best = accuracies >= np.quantile(accuracies, 0.9)
    return [
        float(kendalltau(ranks, accuracies).statistic),
        float(spearmanr(ranks, accuracies).statistic),
        float(kendalltau(ranks[best], accuracies[best]).statistic),
        float(accuracies[int(np.argmax(values))]),
    ]


def found(options: argparse.Namespace) -> None:
    """Compares a finished run's best network with random ones within the same limits."""
    config, best = finished_run(options.run)
    chosen = {"name": config["space"]} if isinstance(config["space"], str) else dict(config["space"])
    space = create_space(chosen.pop("name"), **chosen)
    shape = config["data"].get("shape", list(space.input_shape))
    searched = list(config["fitness"]["proxies"])
    unseen = [name for name in options.scores if name not in searched]
    unseen = unseen[:1] if options.quick else unseen
    limits = config["fitness"].get("constraints", {})
    genotypes = [space.parse(best), *random_within(space, shape, limits, options.networks)]
    values = scored(space, genotypes, unseen, shape, options)
    rows = []
    for name, column in values.items():
        own, others = float(column[0]), column[1:]
        rows.append([name, own, float(np.median(others)), float(others.max()), 100 * float(np.mean(others < own))])
    columns = ["score", "found", "median of random", "best of random", "percentile of found"]
    title = f"The network of {options.run.name} beside {options.networks} random ones of {space.name}, not searched by these"
    content = {"found": best, "searched": searched, "limits": limits}
    content["rows"] = [dict(zip(columns, row, strict=True)) for row in rows]
    write(options.folder, f"large_spaces_found_{space.name}", title, markdown(columns, rows), content)


def finished_run(folder: Path) -> tuple[dict[str, Any], str]:
    """Returns the configuration of a run and the notation of its best network.

    Raises:
        RunError: if the run is not finished, or found nothing.
    """
    for name in ("config.yaml", "result.json"):
        if not (folder / name).is_file():
            raise RunError(f"{str(folder)!r} has no {name}; expected the folder of a finished run")
    best = json.loads((folder / "result.json").read_text())["best"]
    if best is None:
        raise RunError(f"the run {str(folder)!r} found no network")
    return yaml.safe_load((folder / "config.yaml").read_text()), best["notation"]


def random_within(space: SearchSpace, shape: Sequence[int], limits: Mapping[str, Any], count: int) -> list[Genotype]:
    """Returns random genotypes of distinct keys within the limits on parameters and FLOPs.

    Raises:
        ConfigError: if another quantity is limited, or almost no network is within the limits.
    """
    bounds = {name: limit for name, limit in limits.items() if isinstance(limit, Mapping)}
    if not set(bounds) <= set(COSTS):
        others = ", ".join(sorted(set(bounds) - set(COSTS)))
        raise ConfigError(f"limits on {others} are not drawn here; expected {', '.join(COSTS)}")
    rng = np.random.default_rng(1)
    drawn: dict[str, Genotype] = {}
    for _ in range(1000 * count):
        if len(drawn) == count:
            break
        genotype = space.encoding.sample(rng)
        key = space.key(genotype)
        if keeps(space.costs(space.representative(key), shape), bounds):
            drawn.setdefault(key, genotype)
    if len(drawn) < count:
        raise ConfigError(f"only {len(drawn)} of {1000 * count} random networks keep the limits {dict(bounds)}; ask for fewer")
    return list(drawn.values())


def keeps(costs: Costs, bounds: Mapping[str, Mapping[str, float]]) -> bool:
    """True if the costs lie within every bound."""
    return all(limit.get("min", -np.inf) <= getattr(costs, name) <= limit.get("max", np.inf) for name, limit in bounds.items())


def forward(options: argparse.Namespace) -> None:
    """Measures one mobilenet, plain and scored, each in a process of its own."""
    if options.only:
        print(json.dumps(measured(options.only, options.size, options.n, 1 if options.quick else 3)))
        return
    command = [sys.executable, "-m", "benchmarks.searches.large_spaces", "forward", f"--size={options.size}", f"--n={options.n}"]
    command += ["--quick"] if options.quick else []
    results = {}
    for which in ("plain", "scored"):
        process = subprocess.run([*command, "--only", which], check=True, stdout=subprocess.PIPE, text=True)
        results[which] = json.loads(process.stdout)
    rows = [[which, row["seconds"], row["peak_mib"]] for which, row in results.items()]
    title = f"MobileNetV2 1.0 at {options.size} pixels, N = {options.n}, one thread"
    write(options.folder, "large_spaces_forward", title, markdown(["", "seconds", "peak MiB"], rows), results)


def measured(which: str, size: int, n: int, repeats: int) -> dict[str, float]:
    """Returns the median seconds of MobileNetV2's plain forward, or of scoring it by RBFleX, and the peak memory in MiB."""
    space = create_space("mobilenet", size=size)
    depths = (1, 2, 3, 4, 3, 3, 1)
    stages = ["1.0: " + " ".join([f"k3e{6 if i else 1}"] * depth) for i, depth in enumerate(depths)]
    genotype = space.parse(" | ".join(["stem 1.0", *stages, "head 1.0"]))
    proxy = create_proxy("rbflex", gamma="flat")
    network = build_initialised(space, genotype, WeightParameters()).train()

    def run(images: torch.Tensor) -> None:
        if which == "plain":
            with torch.no_grad():
                network(images)
            return
        measurer = Measurer(Conditions.of(space, Batch(images), device="cpu"))
        proxy.score(measurer.measure([(genotype, {"rbflex": proxy})])[0].statistics["rbflex"])

    images = torch.from_numpy(noise(n, size))
    with threads(1):
        run(torch.from_numpy(noise(2, 64)))  # starts libraries and draws the weights
        times = [timed(run, images) for _ in range(repeats)]
    return {"seconds": float(np.median(times)), "peak_mib": peak_mib()}


def shared(options: argparse.Namespace) -> None:
    """Times the candidates that a search scores together, one by one and in one call."""
    rng = np.random.default_rng(0)
    macro, mobile, darts = create_space("nasbench_macro"), create_space("mobilenet", size=64), create_space("darts")
    count, rounds = (4, 1) if options.quick else (32, 3)
    start, cell = mobile.encoding.sample(rng), darts.encoding.sample(rng)
    keys = sorted(macro.representative(key) for key in macro.keys())  # noqa: SIM118 (a method, not a dict's)
    together: dict[str, tuple[SearchSpace, int, list[Genotype]]] = {
        "nasbench_macro, neighbours of a walk": (macro, 32, keys[:count]),
        "mobilenet at 64 pixels, neighbours of one network": (mobile, 64, _some(mobile.encoding.neighbours(start), count, rng)),
        "darts, neighbours of one network": (darts, 32, _some(darts.encoding.neighbours(cell), count // 2, rng)),
        "mobilenet at 64 pixels, random networks": (mobile, 64, [mobile.encoding.sample(rng) for _ in range(count)]),
    }
    if options.quick:
        together.pop("darts, neighbours of one network")
    rows = []
    with threads(1):
        for name, (space, size, genotypes) in together.items():
            requests = [(genotype, {"rbflex": create_proxy("rbflex", gamma="flat")}) for genotype in genotypes]
            images = torch.from_numpy(noise(options.n, size))
            measurer = Measurer(Conditions.of(space, Batch(images), device="cpu"))

            ways = [partial(_in_calls, measurer, requests, candidates) for candidates in (1, len(requests))]
            ways[0](images)  # draws the weights
            times = [[timed(run, images) for run in ways] for _ in range(rounds)]
            alone, company = 1000 * np.median(times, axis=0) / len(requests)
            rows.append([name, len(requests), float(alone), float(company), float(alone / company)])
    columns = ["candidates", "number", "alone, ms a network", "in company, ms", "ratio"]
    content = [dict(zip(columns, row, strict=True)) for row in rows]
    title = f"Networks that begin alike, N = {options.n}, one thread, median of {rounds} rounds"
    write(options.folder, "large_spaces_shared", title, markdown(columns, rows), {"rows": content})


def _in_calls(measurer: Measurer, requests: Sequence[Any], candidates: int, _: torch.Tensor) -> None:
    for first in range(0, len(requests), candidates):
        measurer.measure(requests[first : first + candidates])


def _some(genotypes: Iterable[Genotype], count: int, rng: np.random.Generator) -> list[Genotype]:
    every = list(genotypes)
    return [every[i] for i in rng.permutation(len(every))[:count]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for part, work in (("macro", macro), ("found", found), ("forward", forward), ("shared", shared)):
        one = parts.add_parser(part, help=work.__doc__)
        one.set_defaults(work=work)
        one.add_argument("--quick", action="store_true", help="a smoke test: few networks, few images, one or two scores")
        one.add_argument("--n", type=int, help="images; 16, or 4 with --quick")
        one.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
        if part == "forward":
            one.add_argument("--size", type=int, default=224)
            one.add_argument("--only", choices=("plain", "scored"), help="in this process, printed as JSON")
        if part in ("forward", "shared"):
            continue
        one.add_argument("--networks", type=int, help="1,000, or 12 with --quick")
        one.add_argument("--scores", nargs="+", choices=PROXIES.names(), default=SCORES, metavar="SCORE", help=", ".join(SCORES))
        one.add_argument("--workers", type=int)
        one.add_argument("--cache", type=Path, default=None, help="the file of measured statistics; the user's own without it")
        name, text = ("--table", "nasbench_macro.npz") if part == "macro" else ("--run", "the folder of a finished run")
        one.add_argument(name, type=Path, required=True, help=text)
    options = parser.parse_args(arguments)
    options.n = options.n or (4 if options.quick else 16)
    if options.part in ("macro", "found"):
        options.networks = options.networks or (12 if options.quick else 1000)
        options.cache = options.cache or default_path()
    options.work(options)


if __name__ == "__main__":
    main()
