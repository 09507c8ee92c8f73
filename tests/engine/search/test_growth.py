"""What an evaluation costs the engine does not grow with the run: counted in calls, files and bytes, never in seconds."""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.terminal.progress import LARGEST_SHARE_OF_BESTS, SECONDS_BETWEEN_BESTS, Progress
from tests.support.calls import calls_of
from tests.support.instant import instant_search, toy_config

STRATEGIES: list[dict[str, Any]] = [
    {"name": "random"},
    {"name": "genetic", "population": 20},
    {"name": "annealing", "memory": 50, "cooling": 0.3},
    {"name": "regularised_evolution", "population": 20, "tournament": 5},
    {"name": "free_rea", "population": 20, "tournament": 5},
    {"name": "local_search"},
    # One candidate a round, so that the number of keys kept does not hang on which regions had the last ones.
    {"name": "search_economics", "searchers": 1, "goods": 1},
    {"name": "large_space_evolution", "population": 20, "batch": 10},
    {"name": "reinforce", "memory": 50},
]
OBJECTIVES: list[dict[str, Any]] = [
    {"score": "naswot"},
    {"rank": ["naswot", "synflow"]},
    {"rank": ["naswot", "synflow"], "reference": "generation"},
    {"rank": ["naswot", "synflow"], "reference": "sample"},
]


@pytest.fixture(autouse=True)
def no_snapshot_but_the_first_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise a slow machine would make more of them.
    monkeypatch.setattr("rbflex_evo.engine.search.loop.SECONDS_BETWEEN_SNAPSHOTS", float("inf"))


def calls_and_folder(
    tmp_path: Path, evaluations: int, strategy: dict[str, Any], objective: dict[str, Any]
) -> tuple[Counter[str], Path]:
    config = toy_config(
        tmp_path,
        name=f"{evaluations}",
        space={"name": "toy", "genes": 30, "choices": 4},
        strategy=strategy,
        fitness={"proxies": {"naswot": {}, "synflow": {}}, "objective": objective},
        budget={"evaluations": evaluations},
    )
    search, _ = instant_search(config)
    calls = calls_of(search.run)
    lines = (config.folder / "journal.jsonl").read_bytes().splitlines()
    assert sum(line.startswith(b'{"kind": "evaluation"') for line in lines) == evaluations
    return calls, config.folder


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["score", "archive", "generation", "sample"])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda values: values["name"])
def test_four_times_the_evaluations_are_at_most_four_times_the_calls(
    tmp_path: Path, strategy: dict[str, Any], objective: dict[str, Any]
) -> None:
    few, folder_of_few = calls_and_folder(tmp_path, 300, strategy, objective)
    many, folder_of_many = calls_and_folder(tmp_path, 1200, strategy, objective)
    assert many.total() < 4 * 1.1 * few.total()
    for once_a_run in ("fsync", "state_dict", "ranking", "incumbent"):
        assert many[once_a_run] == few[once_a_run], once_a_run
    sizes = [(folder / "snapshot.json").stat().st_size for folder in (folder_of_few, folder_of_many)]
    assert sizes[1] < 1.1 * sizes[0]


def test_a_key_is_made_once_for_each_evaluation(tmp_path: Path) -> None:
    calls = [calls_and_folder(tmp_path, evaluations, STRATEGIES[0], OBJECTIVES[1])[0] for evaluations in (300, 1200)]
    # Only the toy space has a function `_written`.
    assert calls[1]["_written"] - calls[0]["_written"] == 1200 - 300


class Terminal(io.StringIO):
    """A standard error output that is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("took", [0.0, 0.001, 3.0])
def test_looking_for_the_best_takes_a_small_share_however_long_one_look_takes(monkeypatch: pytest.MonkeyPatch, took: float) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    clock, looks = [0.0], []
    monkeypatch.setattr("rbflex_evo.engine.terminal.progress.time.monotonic", lambda: clock[0])

    def best() -> str:
        clock[0] += took
        looks.append(clock[0])
        return "best 5"

    with Progress("search", 20_000) as progress:
        for _ in range(20_000):
            clock[0] += 0.01
            progress.advance(best)
    assert 1 < len(looks) <= clock[0] / SECONDS_BETWEEN_BESTS + 1
    assert (len(looks) - 1) * took <= LARGEST_SHARE_OF_BESTS * clock[0]
