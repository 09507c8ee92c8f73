"""One run of a comparison: an ordinary search whose trace is kept. If it fails, the reason is kept and other runs continue."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rbflex_evo.engine.configuration.compare_section import Contender
from rbflex_evo.engine.configuration.config import Config, identity
from rbflex_evo.engine.run.folder import RunFolder
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupted
from rbflex_evo.fitness.evaluation import Evaluation, EvaluatorLike
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import Genotype

from .plan import begins, run_config
from .trace import Trace, incumbents, write_trace

Provenance = Mapping[str, str | None]


@dataclass(frozen=True)
class Job:
    """One run of a comparison."""

    contender: Contender
    seed: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.contender.label}, seed {self.seed}"


def trace_path(settings: Config) -> Path:
    """Returns the path of the trace of a run with that configuration, next to its folder."""
    return settings.folder.with_name(f"{settings.name}.json")


def one_by_one(
    config: Config,
    jobs: Sequence[Job],
    evaluator: EvaluatorLike,
    provenance: Provenance,
    stopped: Callable[[], bool],
    shorter: Sequence[Config] = (),
) -> Iterator[tuple[Job, str | None]]:
    """Runs jobs in this process and yields each with the reason why it failed, None if it did not; ends early when stopped.

    `run_one` describes the arguments.
    """
    for job in jobs:
        if stopped():
            return
        try:
            failure = run_one(config, job, evaluator, provenance, stopped, shorter)
        except STOPS:
            return
        yield job, failure


def run_one(
    config: Config,
    job: Job,
    evaluator: EvaluatorLike,
    provenance: Provenance,
    stopped: Callable[[], bool],
    shorter: Sequence[Config] = (),
) -> str | None:
    """Makes one run and leaves its trace; returns None, or the reason why it failed, which is also left in a file.

    Args:
        config: The comparison.
        job: The run.
        evaluator: Evaluator of the run.
        provenance: Origin of its scores.
        stopped: True once a stop was asked for.
        shorter: The same comparison with smaller budgets. If a run of theirs is the beginning of this one, it goes on from there.

    Raises:
        Interrupted, Stopped: if it was stopped, everything saved.
    """
    settings = run_config(config, job.contender, job.seed)
    watched = Watched(evaluator, stopped)
    try:
        longer = _go_on(settings, [run_config(other, job.contender, job.seed) for other in shorter])
        search = Search(settings, watched, provenance=provenance, quiet=True, report=False, other_budget=longer)
        started = time.perf_counter()
        result = search.run()
        seconds = time.perf_counter() - started
        content = read_journal(settings.folder / "journal.jsonl")
        view = ArchiveView(search.parts.objective, evaluator.key, search.parts.constraints.ordering)
        changed, keys, notations = incumbents(view, search.space, content.references, content.evaluations)
        trace = Trace(
            identity=identity(settings),
            scores=provenance.get("scores"),
            evaluations=result.counts["unique"],
            failed=result.counts["failed"],
            stop_reason=result.stop_reason,
            changed=changed,
            keys=keys,
            notations=notations,
            time_evaluations=watched.evaluations,
            time_scoring=watched.seconds,
            time_strategy=max(0.0, seconds - watched.seconds) if watched.evaluations else 0.0,
        )
        write_trace(trace_path(settings), trace)
    except Exception as error:
        return note_failure(settings, f"{type(error).__name__}: {' '.join(str(error).split())}")
    _failed_path(settings).unlink(missing_ok=True)
    if config.scores is not None:
        shutil.rmtree(settings.folder)
    return None


def _go_on(settings: Config, shorter: Sequence[Config]) -> bool:
    """Gives a run that has not begun the files of the longest finished run that is its beginning; returns whether there is one."""
    folder = settings.folder
    beginnings = [run for run in shorter if begins(run, settings) and trace_path(run).exists() and run.folder.is_dir()]
    if beginnings and not folder.exists():
        longest = max(beginnings, key=lambda run: run.budget.evaluations or 0)
        draft = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(longest.folder, draft)
        draft.rename(folder)
    return bool(beginnings) and RunFolder(folder).config.exists()


def note_failure(settings: Config, reason: str) -> str:
    """Leaves the reason why a run failed in a file next to its folder, and returns it."""
    path = _failed_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reason + "\n", encoding="utf-8")
    return reason


def _failed_path(settings: Config) -> Path:
    return trace_path(settings).with_suffix(".failed")


class Watched:
    """Wraps an evaluator: measures its time and checks between two evaluations whether to stop."""

    def __init__(self, evaluator: EvaluatorLike, stopped: Callable[[], bool]) -> None:
        self._evaluator, self._stopped = evaluator, stopped
        self.seconds = 0.0
        self.evaluations = 0
        # Asked thousands of times a run: not one call more than it takes.
        self.key = evaluator.key
        self.prepare = evaluator.prepare
        self.check_whole = evaluator.check_whole
        self.facts = evaluator.facts

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        """Gives the pairs to the evaluator at once; returns the evaluations.

        Raises:
            Interrupted: Between two of them.
        """
        started = time.perf_counter()
        evaluations = iter(self._evaluator.evaluate(pairs))
        self.seconds += time.perf_counter() - started
        return self._watched(evaluations)

    def _watched(self, evaluations: Iterator[Evaluation]) -> Iterator[Evaluation]:
        while True:
            if self._stopped():
                raise Interrupted("stopped")
            started = time.perf_counter()
            evaluation = next(evaluations, None)
            self.seconds += time.perf_counter() - started
            if evaluation is None:
                return
            self.evaluations += 1
            yield evaluation
