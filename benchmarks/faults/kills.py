"""SIGKILL of a run, or of one of its workers, at a random moment; then it is resumed until it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from .children import Child, problem
from .small_runs import configuration, reference, resumed, searching, written
from .trials import Found, Place

PATIENCE = 60.0


def trial(rng: np.random.Generator, place: Place) -> Found:
    """Kills the run up to three times, or one worker once."""
    of_worker = bool(rng.integers(2))
    workers = 2 if of_worker or rng.integers(4) == 0 else 1
    cache = str(place.work / "cache.sqlite") if rng.integers(2) else "off"
    report = bool(rng.integers(8) == 0)
    values = configuration(rng, workers=workers, cache=cache)
    expected = reference(values, place)
    config, folder = written(values, place.work), place.work / "run"
    detail, faults = [f"{workers} workers, cache {'on' if cache != 'off' else 'off'}"], 0
    for _ in range(1 if of_worker else 1 + int(rng.integers(3))):
        work = searching(config, report)
        child = Child(work if rng.integers(2) else _with_many_snapshots(work), place.work)
        victim = _strike(child, folder / "journal.jsonl", _moment(rng, len(expected), workers), of_worker)
        ended = child.wait(PATIENCE)
        if ended.code == 0 and victim == "run":
            # It ended in the moment in which the signal was sent.
            victim = None
        faults += victim is not None
        detail.append(f"{victim or 'nothing'} killed")
        if ended.code == -signal.SIGKILL and victim == "run":
            continue
        wrong = problem(ended)
        if wrong is not None:
            return Found(wrong.outcome, f"{', '.join(detail)}: {wrong.detail}", faults)
    return resumed(folder, expected, place.work, ", ".join(detail), faults, report)


def _with_many_snapshots(work: Callable[[], int]) -> Callable[[], int]:
    """Writes a snapshot after every batch, so that many kills hit the writing."""

    def often() -> int:
        from rbflex_evo.engine.search import loop

        loop.SECONDS_BETWEEN_SNAPSHOTS = 0.0
        return work()

    return often


def _moment(rng: np.random.Generator, lines: int, workers: int) -> tuple[int, float]:
    """Returns after how many lines of the journal to kill, and how many seconds later."""
    if rng.integers(3) == 0:
        return 0, float(rng.uniform(0, 1.0 if workers == 1 else 6.0))
    return int(rng.integers(lines)), float(rng.uniform(0, 0.02))


def _strike(child: Child, journal: Path, moment: tuple[int, float], of_worker: bool) -> str | None:
    """Kills at the moment, and returns what was hit, or None if the run ended before."""
    lines, seconds = moment
    while not child.ended_within(0.001):
        if lines and (not journal.exists() or journal.read_bytes().count(b"\n") < lines):
            continue
        time.sleep(seconds)
        seconds = 0.0
        if not of_worker:
            if child.ended_within(0):
                return None
            child.kill()
            return "run"
        workers = child.workers()
        if workers:
            with suppress(ProcessLookupError):
                os.kill(workers[0], signal.SIGKILL)
                return "worker"
    return None
