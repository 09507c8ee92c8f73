"""Agreement of every backend, precision, batch size and worker count with one network alone in float64.

    python -m benchmarks agreement [--candidates 200] [--quick] [--seed 0] [--precisions float32] [--folder benchmarks/results]

The reference is the built network under observers, in float64. Each row compares the same random candidates of one space with it:

- Kendall's tau of the rbflex score (flat gamma), of K alone, of Q alone and of the layered score, to six digits;
- the largest error of the squared distances between images, as a fraction of the largest distance;
- the largest error of naswot's matches, as a fraction of all units.

Dead candidates are counted and left out. Spaces of large networks are measured in a small form (`FORMS`): the code paths are the
same, and a thousand large networks in float64 would take days on a CPU.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from tqdm import tqdm

from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness import CandidateFailed, Observer, Proxy, Statistics, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.executors.processes import Processes, cores
from rbflex_evo.fitness.measuring.workers import Workers
from rbflex_evo.fitness.passes.device import PRECISIONS, keep_freed_memory
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.planned.backends import create_backend
from rbflex_evo.fitness.planned.interpreter import Interpreter
from rbflex_evo.fitness.proxies.rbflex import kernels
from rbflex_evo.spaces import SPACES, ConfigError, Genotype, SearchSpace, create_space

WEIGHTS = WeightParameters()
CPU = torch.device("cpu")
IMAGES = 16
TOGETHER = 16  # candidates in one launch
MICRO_BATCH = 8  # candidates that a worker takes at once
WANTED = 0.999
SCORES = ("rbflex", "naswot", "layered")
CELLS = {"depths": [4, 8], "widths": [8, 16]}
FORMS: dict[str, dict[str, Any]] = {
    **{f"autoformer_{name}": {"widths": [48, 64], "heads": [2, 3], "size": 64} for name in ("tiny", "small", "base")},
    "darts": {"channels": 8, "layers": 8},
    **{f"nds_{name}": CELLS for name in ("amoeba", "darts", "enas", "nasnet", "pnas")},
    "nds_resnet": {"depths": [1, 2, 4], "widths": [8, 16, 32]},
    "nasbench101": {"channels": 32},
    "flexibert": {"hidden": [32, 64], "inner": [64, 128], "embedding": 32, "length": 20, "vocabulary": 1000},
    "mobilenet": {"size": 64},
    "nafbee_bert": {"per_layer": True, "layers": 6, "hidden": 96, "heads": 6, "length": 20, "vocabulary": 1000},
    "nafbee_vgg11": {"per_layer": True, "channels": 16},
    "nafbee_vgg19": {"per_layer": True, "channels": 16},
    "pit": {"widths": [8, 16], "size": 64},
    "transnas_macro": {"size": 64, "channels": 16, "task": "segmentsemantic"},
    "transnas_micro": {"size": 64, "channels": 16},
}
COLUMNS = [
    "space", "computed by", "precision", "candidates", "dead", "dead in one only",
    "rbflex", "K alone", "Q alone", "layered", "wanted", "error of D of X", "error of D of Y", "error of matches",
]  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way of computing: the built network (``generic``) or a plan on a backend, with `together` candidates in one launch."""

    path: str
    precision: str
    together: int = 1

    @property
    def title(self) -> str:
        if self.path == "generic":
            return "built network"
        return f"plan, {self.path}, {'alone' if self.together == 1 else f'{self.together} in one launch'}"


REFERENCE = Way("generic", "float64")
GENERIC = [Way("generic", "float32")]
PLANNED = [Way("eager", precision, together) for together in (1, TOGETHER) for precision in PRECISIONS]
COMPILED = [Way("compiled", precision) for precision in PRECISIONS]


@dataclass(frozen=True)
class Outcome:
    """Statistics of one candidate, None if it is dead for a score.

    Attributes:
        distances: Squared distances [N, N] of X, and of Y where the space's features are meaningful.
        matches: The matches [N, N] of naswot.
        layered: The layered score.
    """

    distances: tuple[np.ndarray, ...] | None
    matches: np.ndarray | None
    layered: float | None

    @property
    def dead(self) -> bool:
        return self.distances is None or self.matches is None or self.layered is None


