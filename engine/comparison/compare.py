"""Strategies x seeds at one budget of unique evaluations: the runs. What they mean is in `rbflex_evo.engine.comparison.judgement`.

    runs/<name>-compare/  config.yaml · <label>/<seed>.json (what a finished run found) · <label>/<seed>/ (its run folder)
                          · <label>/<seed>.failed (why a run failed) · comparison.md, .json, .html, runs.csv

Every run is an ordinary search, with the journal and the snapshot that make it resumable: a comparison that was stopped resumes
with the missing runs, each from where it was stopped. With a table of ``scores`` runs are replayed, each in
one of several processes; a finished one leaves its small file alone, since the table holds the rest. Without, runs measure one
after another with one evaluator and one cache, and keep their folders.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.compare_section import ComparisonPlan
from rbflex_evo.engine.configuration.config import Config, identity
from rbflex_evo.engine.configuration.unset import settled_comparison
from rbflex_evo.engine.run.folder import RunFolder, begun, opened
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.terminal.interrupt import Interrupt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import Evaluation, EvaluatorLike
from rbflex_evo.fitness.measuring.executors.executor import DiedAtStart, NotPortable, ProcessDied
from rbflex_evo.fitness.measuring.executors.processes import Processes, cores, may_have_children
from rbflex_evo.spaces import FailedError, RunError

from .plan import folder_of, open_tables, run_config
from .run import Job, Provenance, note_failure, one_by_one, trace_path
from .trace import Trace, read_trace

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Runs:
    """All runs of a comparison.

    Attributes:
        folder: Folder of the comparison.
        plan: Contenders and seeds.
        traces: Traces of the finished runs, by label and seed.
        failures: Reasons of the failed runs, by label and seed.
        pool: The first evaluation of each key if the runs measured; None if a table has the scores.
    """

    folder: Path
    plan: ComparisonPlan
    traces: dict[tuple[str, int], Trace]
    failures: dict[tuple[str, int], str]
    pool: list[Evaluation] | None


def run_all(config: Config, *, quiet: bool = False, shorter: Sequence[Config] = (), progress: Progress | None = None) -> Runs:
    """Runs the missing runs of a comparison and returns all runs.

    Args:
        config: The comparison.
        quiet: True shows no progress.
        shorter: The same comparison with smaller budgets, whose runs are finished. Runs that measure go on where those ended.
        progress: Progress of a larger task, which counts these runs; None for one of its own.

    Raises:
        RunError: if the folder holds runs of another configuration.
        Interrupted, Stopped: after Ctrl-C or another stop signal, everything saved.
        RbflexEvoError: if the space, a table, the images or the device are not as they should be.
    """
    # A wrong comparison is refused before there is a folder.
    config.plan()
    with opened(folder_of(config)) as folder, Interrupt() as interrupt:
        _check_owner(folder)
        parts = Assembly(config)
        config = settled_comparison(config, parts.space, begun(folder.path))
        plan = config.plan()
        shorter = [settled_comparison(other, parts.space, begun(folder_of(other))) for other in shorter]
        jobs = jobs_of(plan)
        # Checks before the runs that the tables exist and belong to this space.
        open_tables(plan, parts.space)
        with parts.measuring() as (evaluator, provenance):
            traces = _finished(config, jobs, provenance.get("scores"))
            evaluator.check_whole()
            folder.write_config(config)
            _clear(config, jobs, traces)
            failures: dict[tuple[str, int], str] = {}
            missing = [job for job in jobs if (job.contender.label, job.seed) not in traces]
            processes = _processes(config, len(missing))
            with nullcontext(progress) if progress else _progress(len(jobs), len(missing), quiet) as bar:
                if processes > 1:
                    outcomes = _in_processes(config, missing, processes, interrupt)
                else:
                    outcomes = one_by_one(config, missing, evaluator, provenance, lambda: interrupt.requested, shorter)
                for job, failure in outcomes:
                    if failure is not None:
                        failures[job.contender.label, job.seed] = failure
                    bar.advance(lambda job=job: job.name)  # type: ignore[misc]
            traces = _finished(config, jobs, provenance.get("scores"))
        if len(traces) + len(failures) < len(jobs):
            raise interrupt.stop(f"stopped after {len(traces)} of {len(jobs)} runs, all saved; the same command resumes")
        pool = None if config.scores is not None else _evaluations_of(config, jobs, traces)
        return Runs(folder.path, plan, traces, failures, pool)


def jobs_of(plan: ComparisonPlan) -> list[Job]:
    """Returns all runs of a comparison, seed by seed."""
    return [Job(contender, seed) for seed in plan.seeds for contender in plan.contenders]


def _progress(jobs: int, missing: int, quiet: bool) -> Progress:
    return Progress("compare", jobs, initial=jobs - missing, unit="run", shown=not quiet)


def _check_owner(folder: RunFolder) -> None:
    strangers = [path.name for path in folder.path.iterdir() if not path.name.startswith(".")]
    if folder.journal.exists() or (strangers and not folder.config.exists()):
        raise RunError(f"{folder.path} exists and holds no comparison; give this one another name (--set name=...)")


def _finished(config: Config, jobs: Sequence[Job], scores: str | None) -> dict[tuple[str, int], Trace]:
    """Returns the traces of the runs that are done.

    Raises:
        RunError: if one is of another configuration, or of another table of scores.
    """
    traces: dict[tuple[str, int], Trace] = {}
    for job in jobs:
        settings = run_config(config, job.contender, job.seed)
        trace = read_trace(trace_path(settings))
        if trace is None:
            continue
        if (trace.identity, trace.scores) != (identity(settings), scores):
            what = "another configuration" if trace.identity != identity(settings) else "other scores"
            folder = folder_of(config)
            raise RunError(
                f"{folder} holds runs with {what} ({job.name}); "
                f"give this comparison another name (--set name=...), or remove {folder}"
            )
        traces[job.contender.label, job.seed] = trace
    return traces


def _clear(config: Config, jobs: Sequence[Job], traces: Mapping[tuple[str, int], Trace]) -> None:
    """Removes the run folders of finished replays whose process died before it could."""
    for job in jobs:
        if config.scores is not None and (job.contender.label, job.seed) in traces:
            shutil.rmtree(run_config(config, job.contender, job.seed).folder, ignore_errors=True)


def _processes(config: Config, runs: int) -> int:
    if config.scores is None or not may_have_children():
        return 1
    return max(1, min(runs, cores() if config.workers == "auto" else config.workers))


def _in_processes(config: Config, jobs: Sequence[Job], processes: int, interrupt: Interrupt) -> Iterator[tuple[Job, str | None]]:
    """The same in several processes, in the order in which runs end. A run whose process dies fails; the others go on."""
    # A file and not an event, whose semaphores would outlive a killed process.
    stop = folder_of(config) / ".stop"
    stop.unlink(missing_ok=True)
    with ThreadPoolExecutor(processes) as threads, _replaying(config, stop) as pool:
        running: dict[Future[Any], Job] = {threads.submit(pool.call, _run_in_worker, job): job for job in jobs}
        try:
            while running:
                done, _ = wait(running, timeout=SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    finished, failure = (False, None) if future.cancelled() else _outcome(future, config, job)
                    if finished:
                        yield job, failure
                if interrupt.requested and not stop.exists():
                    stop.touch()
                    for future in running:
                        future.cancel()
        finally:
            # Stop the workers however this ended, so that none keeps running unobserved.
            if running:
                stop.touch()
                for future in running:
                    future.cancel()
                wait(running)
            stop.unlink(missing_ok=True)


def _replaying(config: Config, stop: Path) -> Processes:
    try:
        return Processes(_start_worker, config, str(stop.absolute()))
    except NotPortable as error:
        raise RunError(f"the comparison cannot be sent to its processes ({error}); set workers: 1") from None


def _outcome(future: Future[tuple[bool, str | None]], config: Config, job: Job) -> tuple[bool, str | None]:
    """Returns whether a run ended, and if so why it failed where it did."""
    try:
        return future.result()
    except DiedAtStart as death:
        raise FailedError(
            f"a process of the comparison died as it started ({death}); in a script of your own, it does where the call is not "
            'under: if __name__ == "__main__":\nif memory ran out, set workers: 1'
        ) from None
    except NotPortable as error:
        raise RunError(f"a process of the comparison cannot load its parts ({error}); set workers: 1") from None
    except ProcessDied as death:
        return True, note_failure(run_config(config, job.contender, job.seed), f"the process that ran it died ({death})")


# What a process of a replay holds: the configuration, the evaluator with what its scores depend on, and when to stop.
_worker: tuple[Config, EvaluatorLike, Provenance, Callable[[], bool]] | None = None


def _start_worker(config: Config, stop: str) -> None:
    global _worker
    evaluator = Assembly(config).tabulated()
    _worker = (
        config,
        evaluator,
        {"inputs": None, "backend": None, "scores": evaluator.table.fingerprint},
        lambda: os.path.exists(stop),
    )


def _run_in_worker(job: Job) -> tuple[bool, str | None]:
    """Returns whether the run ended, and if so why it failed where it did."""
    assert _worker is not None
    config, evaluator, provenance, stopped = _worker
    for _, failure in one_by_one(config, [job], evaluator, provenance, stopped):
        return True, failure
    return False, None


def _evaluations_of(config: Config, jobs: Sequence[Job], traces: Mapping[tuple[str, int], Trace]) -> list[Evaluation]:
    """Returns the first evaluation of every key in the journals of the runs that measured."""
    found: dict[str, Evaluation] = {}
    for job in jobs:
        if (job.contender.label, job.seed) not in traces:
            continue
        journal = run_config(config, job.contender, job.seed).folder / "journal.jsonl"
        evaluations = read_journal(journal).evaluations
        if not evaluations:
            raise RunError(f"{journal} is gone; remove {trace_path(run_config(config, job.contender, job.seed))} to run it again")
        for evaluation in evaluations:
            found.setdefault(evaluation.key, evaluation)
    return list(found.values())
