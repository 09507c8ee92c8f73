"""Two to eight processes that search with one cache; some are killed at random and replaced.

Each search's journal is compared with that of a search without a cache.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from .children import Child, calling, problem
from .small_runs import configuration, first_difference, journal, written
from .trials import Found, Outcome, Place

SEEDS = 40
PATIENCE = 90.0


def trial(rng: np.random.Generator, place: Place, seconds: float = 10.0, processes: int | None = None) -> Found:
    """Lets the processes search for some seconds; the outcome is the worst of all searches."""
    count = int(rng.integers(2, 9)) if processes is None else processes
    values = configuration(rng, 20, cache=str(place.work / "cache.sqlite"))
    until = time.monotonic() + seconds
    running: dict[int, Child] = {}
    kills = number = 0
    wrong: Found | None = None
    try:
        while wrong is None and (time.monotonic() < until or running):
            for slot in range(count):
                if slot not in running and time.monotonic() < until:
                    folder = place.work / f"process-{number}"
                    folder.mkdir()
                    seed = int(rng.integers(2**31))
                    running[slot] = Child(calling(lambda f=folder, s=seed: _searches(values, f, s, until)), folder)  # type: ignore[misc]
                    number += 1
            if running and time.monotonic() < until and rng.random() < 0.005:
                victim = list(running)[rng.integers(len(running))]
                running[victim].kill()
                running.pop(victim).wait(PATIENCE)
                kills += 1
            for slot in [slot for slot, child in running.items() if child.ended_within(0)]:
                ended = running.pop(slot).wait(0)
                wrong = wrong or problem(ended) or (Found(Outcome.UNCLEAR, ended.errors[-500:]) if ended.code else None)
            if time.monotonic() > until + PATIENCE:
                wrong = Found(Outcome.HANG, f"{len(running)} processes did not end")
            time.sleep(0.02)
    finally:
        for child in running.values():
            child.kill()
            child.wait(PATIENCE)
    searches = [json.loads(line) for path in place.work.glob("process-*/searches.jsonl") for line in _lines(path)]
    different = next((search["difference"] for search in searches if search["difference"]), "")
    detail = f"{count} processes, {kills} killed, {len(searches)} searches in {seconds:g} s"
    if wrong is not None:
        return Found(wrong.outcome, f"{detail}: {wrong.detail}", len(searches))
    if different:
        return Found(Outcome.WRONG_SCORE, f"{detail}: {different}", len(searches))
    return Found(Outcome.SAME, detail, len(searches))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _searches(values: dict[str, Any], folder: Path, seed: int, until: float) -> None:
    """Searches with random seeds until the time is over, and notes each comparison."""
    from rbflex_evo.engine.search.search import Search

    rng = np.random.default_rng(seed)
    while time.monotonic() < until:
        chosen = int(rng.integers(SEEDS))
        known = folder.parent / f"without-cache-{chosen}.json"
        if not known.exists():
            search = Search.from_yaml(written({**values, "seed": chosen, "cache": "off", "name": "alone"}, folder), quiet=True)
            search.report = False
            search.run()
            draft = known.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(journal(folder / "alone")))
            draft.rename(known)
            shutil.rmtree(folder / "alone")
        search = Search.from_yaml(written({**values, "seed": chosen}, folder), quiet=True)
        search.report = False
        search.run()
        difference = first_difference(journal(folder / "run"), json.loads(known.read_text()))
        with open(folder / "searches.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"seed": chosen, "difference": difference}) + "\n")
        shutil.rmtree(folder / "run")