def outcome(rbflex: Statistics | None, naswot: Statistics | None, layered: Statistics | None) -> Outcome:
    """Returns the compared part of the statistics."""
    distances = None
    if rbflex is not None:
        grams = [rbflex[name] for name in ("k_gram", "q_gram") if name in rbflex]
        distances = tuple(kernels.squared_distances(gram) for gram in grams)
    layers = None if layered is None else create_proxy("layered").score(layered)
    return Outcome(distances, None if naswot is None else naswot["matches"], layers)


def images(space: SearchSpace) -> torch.Tensor:
    """Returns the inputs, [N, ...]: noise, or words."""
    return space.example_inputs(IMAGES, 0)


def candidates(space: SearchSpace, count: int, seed: int) -> list[Genotype]:
    """Returns `count` distinct representatives of random keys, or fewer if the space is smaller."""
    rng = np.random.default_rng(seed)
    found: dict[Genotype, None] = {}
    for _ in range(100 * count):
        if len(found) == count:
            break
        found[space.representative(space.key(space.encoding.sample(rng)))] = None
    return list(found)


def ways(space: SearchSpace, precisions: Sequence[str] = tuple(PRECISIONS)) -> list[Way]:
    """Returns all ways of these precisions that this space and this machine support, without the reference."""
    return [way for way in supported(space) if way.precision in precisions]


def supported(space: SearchSpace) -> list[Way]:
    """Returns all ways that this space and this machine support, without the reference."""
    if space.plan(candidates(space, 1, 0)[0], space.input_shape) is None:
        return GENERIC
    try:
        create_backend("compiled", CPU, *PRECISIONS["float32"])
    except ConfigError as error:
        print(f"left out: {error}")
        return [*GENERIC, *PLANNED]
    return [*GENERIC, *PLANNED, *COMPILED]


def space_of(name: str) -> SearchSpace:
    """Returns the space in the form that is compared."""
    return create_space(name, **FORMS.get(name, {}))


def measure(name: str, genotypes: Sequence[Genotype], chosen: Sequence[Way]) -> list[list[Outcome]]:
    """Returns the outcomes of the candidates, one list for each way; runs in a process with one thread."""
    space = space_of(name)
    return [generic(space, genotypes, way) if way.path == "generic" else list(planned(space, genotypes, way)) for way in chosen]


def proxies_for(space: SearchSpace) -> dict[str, Proxy]:
    return {name: create_proxy(name).for_space(space) for name in SCORES}


def observers(space: SearchSpace) -> list[Observer]:
    return [proxy.observer() for proxy in proxies_for(space).values()]


def finished(seen: Sequence[Observer]) -> Outcome:
    found: list[Statistics | None] = []
    for observer in seen:
        try:
            found.append(observer.finish())
        except CandidateFailed:
            found.append(None)
    return outcome(*found)


def generic(space: SearchSpace, genotypes: Sequence[Genotype], way: Way) -> list[Outcome]:
    """Measures each built network alone."""
    dtype, convolutions = PRECISIONS[way.precision]
    inputs = images(space)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    results = []
    for genotype in genotypes:
        network, seen = build_initialised(space, genotype, WEIGHTS).to(dtype), observers(space)
        run_observed(network, inputs, seen, space.classifier(network), convolutions=convolutions)
        results.append(finished(seen))
    return results


def planned(space: SearchSpace, genotypes: Sequence[Genotype], way: Way) -> Iterator[Outcome]:
    """Measures plans, `way.together` of them in one launch."""
    inputs = images(space).to(PRECISIONS[way.precision][0])
    run = interpreter(space.name, way.path, way.precision).run
    for start in range(0, len(genotypes), way.together):
        plans = [space.plan(genotype, space.input_shape) for genotype in genotypes[start : start + way.together]]
        seen = [observers(space) for _ in plans]
        run([plan for plan in plans if plan is not None], inputs, seen)
        yield from map(finished, seen)


@functools.cache
def interpreter(name: str, backend: str, precision: str) -> Interpreter:
    """Returns this process's interpreter, which keeps its prepared weights."""
    dtype, convolutions = PRECISIONS[precision]
    made = create_backend(backend, CPU, dtype, convolutions)
    return Interpreter(WEIGHTS, space_of(name).weight_shapes(), CPU, dtype, made)


def by_workers(space: SearchSpace, genotypes: Sequence[Genotype], count: int) -> list[Outcome]:
    """Measures as a search does: float32, the best backend, that many worker processes."""
    proxies = proxies_for(space)
    requests = [(genotype, proxies) for genotype in genotypes]
    workers = Workers(Conditions.of(space, Batch(images(space)), weights=WEIGHTS, device="cpu"), count)
    try:
        futures = [workers.submit(requests[i : i + MICRO_BATCH]) for i in range(0, len(requests), MICRO_BATCH)]
        measured = [one for future in futures for one in future.result()]
    finally:
        workers.close()
    return [outcome(*(one.statistics.get(name) for name in SCORES)) for one in measured]


