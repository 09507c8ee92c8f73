"""Parts of `speed` that run in a process of their own, so that their peak memory is measured separately.

    python -m benchmarks speed_parts exhaustive nats_sss [--subtrees 2]     a whole space, then another gamma over its cache
    python -m benchmarks speed_parts forward plain | scored                 one 224-pixel network

Each prints one line of JSON, in seconds and MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.whole_space import Subtree, score_all, subtrees
from rbflex_evo.fitness.passes.device import keep_freed_memory
from rbflex_evo.fitness.proxies.rbflex.of_module import rbflex_score
from rbflex_evo.spaces import Genotype, SearchSpace, create_space

from .speed_methods import PROXIES, WORKERS, noise, threads

CACHED = 10_000


def peak_mib(process: int | str = "self") -> float:
    """Returns the peak resident memory of a process.

    On Linux it is that of the process's own image, because `getrusage` includes the memory of the parent at the start.
    """
    status = Path(f"/proc/{process}/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    if process != "self":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20


def workers_mib(known: dict[int, float]) -> None:
    """Records the peak memory of the running worker processes."""
    for child in multiprocessing.active_children():
        if child.pid is not None:
            with contextlib.suppress(OSError, IndexError):  # the process has just ended
                known[child.pid] = peak_mib(child.pid)


def spread(names: Sequence[Genotype], count: int) -> list[Genotype]:
    """Returns `count` evenly spaced names, without the first and the last, as a sample of all of them."""
    return [names[round((i + 0.5) * len(names) / count - 0.5)] for i in range(count)]


def exhaustive(
    space: SearchSpace, images: np.ndarray, workers: int, count: int | None, cached: int = CACHED, genes: int = 2
) -> dict[str, Any]:
    """Scores a whole space, or `count` of its subtrees of so many common genes.

    Returns:
        networks, seconds of all of it, seconds that starting the workers took, candidates/s without the start, the
        seconds that the whole space takes or would take, memory, and what another gamma over the first `cached` costs.
    """
    startup = seconds_of_start(space, images, workers)
    whole = subtrees(space, genes)
    total = sum(map(len, whole.values()))
    chosen = set(whole) if count is None or count >= len(whole) else set(spread(list(whole), count))
    kept: list[Subtree] = []
    worker_peaks: dict[int, float] = {}
    scored = 0
    started = time.perf_counter()
    for subtree in score_all(conditions_of(space, images), PROXIES, workers=workers, done=set(whole) - chosen, genes=genes):
        subtree.scores("rbflex", PROXIES["rbflex"])
        if sum(len(one.genotypes) for one in kept) < cached:
            kept.append(subtree)
        scored += len(subtree.genotypes)
        workers_mib(worker_peaks)
    seconds = time.perf_counter() - started
    rate = scored / max(seconds - startup, 1e-9)
    own, others = peak_mib(), sorted(worker_peaks.values())
    return {
        "networks": scored,
        "of": total,
        "workers": workers,
        "seconds": seconds,
        "startup_seconds": startup,
        "candidates_per_second": rate,
        "whole_seconds": seconds if scored == total else total / rate + startup,
        "peak_mib": own + sum(others),
        "own_mib": own,
        "workers_mib": others,
        "new_gamma": new_gamma(space, images, kept, cached),
    }


def conditions_of(space: SearchSpace, images: np.ndarray, device: str = "cpu") -> Conditions:
    """Returns the conditions of a search with default weights."""
    return Conditions.of(space, Batch(torch.from_numpy(images)), device=device)


def seconds_of_start(space: SearchSpace, images: np.ndarray, workers: int) -> float:
    """Returns the seconds until every worker has scored one network."""
    alone = subtrees(space, genes=len(space.encoding.sample(np.random.default_rng(0))))
    first = spread(list(alone), workers)
    started = time.perf_counter()
    list(score_all(conditions_of(space, images), PROXIES, workers=workers, genes=len(first[0]), done=Everything(first)))
    return time.perf_counter() - started


class Everything(Collection[Genotype]):
    """Collection of all genotypes except a few, used as the finished ones when only those few are wanted."""

    def __init__(self, but: Sequence[Genotype]) -> None:
        self.but = set(but)

    def __contains__(self, genotype: object) -> bool:
        return genotype not in self.but

    def __iter__(self) -> Any:
        raise NotImplementedError("everything has no end")

    def __len__(self) -> int:
        raise NotImplementedError("everything has no end")


def new_gamma(space: SearchSpace, images: np.ndarray, measured: Sequence[Subtree], most: int) -> dict[str, Any]:
    """Fills a cache with measured statistics and scores all of them by another gamma, without measuring again."""
    proxies = {"rbflex": create_proxy("rbflex", gamma=[1e-9, 1e-8])}
    with (
        tempfile.TemporaryDirectory() as folder,
        Evaluator(conditions_of(space, images), proxies, workers=1, cache=Path(folder) / "statistics.sqlite") as evaluator,
    ):
        genotypes = fill(evaluator, measured, most)
        started = time.perf_counter()
        scored = sum(bool(evaluation.scores) for evaluation in evaluator.evaluate(keyed(evaluator, genotypes)))
        seconds = time.perf_counter() - started
        if evaluator.counts["measured"] or scored != len(genotypes):
            raise RuntimeError(f"{evaluator.counts['measured']} of {len(genotypes)} candidates were not found in the cache")
    return {"candidates": len(genotypes), "seconds": seconds, "microseconds_each": 1e6 * seconds / max(1, len(genotypes))}


def fill(evaluator: Evaluator, measured: Sequence[Subtree], most: int) -> list[Genotype]:
    """Stores statistics as the evaluator itself would and returns the genotypes."""
    assert evaluator.cache is not None
    rows: dict[Genotype, list[tuple[str, Any]]] = {}
    for subtree in measured:
        for i, genes in enumerate(subtree.genotypes):
            if i not in subtree.failures["rbflex"] and len(rows) < most:
                genotype = tuple(int(gene) for gene in genes)
                key = evaluator.digests(evaluator.space.notation(evaluator.network_of(evaluator.key(genotype))))["rbflex"]
                rows[genotype] = [(key, subtree.statistics["rbflex"][i])]
    evaluator.cache.put(row for pair in rows.values() for row in pair)
    return list(rows)


def forward(scored: bool, n: int = 16, size: int = 224, repeats: int = 3) -> dict[str, float]:
    """Measures one torchvision ResNet-18 on one thread: its plain forward, or its score by the general path."""
    from torchvision.models import resnet18

    network = resnet18(weights=None).train()

    def run(images: torch.Tensor) -> None:
        if scored:
            rbflex_score(network, images, gamma="flat")
        else:
            with torch.no_grad():
                network(images)

    if scored:
        keep_freed_memory()  # as in every Measurer
    images = torch.from_numpy(noise(n, size))
    with threads(1):
        run(torch.from_numpy(noise(2, 64)))  # libraries start and create their kernels
        before = peak_mib()
        times = [timed(run, images) for _ in range(repeats)]
    return {"seconds": float(np.median(times)), "peak_mib": peak_mib(), "forward_mib": peak_mib() - before}


def timed(run: Callable[[torch.Tensor], None], images: torch.Tensor) -> float:
    started = time.perf_counter()
    run(images)
    return time.perf_counter() - started


def apart(*arguments: str) -> dict[str, Any]:
    """Runs one part in a process of its own and returns what it found."""
    command = [sys.executable, "-m", "benchmarks.machine.speed_parts", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2])
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["exhaustive", "forward"])
    parser.add_argument("which", help="name of a space; for forward: plain or scored")
    parser.add_argument("--subtrees", type=int, help="number of subtrees that are scored")
    given = parser.parse_args()
    if given.part == "forward":
        found: dict[str, Any] = dict(forward(given.which == "scored"))
    else:
        found = exhaustive(create_space(given.which), noise(16, 32), WORKERS, given.subtrees)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
