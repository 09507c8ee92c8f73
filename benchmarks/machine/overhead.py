"""Cost of the engine itself: strategy, journal, snapshots, archive and ranks, with an instant evaluator.

    python -m benchmarks overhead [--evaluations 100000] [--quick] [--strategies NAME ...] [--json] [--folder benchmarks/results]

Runs real searches over the toy space of 30 genes (1.2e18 genotypes). The evaluator returns three scores from a hash of the key at
once; one key in 64 fails. Each registered strategy runs with N/10, 3N/10 and N evaluations, each run in its own process. Writes
overhead.json and overhead.png. The exit code is 1 if a limit below is exceeded.

    overall    seconds of the whole run, including the last ranking and result.json, divided by its evaluations
    last tenth the same for the loop alone, from the times in the journal
    resume     seconds to read the finished journal, rank everything and write the result again
    snapshot   bytes of the last snapshot, and ms to take the strategy's state, encode it and write it
    growth     p of the least-squares fit  processor seconds = c N^p: 1 where time grows linearly
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.engine.configuration.config import Config, identity, parse_config
from rbflex_evo.engine.run import snapshot as snapshots
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation, six_digits
from rbflex_evo.spaces import Genotype, SearchSpace, create_space
from rbflex_evo.strategies import create_strategy, own_strategies

MEMBERS = ("rbflex", "naswot", "synflow")
SPACE: dict[str, Any] = {"name": "toy", "genes": 30, "choices": 4}
SEED = 0

MS_LIMIT = 1.0
MEMORY_LIMIT_MIB = 1024.0
SNAPSHOT_LIMIT_BYTES = 1_000_000
SNAPSHOT_LIMIT_MS = 100.0
# Bisections take N log N, which alone is N^1.10 between 10^4 and 10^5.
EXPONENT_LIMIT = 1.1


class HashEvaluator:
    """Scores a key by its hash without delay; one key in 64 fails."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def key(self, genotype: Genotype) -> str:
        return self.space.key(genotype)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Does nothing: the scores do not depend on the space."""

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        for key, genotype in pairs:
            digest = hashlib.blake2b(key.encode(), digest_size=12).digest()
            if digest[0] % 64 == 0:
                yield Evaluation(genotype, key, {}, dict.fromkeys(MEMBERS, "no path from input to output"))
                continue
            parts = (int.from_bytes(digest[i : i + 4], "big") for i in (0, 4, 8))
            yield Evaluation(genotype, key, {name: six_digits(-part / 1e5) for name, part in zip(MEMBERS, parts, strict=True)})

    def check_whole(self) -> None:
        """Does nothing: every architecture has a score."""

    def facts(self) -> dict[str, Any]:
        return {"device": "hash", "workers": 1}


@dataclass(frozen=True)
class Case:
    """Cost of one run: times in ms an evaluation or in seconds, and peak resident memory in MiB."""

    strategy: str
    evaluations: int
    overall_ms: float
    processor_ms: float
    last_tenth_ms: float
    resume_seconds: float
    base_mib: float
    peak_mib: float
    snapshot_bytes: int
    snapshot_ms: float
    journal_bytes: int


def config_of(strategy: str, evaluations: int, runs: Path) -> Config:
    """Returns a rank aggregate of three members over the large toy space."""
    return parse_config(
        {
            "name": f"{strategy} {evaluations}",
            "space": SPACE,
            "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
            "fitness": {"proxies": {name: {} for name in MEMBERS}, "objective": {"rank": list(MEMBERS)}},
            "strategy": strategy,
            "budget": {"evaluations": evaluations},
            "seed": SEED,
            "device": "cpu",
            "workers": 1,
            "cache": "off",
            "runs": str(runs),
        }
    )


def run_case(strategy: str, evaluations: int, runs: Path) -> Case:
    """Runs one search in this process, which should be new, because the peak memory is that of the process."""
    config = config_of(strategy, evaluations, runs)
    evaluator = HashEvaluator(create_space(**SPACE))
    base, started, worked = peak_mib(), time.perf_counter(), time.process_time()
    result = Search(config, evaluator, quiet=True, report=False).run()
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    if result.counts["unique"] != evaluations:
        raise SystemExit(f"{strategy} made {result.counts['unique']} of {evaluations} evaluations: {result.stop_reason}")
    peak = peak_mib()
    files = {name: (result.folder / name).stat().st_size for name in ("snapshot.json", "journal.jsonl")}
    last_tenth = seconds_of_last_tenth(result.folder / "journal.jsonl")
    snapshot = seconds_of_snapshot(config, result.folder / "snapshot.json")
    (result.folder / "result.json").unlink()
    started = time.perf_counter()
    Search(config, evaluator, quiet=True, report=False).run()
    return Case(
        strategy=strategy,
        evaluations=evaluations,
        overall_ms=1e3 * seconds / evaluations,
        processor_ms=1e3 * processor / evaluations,
        last_tenth_ms=1e3 * last_tenth / (evaluations / 10),
        resume_seconds=time.perf_counter() - started,
        base_mib=base,
        peak_mib=peak,
        snapshot_bytes=files["snapshot.json"],
        snapshot_ms=1e3 * snapshot,
        journal_bytes=files["journal.jsonl"],
    )


def seconds_of_last_tenth(journal: Path) -> float:
    """Returns the seconds of the last tenth of a journal's evaluations."""
    with open(journal, encoding="utf-8") as file:
        times = [line["time_elapsed"] for line in map(json.loads, file) if line["kind"] == "evaluation"]
    return float(times[-1] - times[-1 - len(times) // 10])


def seconds_of_snapshot(config: Config, path: Path) -> float:
    """Returns the seconds to write a run's last snapshot again, including the strategy's state; the minimum of five."""
    last, why_not = snapshots.load(path, identity(config), sys.maxsize)
    if last is None:
        raise SystemExit(f"{path}: {why_not or 'there is none'}")
    strategy = create_strategy(config.strategy.name, create_space(**SPACE).encoding, SEED)
    strategy.load_state_dict(last.strategy)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        replace_text(path, snapshots.encode(replace(last, strategy=strategy.state_dict()), identity(config)))
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def peak_mib() -> float:
    """Returns the peak resident memory of this process."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def measured(strategy: str, evaluations: int, runs: Path) -> Case:
    """Runs one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.machine.overhead", "--case", strategy, str(evaluations), str(runs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Case(**json.loads(done.stdout))


def names(cases: Sequence[Case]) -> list[str]:
    """Returns the strategies in the order measured."""
    return list(dict.fromkeys(case.strategy for case in cases))


def growth(cases: Sequence[Case]) -> dict[str, float]:
    """Returns, by strategy, the exponent p of time = c N^p."""
    exponents = {}
    for strategy in names(cases):
        mine = [case for case in cases if case.strategy == strategy]
        sizes = np.log([case.evaluations for case in mine])
        seconds = np.log([case.processor_ms * case.evaluations for case in mine])
        exponents[strategy] = float(np.polyfit(sizes, seconds, 1)[0])
    return exponents


def exceeded(cases: Sequence[Case], exponents: Mapping[str, float]) -> list[str]:
    """Returns a sentence for each limit that was exceeded."""
    found = []
    for case in cases:
        where = f"{case.strategy} at {case.evaluations:,} evaluations"
        slowest = max(case.overall_ms, case.last_tenth_ms)
        if slowest > MS_LIMIT:
            found.append(f"{where}: {slowest:.3f} ms an evaluation, over {MS_LIMIT:g}")
        if case.peak_mib > MEMORY_LIMIT_MIB:
            found.append(f"{where}: {case.peak_mib:.0f} MiB, over {MEMORY_LIMIT_MIB:g}")
        if case.snapshot_bytes > SNAPSHOT_LIMIT_BYTES:
            found.append(f"{where}: a snapshot of {case.snapshot_bytes:,} bytes, over {SNAPSHOT_LIMIT_BYTES:,}")
        if case.snapshot_ms > SNAPSHOT_LIMIT_MS:
            found.append(f"{where}: a snapshot takes {case.snapshot_ms:.0f} ms, over {SNAPSHOT_LIMIT_MS:g}")
    for strategy, exponent in exponents.items():
        if exponent > EXPONENT_LIMIT:
            found.append(f"{strategy}: time grows as N^{exponent:.2f}, over N^{EXPONENT_LIMIT:g}")
    return found


def table(cases: Sequence[Case], exponents: Mapping[str, float]) -> Iterator[str]:
    """Yields the lines of the printed table."""
    yield "                                     ms an evaluation               resume  memory MiB       snapshot   journal"
    yield "strategy              evaluations  overall  processor  last tenth      s     base   peak    bytes      ms    MB  growth"
    for case in cases:
        last = case.evaluations == max(other.evaluations for other in cases)
        exponent = f"{exponents[case.strategy]:6.2f}" if last else ""
        yield (
            f"{case.strategy:<21} {case.evaluations:>11,}  {case.overall_ms:7.3f}  {case.processor_ms:9.3f}  "
            f"{case.last_tenth_ms:10.3f}  {case.resume_seconds:5.1f}  {case.base_mib:7.0f}  {case.peak_mib:5.0f}  "
            f"{case.snapshot_bytes:>7,}  {case.snapshot_ms:6.1f}  {case.journal_bytes / 1e6:4.1f}  {exponent}"
        ).rstrip()


def draw(cases: Sequence[Case], path: Path) -> None:
    """Draws time and memory against the number of evaluations."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    times, memory = figure.subplots(1, 2)
    for number, strategy in enumerate(names(cases)):
        mine = [case for case in cases if case.strategy == strategy]
        sizes, colour = [case.evaluations for case in mine], f"C{number}"
        times.plot(sizes, [case.overall_ms for case in mine], "o-", color=colour, label=strategy)
        times.plot(sizes, [case.last_tenth_ms for case in mine], "x--", color=colour)
        memory.plot(sizes, [case.peak_mib for case in mine], "o-", color=colour, label=strategy)
    for axes, label in ((times, "ms an evaluation (dashed: the last tenth)"), (memory, "peak resident memory, MiB")):
        axes.set(xscale="log", xlabel="evaluations", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    times.legend(fontsize=7)
    figure.suptitle("The engine's own cost: an instant fitness, three members ranked together", fontsize=10)
    figure.savefig(path, dpi=150)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--evaluations", type=int, default=100_000, help="evaluations of the largest run, at least 100")
    parser.add_argument("--quick", action="store_true", help="a tenth of the evaluations")
    parser.add_argument("--strategies", nargs="+", choices=own_strategies(), default=own_strategies(), help="all by default")
    parser.add_argument("--json", action="store_true", help="print the JSON, not the table")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where to write")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.evaluations < 100:
        parser.error(f"--evaluations must be at least 100, but it is {given.evaluations}")
    return given


def main() -> int:
    given = arguments()
    if given.case:
        strategy, evaluations, runs = given.case
        print(json.dumps(asdict(run_case(strategy, int(evaluations), Path(runs)))))
        return 0
    most = given.evaluations // 10 if given.quick else given.evaluations
    given.folder.mkdir(parents=True, exist_ok=True)
    cases = []
    # Runs are written beside the results, so that the journal is on the same disk as a user's runs.
    with tempfile.TemporaryDirectory(dir=given.folder) as runs:
        for strategy in given.strategies:
            for evaluations in (most // 10, 3 * most // 10, most):
                print(f"{strategy}, {evaluations:,} evaluations ...", file=sys.stderr, flush=True)
                cases.append(measured(strategy, evaluations, Path(runs)))
    exponents = growth(cases)
    broken = exceeded(cases, exponents)
    document = {
        "seed": SEED,
        "space": SPACE,
        "limits": {
            "ms": MS_LIMIT,
            "peak_mib": MEMORY_LIMIT_MIB,
            "snapshot_bytes": SNAPSHOT_LIMIT_BYTES,
            "snapshot_ms": SNAPSHOT_LIMIT_MS,
            "exponent": EXPONENT_LIMIT,
        },
        "exceeded": broken,
        "exponents": exponents,
        "cases": [asdict(case) for case in cases],
        "environment": environment(),
    }
    text = json.dumps(document, indent=2)
    (given.folder / "overhead.json").write_text(text + "\n", encoding="utf-8")
    draw(cases, given.folder / "overhead.png")
    print(text if given.json else "\n".join(table(cases, exponents)))
    print(f"written: {given.folder / 'overhead.json'}, {given.folder / 'overhead.png'}", file=sys.stderr)
    for sentence in broken:
        print(f"exceeded: {sentence}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
