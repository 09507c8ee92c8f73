"""The benchmark of the process of a search saturates it, times the evaluator's part, and simulates many workers."""

from __future__ import annotations

import json

import pytest

from benchmarks.machine import driver


def test_a_search_without_delays_is_only_work():
    found = driver.saturation("genetic", "toy, 30 genes", 160)
    assert found.evaluations == 160 and found.per_second > 0 and 0 < found.memory < 100_000


def test_the_evaluators_part_is_timed_with_statistics_that_were_measured_before(monkeypatch):
    monkeypatch.setattr(driver, "ROUNDS", 1)
    part = driver.evaluators_part("rbflex", 2)
    assert part.milliseconds > 0 and part.sent > 100 and part.returned > 16 * 16 * 8


def test_the_tables_hold_every_strategy_and_every_number_of_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(driver, "ROUNDS", 1)
    monkeypatch.setattr(driver, "SPACES", {"toy, 30 genes": driver.SPACES["toy, 30 genes"]})
    monkeypatch.setattr(driver, "TRAVELLING", {"rbflex_robust": driver.TRAVELLING["rbflex_robust"]})
    monkeypatch.setattr(driver, "CONTENDERS", {"random": {"name": "random"}})
    monkeypatch.setattr(driver, "FLEETS", (10, 100))
    monkeypatch.setattr(driver, "own_strategies", lambda: ["random"])
    monkeypatch.setattr(driver, "evaluators_part", lambda name, candidates: driver.Part(name, 0.5, 800, 6000))
    monkeypatch.setattr(driver, "LEAST_PER_SECOND", 10**9)
    assert driver.main(["--quick", f"--folder={tmp_path}"]) == 1
    assert "exceeded: random on toy, 30 genes" in capsys.readouterr().out
    document = json.loads((tmp_path / "driver.json").read_text())
    cells = document["workers"]
    assert [(cell["candidate_seconds"], cell["workers"]) for cell in cells] == [(s, w) for s in driver.SECONDS for w in (10, 100)]
    assert all(cell["own_share"] <= 1 and 0 < cell["busy"] <= cell["workers"] for cell in cells)
    slowest = [cell for cell in cells if cell["candidate_seconds"] == 10.0]
    assert slowest[0]["per_second"] == pytest.approx(slowest[0]["busy"] / 10, rel=0.2)
    assert "| random " in (tmp_path / "driver.md").read_text()
