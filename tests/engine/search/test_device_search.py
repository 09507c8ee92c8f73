"""Searches that measure latency by a command: kept in the journal, resumed, stopped when the device is gone, and killed."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import FailedError, Genotype, create_space
from tests.fitness.costs.test_device_command import calls, device, ends
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import PulledPlugError, spawn

TOY = {"name": "toy", "genes": 2, "choices": 4}


def changes(folder: Path, *, limit: bool = False, **values: Any) -> dict[str, Any]:
    measured = {"command": device(folder), "retries": 0, **values}
    objective = {"rank": ["naswot", "synflow"]} if limit else {"pareto": ["naswot", {"minimise": "latency", **measured}]}
    constraints = {"constraints": {"latency": {"max": 1e6, **measured}}} if limit else {}
    fitness = {"proxies": {"naswot": {}, "synflow": {}}, "objective": objective, **constraints}
    return {"space": TOY, "fitness": fitness, "strategy": "random", "budget": {"evaluations": 5}}


class Stopping(InstantEvaluator):
    """Ends the process's work before a given evaluation."""

    def __init__(self, limit: int) -> None:
        super().__init__(create_space(**TOY))
        self.limit = limit

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        for evaluation in super().evaluate(pairs):
            if len(self.asked) > self.limit:
                raise PulledPlugError
            yield evaluation


@pytest.mark.parametrize("limit", [True, False])
def test_a_run_that_was_stopped_measures_only_what_is_missing(tmp_path, limit):
    config = toy_config(tmp_path, **changes(tmp_path, limit=limit))
    with pytest.raises(PulledPlugError):
        Search(config, Stopping(3), quiet=True, report=False).run()
    before = journal_without_times(config.folder)
    result = instant_search(config)[0].run()
    content = read_journal(config.folder / "journal.jsonl")
    assert journal_without_times(config.folder)[: len(before)] == before
    assert len(content.evaluations) == 5 and all(e.costs["latency"] > 0 for e in content.evaluations)
    assert calls(tmp_path) == result.counts["unique"] == 5


def test_a_search_stops_when_the_device_is_gone_and_goes_on_when_it_is_back(tmp_path):
    config = toy_config(tmp_path, **changes(tmp_path, limit=True))
    (tmp_path / "failing").write_text("4 5")
    with pytest.raises(FailedError, match="nor that of one that was measured before"):
        instant_search(config)[0].run()
    kept = journal_without_times(config.folder)
    assert len([line for line in kept if line["kind"] == "look"]) == 3
    result = instant_search(config)[0].run()
    assert journal_without_times(config.folder)[: len(kept)] == kept
    assert result.counts["unique"] == 5
    assert calls(tmp_path) == 5 + 2


def test_a_candidate_that_the_device_cannot_run_fails_and_the_search_goes_on(tmp_path):
    config = toy_config(tmp_path, **changes(tmp_path))
    (tmp_path / "failing").write_text("2")
    result = instant_search(config)[0].run()
    failed = [e for e in result.view.evaluations if "latency" in e.failures]
    assert [e.failures["latency"] for e in failed] == [f"{sys.executable} failed: exit code 3"]
    assert result.counts["unique"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_ends_with_the_search(tmp_path, number):
    given = changes(tmp_path, timeout=3600.0)
    (tmp_path / "mode").write_text("hang")
    process = spawn([sys.executable, "-m", "tests.support.instant", str(tmp_path), "1", json.dumps(given)])
    pids = tmp_path / "pids"
    while not (pids.exists() and pids.read_text().endswith("\n")):
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    if number == signal.SIGINT:
        # The first Ctrl-C waits for the measurement, the second one does not.
        assert "stopping after this evaluation" in next(line for line in process.stderr if "stopping" in line)
        process.send_signal(number)
    process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert all(ends(int(pid)) for pid in pids.read_text().split())
