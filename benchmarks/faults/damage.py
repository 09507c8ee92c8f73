"""Damaged files: the journal, the snapshot, the result and the configuration of a run, and the cache.

A run with damage ends with the right journal and the right scores, or with one clear line and every file left as it was.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from .children import calling, problem, run
from .mutations import damaged
from .small_runs import configuration, first_difference, journal, reference, written
from .trials import Found, Outcome, Place

EVALUATIONS = 40
TARGETS = {
    "unfinished": ("journal.jsonl", "snapshot.json", "config.yaml"),
    "finished": ("journal.jsonl", "result.json", "config.yaml"),
    "cache": ("cache.sqlite",),
}


def trial(rng: np.random.Generator, place: Place) -> Found:
    """Damages one file of a run or the cache, once or twice, and uses it."""
    state = list(TARGETS)[rng.integers(len(TARGETS))]
    name = TARGETS[state][rng.integers(len(TARGETS[state]))]
    values = configuration(rng, EVALUATIONS, seed=0)
    expected = reference(values, place)
    base = _base(state, values, expected, place)
    folder = place.work / "run"
    shutil.copytree(base, folder)
    victim = folder / name
    content, how = damaged(rng, victim.read_bytes())
    victim.write_bytes(content)
    detail = f"{state} {name}: {how}"
    found = (
        _use_cache(rng, values, expected, base / name, victim, place)
        if state == "cache"
        else _use_run(rng, folder, expected, place)
    )
    return Found(found.outcome, f"{detail}; {found.detail}", 1)


def _base(state: str, values: dict[str, Any], expected: list[Any], place: Place) -> Path:
    """Returns a folder with an unfinished or finished run, or with a full cache; it is made once."""
    finished = place.shared / f"{state}-{expected[0]['identity']}"
    if finished.exists():
        return finished
    draft = finished.with_name(f"{finished.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    if state == "cache":
        values = {**values, "cache": str(draft / "cache.sqlite")}
    config = written(values, draft)

    def make() -> None:
        from rbflex_evo.engine.search.search import open_search

        with open_search(config, quiet=True) as search:
            evaluated = 0
            while not search.finished and (state != "unfinished" or evaluated < EVALUATIONS // 2):
                evaluations = search.evaluate(search.ask())
                search.tell(evaluations)
                evaluated += len(evaluations)
            if search.finished:
                search.result()

    ended = run(calling(make), draft, 300)
    if ended.code != 0:
        raise RuntimeError(f"the run {draft} failed: {ended.errors}")
    if state == "cache":
        shutil.rmtree(draft / "run")
        draft.rename(finished)
        return finished
    (draft / "run" / "report.html").unlink(missing_ok=True)
    for picture in (draft / "run").glob("*.png"):
        picture.unlink()
    (draft / "run").rename(finished)
    shutil.rmtree(draft)
    return finished


def _use_run(rng: np.random.Generator, folder: Path, expected: list[Any], place: Place) -> Found:
    with_report = rng.integers(8) == 0
    summary = place.work / "summary.json"

    def use() -> None:
        from rbflex_evo.engine.report.report import write_report
        from rbflex_evo.engine.run.record import read_run
        from rbflex_evo.engine.search.search import Search

        search = Search.from_folder(folder, quiet=True)
        search.report = False
        result = search.run()
        summary.write_text(json.dumps(result.document), encoding="utf-8")
        read_run(folder)
        if with_report:
            write_report(folder)

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = run(calling(use), place.work)
    wrong = problem(ended)
    if wrong is not None:
        return wrong
    message = ended.errors.strip()[:300]
    if ended.code:
        # What was measured must still be there; the configuration is written anew by every resume.
        kept = [name for name in ("journal.jsonl", "result.json") if name in before]
        lost = [name for name in kept if not (folder / name).exists() or not _holds(folder / name, before[name])]
        return Found(Outcome.LOST if lost else Outcome.CLEAR, f"{', '.join(lost)} {message}")
    if summary.exists() and (score := _wrong_score(json.loads(summary.read_text()), expected)):
        return Found(Outcome.WRONG_SCORE, score)
    difference = first_difference(journal(folder), expected)
    if not difference:
        return Found(Outcome.SAME, message)
    # The end of a finished run's journal cannot be measured again, so a sentence about it is right.
    said = "journal" in message and journal(folder) == expected[: len(journal(folder))]
    return Found(Outcome.CLEAR if said else Outcome.OTHER_JOURNAL, f"{difference} {message}")


def _holds(path: Path, content: bytes) -> bool:
    return path.read_bytes().startswith(content) or (path.name == "journal.jsonl" and content.startswith(path.read_bytes()))


def _wrong_score(document: dict[str, Any], expected: list[Any]) -> str:
    known = {line["key"]: line["scores"] for line in expected if line["kind"] == "evaluation"}
    for candidate in [document["best"], *document["top"]]:
        if candidate is not None and candidate["scores"] != known.get(candidate["key"]):
            return f"{candidate['key']} has {candidate['scores']}, but it should have {known.get(candidate['key'])}"
    return ""


def _use_cache(
    rng: np.random.Generator, values: dict[str, Any], expected: list[Any], good: Path, cache: Path, place: Place
) -> Found:
    config = written({**values, "cache": str(cache)}, place.work)
    chosen = int(rng.integers(8))
    steps: list[Callable[[], object]] = [_inspecting(good, cache, how) for how in ("verify", "info", "prune", "get")]

    def search() -> None:
        from rbflex_evo.engine.search.search import Search

        search = Search.from_yaml(config, ["name=again"], quiet=True)
        search.report = False
        search.run()

    used = [steps[chosen], search] if chosen < len(steps) else [search]
    message = ""
    for step in used:
        ended = run(calling(step), place.work)
        wrong = problem(ended)
        if wrong is not None:
            return wrong
        message += ended.errors.strip()[:300]
        if ended.code and step is search:
            return Found(Outcome.CLEAR, message)
    difference = first_difference(journal(place.work / "again"), expected)
    return Found(Outcome.WRONG_SCORE if difference else Outcome.SAME, f"{difference} {message}")


def _inspecting(good: Path, path: Path, how: str) -> Callable[[], None]:
    """Returns a use of the cache at `path`; `good` is the cache without damage."""

    def work() -> None:
        from rbflex_evo.fitness.measuring.cache import StatisticsCache

        if how == "get":
            with closing(sqlite3.connect(good)) as connection:
                keys = [key for (key,) in connection.execute("SELECT key FROM statistics LIMIT 5")]
        with closing(StatisticsCache(path)) as cache:
            print([cache.get(key) is None for key in keys] if how == "get" else getattr(cache, how)())

    return work
