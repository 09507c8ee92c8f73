"""A clock that is set forward and back while a run works, and between its sessions."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .children import Child, problem, run
from .small_runs import configuration, first_difference, journal, reference, resumed, searching, written
from .trials import Found, Outcome, Place

PATIENCE = 60.0
BUDGET_SECONDS = 1.0
# Between the first and the last year of a 32-bit clock.
YEARS = 35 * 365 * 86400.0


def trial(rng: np.random.Generator, place: Place) -> Found:
    """Runs with a clock that jumps at random; every second run has a budget of seconds."""
    in_seconds = bool(rng.integers(2))
    values = configuration(rng, cache=str(place.work / "cache.sqlite"))
    expected = reference(values, place)
    jumps = rng.uniform(-YEARS, YEARS, size=8).tolist()
    if in_seconds:
        return _seconds(values, jumps, place)
    config, folder = written(values, place.work), place.work / "run"
    child = Child(_jumping(searching(config), jumps), place.work)
    if child.ended_within(float(rng.uniform(0.1, 1.0))):
        ended = child.wait(PATIENCE)
        wrong = problem(ended)
        if wrong is not None or ended.code:
            return wrong or Found(Outcome.UNCLEAR, ended.errors[-300:])
    else:
        child.kill()
        child.wait(PATIENCE)
    return resumed(folder, expected, place.work, "clock jumps, then a session with the right clock")


def _seconds(values: dict[str, object], jumps: list[float], place: Place) -> Found:
    config = written({**values, "budget": {"evaluations": 6000, "seconds": BUDGET_SECONDS}}, place.work)
    started = time.monotonic()
    ended = run(_jumping(searching(config), jumps), place.work, PATIENCE)
    took = time.monotonic() - started
    wrong = problem(ended)
    if wrong is not None or ended.code:
        return wrong or Found(Outcome.UNCLEAR, ended.errors[-300:])
    found = journal(place.work / "run")[1:]
    count = sum(isinstance(line, dict) and line["kind"] == "evaluation" for line in found)
    longer = written({**values, "name": "longer", "budget": {"evaluations": max(count, 1)}}, place.work)
    check = run(searching(longer), place.work, PATIENCE)
    if check.code:
        return problem(check) or Found(Outcome.UNCLEAR, check.errors[-300:])
    difference = first_difference(found, journal(place.work / "longer")[1:])
    if difference:
        return Found(Outcome.OTHER_JOURNAL, difference)
    slow = took > 30 * BUDGET_SECONDS
    return Found(Outcome.HANG if slow else Outcome.SAME, f"{took:.1f} s for a budget of {BUDGET_SECONDS} s, {len(found)} lines")


def _jumping(work: Callable[[], int], jumps: list[float]) -> Callable[[], int]:
    """Sets the clock of the process by the next jump at every tenth reading."""

    def jumping() -> int:
        real, readings = time.time, [0]

        def jumped() -> float:
            readings[0] += 1
            return max(0.0, real() + jumps[readings[0] // 10 % len(jumps)])

        time.time = jumped
        return work()

    return jumping
