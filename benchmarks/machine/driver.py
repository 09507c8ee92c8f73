"""Evaluations a second that the process of a search keeps up with, and what they allow on 1,000 workers.

    python -m benchmarks driver [--quick] [--folder benchmarks/results]

Three parts, all with the engine's real loop (strategy, keys, journal, snapshots, archive):

    driver      every strategy with scores that are drawn at once, on 64 simulated workers: evaluations per second of processor
                time, and the memory that an evaluation takes. The exit code is 1 if random or genetic stay under 2,000.
    evaluator   what the evaluator works in the process of the search for each candidate (cache, statistics, scores), with
                statistics that are measured once and then handed in again, and the bytes that travel.
    workers     evaluations a second and busy workers for delays that are drawn around 0.05 to 10 seconds, on up to 1,000 workers,
                in virtual time: the clock runs with the work of loop and evaluator and skips the waiting.

Writes driver.json and driver.md.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.shared.output import markdown, write
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config, parse_config
from rbflex_evo.engine.search.simulation import Simulated, drawn_delays, simulate
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.measurer import Measured
from rbflex_evo.strategies import own_strategies

WORKERS = 64
LEAST_PER_SECOND = 2000
EVALUATIONS = 3000
ROUNDS = 2
MEMBERS = ("rbflex", "naswot", "synflow")
SPACES: dict[str, dict[str, Any]] = {"toy, 30 genes": {"name": "toy", "genes": 30, "choices": 4}, "nats_tss": {"name": "nats_tss"}}
# The space whose candidates travel, in the form of the quick start, and the sets of scores that are measured there.
TRAVELLING = {"rbflex": {"proxies": {"rbflex": {"gamma": "flat"}}}, "rbflex_robust": {"preset": "rbflex_robust"}}
SECONDS = (0.05, 0.2, 1.0, 10.0)
FLEETS = (10, 100, 300, 1000)
# Each in a form that offers enough candidates for 1,000 workers, beside its default form.
CONTENDERS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "random, batch 1000": {"name": "random", "batch": 1000},
    "genetic": {"name": "genetic"},
    "genetic, population 1000": {"name": "genetic", "population": 1000},
    "regularised_evolution": {"name": "regularised_evolution"},
    "regularised_evolution, asynchronous, ahead 400": {"name": "regularised_evolution", "asynchronous": True, "ahead": 400},
    "regularised_evolution, asynchronous, ahead 4000": {"name": "regularised_evolution", "asynchronous": True, "ahead": 4000},
}


@dataclass(frozen=True)
class Saturation:
    """What one strategy's search keeps up with: evaluations a second, and bytes of memory an evaluation."""

    strategy: str
    space: str
    evaluations: int
    per_second: float
    memory: float


@dataclass(frozen=True)
class Part:
    """The evaluator's work for a candidate in the process of the search: milliseconds, and bytes to and from a worker."""

    scores: str
    milliseconds: float
    sent: int
    returned: int


@dataclass(frozen=True)
class Cell:
    """A simulated search: evaluations a second, mean number of busy workers, and the share of time that the search worked."""

    strategy: str
    candidate_seconds: float
    workers: int
    offered: int
    per_second: float
    busy: float
    own_share: float


def config_of(strategy: Any, space: Any, fitness: Any = None) -> Config:
    """Returns a search by three scores that are ranked together, or by those of `fitness`."""
    return parse_config(
        {
            "name": "driver",
            "space": space,
            "data": {"source": "noise", "n": 16} | ({"shape": [3, 32, 32]} if fitness else {"shape": [3, 8, 8]}),
            "fitness": fitness or {"proxies": {name: {} for name in MEMBERS}, "objective": {"rank": list(MEMBERS)}},
            "strategy": strategy,
            "budget": {"evaluations": 1},
            "device": "cpu",
            "workers": 1,
            "cache": "off",
        }
    )


