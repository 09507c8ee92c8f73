"""Simulated searches: the delays of the candidates are waited for in virtual time, and the loop is the real one."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.search.simulation import Simulated, drawn_delays, simulate
from tests.support.instant import toy_config

REJECTING = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 6000.0}}}


def simulated(tmp_path: Path, strategy: Any, workers: int, seconds: float, evaluations: int = 1000, **changes: Any) -> Simulated:
    config = toy_config(tmp_path, strategy=strategy, space={"name": "toy", "genes": 30}, **changes)
    return simulate(config, workers=workers, delay=lambda key: seconds, evaluations=evaluations)


def test_one_worker_takes_the_sum_of_the_delays(tmp_path: Path) -> None:
    found = simulated(tmp_path, "genetic", 1, 10.0)
    assert found.evaluations == 1000
    assert 10_000 <= found.seconds < 10_000 + found.own_seconds + 1
    assert 0.99 < found.busy <= 1


def test_a_generation_keeps_as_many_workers_busy_as_it_has_children(tmp_path: Path) -> None:
    few, many = (simulated(tmp_path, {"name": "genetic", "population": 50}, workers, 100.0) for workers in (50, 500))
    assert few.offered == many.offered == 50
    assert 49 < few.busy <= 50 and 49 < many.busy <= 50


def test_a_strategy_that_is_asked_ahead_keeps_more_workers_busy(tmp_path: Path) -> None:
    waiting = {"name": "regularised_evolution", "population": 20, "batch": 10}
    config = toy_config(tmp_path, space={"name": "toy", "genes": 30}, strategy=waiting)
    ahead = toy_config(tmp_path, space={"name": "toy", "genes": 30}, strategy={**waiting, "asynchronous": True, "ahead": 90})
    found = [simulate(one, workers=50, delay=drawn_delays(100.0), evaluations=1500) for one in (config, ahead)]
    assert found[0].busy < 8 and found[1].busy > 35
    assert (found[0].offered, found[1].offered) == (20, 100)


def test_delays_have_their_mean_and_are_those_of_the_key() -> None:
    delay = drawn_delays(2.0)
    drawn = [delay(f"{i}") for i in range(4000)]
    assert statistics.fmean(drawn) == pytest.approx(2.0, rel=0.05) and max(drawn) > 4 and min(drawn) > 0
    assert drawn[:3] == [delay(f"{i}") for i in range(3)]
    assert drawn_delays(0.0)("0") == 0.0


def test_constraints_and_the_evaluators_own_work_count_and_no_folder_is_left(tmp_path: Path) -> None:
    config = toy_config(tmp_path, strategy="random", fitness=REJECTING)
    found = simulate(config, workers=1000, delay=drawn_delays(1.0), evaluations=200, own=0.5)
    assert found.evaluations == 200 and found.own_seconds > 100 and found.own_share > 0.9
    assert list(tmp_path.iterdir()) == []