def row(space: SearchSpace, title: str, precision: str, found: Sequence[Outcome], reference: Sequence[Outcome]) -> list[object]:
    """Returns the table row that compares the outcomes of one way with those of the reference."""
    pairs = [(a, b) for a, b in zip(found, reference, strict=True) if not (a.dead or b.dead)]
    # A space whose features are round-off is scored by K alone.
    parts = 1 if space.features == "none" else 2
    scores = [np.array([logs(pair[side]) for pair in pairs]).reshape(-1, parts).T for side in (0, 1)]
    taus: list[object] = [kendall(a, b) for a, b in zip(*([whole.sum(axis=0), *whole] for whole in scores), strict=True)]
    errors: list[object] = [
        max((relative(a.distances[part], b.distances[part]) for a, b in pairs if a.distances and b.distances), default=math.nan)
        for part in range(parts)
    ]
    missing: list[object] = [""] * (2 - parts)
    layered = kendall(*(np.array([pair[side].layered for pair in pairs]) for side in (0, 1)))
    matches = [relative(a.matches, b.matches) for a, b in pairs if a.matches is not None and b.matches is not None]
    alone = sum(a.dead != b.dead for a, b in zip(found, reference, strict=True))
    wanted = "" if precision == "bfloat16" else f">= {WANTED}"
    dead = sum(b.dead for b in reference)
    columns = [*taus, *missing, layered, wanted, *errors, *missing, max(matches, default=math.nan)]
    return [space.name, title, precision, len(reference), dead, alone, *columns]


def logs(one: Outcome) -> list[float]:
    """Returns log|K|, and log|Q| if it exists, in the flat limit; rbflex is N times their sum."""
    assert one.distances is not None
    return [float(kernels.flat_log_determinants(distances)) for distances in one.distances]


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Returns Kendall's tau of the scores rounded to six digits, as a search compares them: isomorphic cells are ties."""
    return float(kendalltau(*([six_digits(value) for value in scores] for scores in (a, b))).statistic)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the largest error of `a` as a part of the largest entry of `b`."""
    return float(np.abs(a - b).max() / b.max())


def start_process() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()


def compare(name: str, count: int, seed: int, precisions: Sequence[str], pool: Processes) -> list[list[object]]:
    """Returns the rows of one space."""
    space = space_of(name)
    genotypes, chosen = candidates(space, count, seed), ways(space, precisions)
    blocks = [genotypes[i : i + TOGETHER] for i in range(0, len(genotypes), TOGETHER)]
    with ThreadPoolExecutor(cores()) as threads:
        futures = [threads.submit(pool.call, measure, name, block, [REFERENCE, *chosen]) for block in blocks]
        parts = [future.result() for future in tqdm(futures, f"{name}, blocks of {TOGETHER}", disable=None)]
    reference, *found = ([one for part in parts for one in part[i]] for i in range(len(chosen) + 1))
    rows = [row(space, way.title, way.precision, results, reference) for way, results in zip(chosen, found, strict=True)]
    best = create_backend("auto", CPU, *PRECISIONS["float32"]).name
    is_planned = any(way.path != "generic" for way in chosen)
    title = f"two workers, {f'plan, {best}' if is_planned else 'built network'}"
    return [*rows, row(space, title, "float32", by_workers(space, genotypes, 2), reference)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=200, help="candidates of each space")
    parser.add_argument("--quick", action="store_true", help="16 candidates of each space")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random candidates")
    parser.add_argument("--spaces", nargs="+", choices=SPACES.names(), default=SPACES.names(), metavar="SPACE")
    parser.add_argument("--precisions", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS), metavar="PRECISION")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    count = 16 if options.quick else options.candidates
    with Processes(start_process) as pool:
        rows = [row for name in options.spaces for row in compare(name, count, options.seed, options.precisions, pool)]
    title = f"Agreement with one network alone in float64: {count} random candidates of each space, N = {IMAGES}"
    content = {"candidates": count, "seed": options.seed, "rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows]}
    write(options.folder, "agreement", title, markdown(COLUMNS, rows), content)


if __name__ == "__main__":
    main()
