"""Time of a search on two workers of a Ray cluster beside two local processes.

    python -m benchmarks executors [--evaluations 2000] [--rounds 3] [--workers 2] [--folder benchmarks/results]

Random search over nats_tss by naswot, one of the cheapest scores, with 16 noise images and without a cache. In each round, both
executors run the same search, in turns. `search` is the time from the first evaluation to the last one, `start` the time before it:
the start of the workers, and of a Ray cluster on this machine. The journals must be the same. The benchmark runs in a network of
its own that has loopback alone, which needs root on Linux. The exit code is 1 if Ray takes over 15 % more time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.shared import loopback
from benchmarks.shared.output import markdown, write
from rbflex_evo.engine.configuration.config import Config, parse_config
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.search.callback import Callback, SearchProgress
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation

LIMIT = 1.15
APART = "RBFLEX_EVO_BENCHMARK_APART"
EXECUTORS: dict[str, Any] = {"local": "local", "ray": {"name": "ray", "address": "local"}}


def config_of(executor: str, number: int, evaluations: int, workers: int, runs: Path) -> Config:
    return parse_config(
        {
            "name": f"{executor} {number}",
            "space": "nats_tss",
            "data": {"source": "noise", "n": 16},
            "fitness": {"objective": "naswot"},
            "strategy": "random",
            "budget": {"evaluations": evaluations},
            "executor": EXECUTORS[executor],
            "workers": workers,
            "device": "cpu",
            "cache": "off",
            "runs": str(runs),
        }
    )


class Clock(Callback):
    """Notes when each evaluation is told."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        self.times.append(time.perf_counter())


def run(config: Config) -> tuple[float, float, list[Any]]:
    """Returns the seconds until the first evaluation, those from then to the last one, and what was found."""
    clock, started = Clock(), time.perf_counter()
    folder = Search(config, quiet=True, report=False, callbacks=[clock]).run().folder
    found = [[one.key, one.scores, one.failures] for one in read_journal(folder / "journal.jsonl").evaluations]
    return clock.times[0] - started, clock.times[-1] - clock.times[0], found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--evaluations", type=int, default=2000, help="evaluations of each search")
    parser.add_argument("--rounds", type=int, default=3, help="searches of each executor, in turns")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where to write")
    given = parser.parse_args()
    if APART not in os.environ:
        reason = loopback.why_not()
        if reason is not None:
            print(f"not measured: {reason}", file=sys.stderr)
            return 2
        os.environ[APART] = "1"
        command = loopback.within([sys.executable, "-m", "benchmarks", "executors", *sys.argv[1:]])
        os.execv(command[0], command)
    starts: dict[str, list[float]] = {name: [] for name in EXECUTORS}
    searches: dict[str, list[float]] = {name: [] for name in EXECUTORS}
    journals = []
    with tempfile.TemporaryDirectory(prefix="runs") as runs:
        os.environ["RAY_TMPDIR"] = runs
        for number in range(given.rounds):
            for name in list(EXECUTORS)[:: 1 if number % 2 else -1]:
                start, seconds, found = run(config_of(name, number, given.evaluations, given.workers, Path(runs)))
                print(f"{name}: {start:.1f} s, {seconds:.2f} s", file=sys.stderr, flush=True)
                starts[name].append(start)
                searches[name].append(seconds)
                journals.append(found)
    middle = {name: statistics.median(seconds) for name, seconds in searches.items()}
    rows = [
        [name, given.workers, statistics.median(starts[name]), middle[name], middle[name] / middle["local"]] for name in EXECUTORS
    ]
    same = all(found == journals[0] for found in journals)
    table = markdown(["executor", "workers", "start, s", "search, s", "of local"], rows)
    title = f"Executors: {given.evaluations:,} evaluations on nats_tss, median of {given.rounds} rounds"
    content = {"evaluations": given.evaluations, "start": starts, "search": searches, "equal journals": same}
    write(given.folder, "executors", title, table, content)
    if not same:
        print("the journals differ", file=sys.stderr)
    return int(not same or middle["ray"] > LIMIT * middle["local"])


if __name__ == "__main__":
    sys.exit(main())
