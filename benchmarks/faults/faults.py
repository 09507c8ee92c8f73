"""Faults at random: runs that are killed, damaged, short of disk or memory, and random content for every reader.

    python -m benchmarks faults [--kind KIND ...] [--count N] [--seed S] [--minutes M] [--seconds S] [--folder F] [--only NUMBER]

Each kind is tried until the campaign's folder has N trials of it, so a campaign that was stopped goes on with the same command.
A trial depends on (seed, kind, number) alone, but for the moments at which processes happen to be. The exit code is 1 if a trial
had a bad outcome, which the table's headings name in capitals; its files are kept in the folder `bad`. Linux only.

    kills    SIGKILL of the run or of one of its workers, then resumed
    damage   bytes of journal, snapshot, result, configuration or cache flipped, cut, doubled, swapped, zeroed
    disk     a full disk or a read-only folder, then resumed with room
    memory   a limit of memory, then resumed without it
    clock    a clock that is set forward and back
    sharing  two to eight processes on one cache for --seconds
    fuzz     configurations, notations, tables, data files and run folders with random content, for every reader
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from .trials import Outcome, Place, Trial, TrialFunction, append_trial, generator, read_trials, table


def kinds(seconds: float, processes: int | None = None) -> Mapping[str, TrialFunction]:
    """Returns the function of each kind's trials, with what they run imported into this process."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    import rbflex_evo.engine.commands.app
    import rbflex_evo.engine.report.report
    import rbflex_evo.engine.search.search
    import rbflex_evo.fitness.measuring.evaluator
    import rbflex_evo.strategies  # noqa: F401

    from . import clock, damage, fuzz, kills, limits, sharing

    torch.set_num_threads(1)
    return {
        "kills": kills.trial,
        "damage": damage.trial,
        "disk": limits.disk_trial,
        "memory": limits.memory_trial,
        "clock": clock.trial,
        "sharing": partial(sharing.trial, seconds=seconds, processes=processes),
        "fuzz": fuzz.trial,
    }


def run_trial(function: TrialFunction, folder: Path, seed: int, kind: str, number: int, keep: bool = False) -> Trial:
    """Runs one trial in the campaign's folder; the files of one with a bad outcome are kept."""
    work, shared = (folder / "work" / f"{kind}-{seed}-{number}").absolute(), (folder / "shared").absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shared.mkdir(exist_ok=True)
    started = time.monotonic()
    found = function(generator(seed, kind, number), Place(work, shared))
    seconds = round(time.monotonic() - started, 3)
    if found.outcome.bad or keep:
        kept = folder / "bad" / work.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        shutil.move(work, kept)
    else:
        shutil.rmtree(work)
    return Trial(seed, kind, number, found.outcome.value, found.detail, found.faults, seconds)


def campaign(
    functions: Mapping[str, TrialFunction], folder: Path, count: int, seed: int, minutes: float = float("inf")
) -> list[Trial]:
    """Runs the trials that the folder does not have yet, and returns all of its trials."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trials.jsonl"
    known = {(trial.seed, trial.kind, trial.number) for trial in read_trials(path)}
    until = time.monotonic() + 60 * minutes
    for number in range(count):
        for kind, function in functions.items():
            if (seed, kind, number) in known:
                continue
            if time.monotonic() > until:
                print(f"stopped after {minutes:g} minutes; the same command goes on", file=sys.stderr)
                return read_trials(path)
            trial = run_trial(function, folder, seed, kind, number)
            append_trial(path, trial)
            if Outcome(trial.outcome).bad:
                print(
                    f"{kind} {number}: {trial.outcome}: {trial.detail[:150]} ... {trial.detail[-250:]}", file=sys.stderr, flush=True
                )
    return read_trials(path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["kills", "damage", "disk", "memory", "clock", "sharing", "fuzz"]
    parser.add_argument("--kind", nargs="+", choices=names, default=names, help="all by default")
    parser.add_argument("--count", type=int, default=10, help="trials of each kind, those of earlier calls included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these minutes")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of one trial of sharing")
    parser.add_argument("--processes", type=int, help="processes of a trial of sharing; two to eight by default")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/faults"), help="the campaign's folder")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this trial of the kind again and keep its files")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    known = kinds(given.seconds, given.processes)
    if given.only is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        for kind in given.kind:
            print(run_trial(known[kind], given.folder, given.seed, kind, given.only, keep=True))
        return 0
    trials = campaign({kind: known[kind] for kind in given.kind}, given.folder, given.count, given.seed, given.minutes)
    text = table(trials)
    call = f"python -m benchmarks faults --kind {' '.join(given.kind)} --count {given.count} --seed {given.seed}"
    (given.folder / "faults.md").write_text(f"# Fault campaigns\n\n`{call}`\n\n{text}\n", encoding="utf-8")
    print(f"{text}\n\nwritten to {given.folder / 'faults.md'}")
    return int(any(Outcome(trial.outcome).bad for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