def saturation(strategy: str, space: str, evaluations: int) -> Saturation:
    """Runs a search whose candidates take no time; the best of several rounds, since other programs only slow it down."""
    config = config_of(strategy, SPACES[space])

    def run(count: int) -> Simulated:
        return simulate(config, workers=WORKERS, delay=drawn_delays(0.0), evaluations=count)

    best = max((run(evaluations) for _ in range(ROUNDS)), key=lambda found: found.per_second)
    peaks = []
    # Two sizes, so that what does not grow is left out; a strategy that ends early needs no more.
    for count in (evaluations // 8, evaluations // 2):
        tracemalloc.start()
        done = run(count).evaluations
        peaks.append((done, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    (few, small), (many, large) = peaks
    return Saturation(strategy, space, best.evaluations, best.per_second, (large - small) / max(1, many - few))


def evaluators_part(name: str, candidates: int) -> Part:
    """Times an evaluator that gets its statistics back as bytes, as from a worker, and stores them in a cache of its own."""
    config = config_of("random", "nats_tss", TRAVELLING[name])
    parts = Assembly(config)
    with parts.evaluator(cached=False) as measuring:
        pairs = parts.random_pairs(measuring.key, candidates, stream=2)
        calibrations = measuring.prepare()
        measured = dict(zip((key for key, _ in pairs), measuring.statistics([key for key, _ in pairs]), strict=True))
        traffic = [measuring.traffic(key, found) for key, found in measured.items()]
        replies = {measuring.network_of(key): pickle.dumps(found) for key, found in measured.items()}
    seconds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            cached = config.model_copy(update={"cache": str(Path(folder) / "cache.sqlite")})
            with Assembly(cached).evaluator(calibrations=calibrations) as evaluator:
                answer_from(evaluator, replies)
                started = time.process_time()
                done = sum(1 for start in range(0, len(pairs), 50) for _ in evaluator.evaluate(pairs[start : start + 50]))
                seconds.append((time.process_time() - started) / done)
    sent, returned = (sum(column) // len(traffic) for column in zip(*traffic, strict=True))
    return Part(name, 1e3 * min(seconds), sent, returned)


def answer_from(evaluator: Evaluator, replies: dict[Any, bytes]) -> None:
    """Makes an evaluator's workers answer with stored bytes."""

    def submit(requests: Sequence[Any]) -> Future[list[Measured]]:
        future: Future[list[Measured]] = Future()
        future.set_result([pickle.loads(replies[genotype]) for genotype, _ in requests])
        return future

    vars(evaluator._workers)["submit"] = submit


def cell(label: str, seconds: float, workers: int, evaluations: int, own: float) -> Cell:
    """Simulates a search on workers that need about so many seconds for a candidate."""
    config = config_of(CONTENDERS[label], SPACES["toy, 30 genes"])
    found = simulate(config, workers=workers, delay=drawn_delays(seconds), evaluations=evaluations, own=own)
    return Cell(label, seconds, workers, found.offered, found.per_second, found.busy, found.own_share)


def tables(saturations: Sequence[Saturation], parts: Sequence[Part], cells: Sequence[Cell]) -> str:
    """Returns the three tables as Markdown."""
    first = [[s.strategy, s.space, f"{s.evaluations:,}", f"{s.per_second:,.0f}", f"{s.memory:,.0f}"] for s in saturations]
    second = [[p.scores, f"{p.milliseconds:.2f}", f"{p.sent:,}", f"{p.returned:,}"] for p in parts]
    fleets = list(dict.fromkeys(one.workers for one in cells))
    rows: dict[tuple[str, float], list[str]] = {}
    for one in cells:
        row = rows.setdefault((one.strategy, one.candidate_seconds), [one.strategy, f"{one.candidate_seconds:g}"])
        row.append(f"{one.per_second:,.4g} ({one.busy:,.0f})")
    return "\n\n".join(
        [
            markdown(["strategy", "space", "evaluations", "evaluations/s", "bytes of memory an evaluation"], first),
            markdown(["scores on nats_tss", "evaluator, ms a candidate", "bytes sent", "bytes returned"], second),
            "Evaluations a second (mean number of busy workers):",
            markdown(["strategy", "seconds a candidate", *(f"{count:,} workers" for count in fleets)], list(rows.values())),
        ]
    )


def main(options: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the evaluations, to try the command")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where to write")
    given = parser.parse_args(options)
    shrink = 20 if given.quick else 1
    simulate(config_of("random", "toy"), workers=1, delay=drawn_delays(0.0), evaluations=10)  # imports
    saturations = [saturation(name, space, EVALUATIONS // shrink) for space in SPACES for name in own_strategies()]
    parts = [evaluators_part(name, 400 // shrink) for name in TRAVELLING]
    own = next(part.milliseconds for part in parts if part.scores == "rbflex_robust") / 1e3
    cells = [
        cell(label, seconds, workers, max(2000, 10 * workers) // shrink, own)
        for label in CONTENDERS
        for seconds in SECONDS
        for workers in FLEETS
    ]
    content = {
        "saturation": [asdict(one) for one in saturations],
        "evaluator": [asdict(one) for one in parts],
        "workers": [asdict(one) for one in cells],
    }
    write(given.folder, "driver", "Throughput of the process of a search", tables(saturations, parts, cells), content)
    slow = [one for one in saturations if one.strategy in ("random", "genetic") and one.per_second < LEAST_PER_SECOND]
    for one in slow:
        print(f"exceeded: {one.strategy} on {one.space}: {one.per_second:,.0f} evaluations a second, under {LEAST_PER_SECOND:,}")
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
