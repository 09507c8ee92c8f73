"""A family in one search: the map of a run in Python, JSON, report and export, and resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo import search
from rbflex_evo.engine import load_network
from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.figures.elite_map import heat
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.search.result import Result
from rbflex_evo.engine.search.search import Search
from rbflex_evo.spaces import ConfigError, RunError, create_space
from tests.support.instant import journal_without_times, toy_config
from tests.support.interrupted import PulledPlugError, Stopping, run_to_the_end
from tests.support.page import Page

pytest.importorskip("ribs", reason="needs the extra ribs")

STRATEGY: dict[str, Any] = {
    "name": "map_elites",
    "initial": 20,
    "batch": 8,
    "measures": {"params": {"cells": 6}, "flops": {"cells": 5}},
}


def stop_after(config: Config, evaluations: int) -> None:
    with pytest.raises(PulledPlugError):
        Search(config, Stopping(evaluations), quiet=True, report=False).run()


def searched(runs: Path, **settings: Any) -> Result:
    values = {"proxies": "params", "strategy": STRATEGY, "evaluations": 60, "name": "toy", "workers": 1, "cache": "off"}
    data = {"source": "noise", "shape": [3, 8, 8]}
    return search({"name": "toy", "genes": 5}, quiet=True, data=data, runs=str(runs), **{"report": False, **values, **settings})


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A finished run with its report, to be read only."""
    return searched(tmp_path_factory.mktemp("map"), report=True)


def test_the_map_has_the_best_candidate_of_each_cell_of_the_whole_run(result: Result) -> None:
    found = result.map()
    told = result.view.evaluations
    assert [axis.name for axis in found.axes] == ["params", "flops"]
    assert found.coverage == len(found.cells) / 30
    assert found.reference == min(evaluation.scores["params"] for evaluation in told)
    assert found.qd_score == pytest.approx(sum(cell.utility - found.reference for cell in found.cells))
    lower, upper = (np.array([getattr(axis, side) for axis in found.axes]) for side in ("lower", "upper"))
    costs = np.array([[evaluation.costs["params"], evaluation.costs["flops"]] for evaluation in told])
    places = np.clip(((costs - lower) / (upper - lower) * [6, 5] + 1e-9).astype(int), 0, [5, 4])
    best: dict[tuple[int, ...], float] = {}
    for place, evaluation in zip(map(tuple, places.tolist()), told, strict=True):
        best[place] = max(best.get(place, 0.0), evaluation.scores["params"])
    assert {tuple(cell.place): cell.utility for cell in found.cells} == best


def test_the_map_is_in_result_json_and_in_the_report(result: Result) -> None:
    document = json.loads((result.folder / "result.json").read_text(encoding="utf-8"))
    assert document["map"] == result.map().model_dump(mode="json")
    text = Page(result.folder / "report.html").text
    assert f"{len(result.map().cells)} of 30 cells have one" in text
    assert "the lowest score of this run" in text
    assert (result.folder / "map.png").is_file()


def test_any_run_has_a_map_over_costs_that_are_known(tmp_path: Path) -> None:
    result = searched(tmp_path, strategy="random", evaluations=20)
    assert result.found.map is None
    found = result.map(["flops"], reference=0.0)
    assert [axis.name for axis in found.axes] == ["flops"]
    assert found.qd_score == sum(cell.utility for cell in found.cells)
    with pytest.raises(ConfigError, match="did not count the cost 'depth'"):
        result.map(["depth"])


def test_a_family_has_different_sizes_each_the_best_of_its_part(result: Result, tmp_path: Path) -> None:
    family = result.export(family=4, over="flops", into=tmp_path / "family")
    flops = [one.architecture.costs.flops for one in family]
    assert len(family) == 4
    assert flops == sorted(set(flops))
    assert load_network(family[0].folder) is not None
    cells = {cell.candidate.key for cell in result.map().cells}
    assert {one.architecture.key for one in family} <= cells


def test_a_family_that_is_larger_than_the_run_is_refused_in_one_line(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunError, match=r"but 99 were asked for; ask for --family \d+"):
        result.export(family=99, into=tmp_path / "family")
    for wrong in (["--family", "2", "--top", "2"], ["--over", "flops"]):
        assert run(["export", str(result.folder), *wrong, "--into", str(tmp_path / "x")]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert run(["export", str(result.folder), "--family", "2", "--over", "params", "--into", str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / "2" / "architecture.json").is_file()


@pytest.mark.parametrize(
    "fitness", [None, {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"rank": ["naswot", "synflow"]}}]
)
def test_resuming_gives_the_same_journal(tmp_path: Path, fitness: dict[str, Any] | None) -> None:
    changes: dict[str, Any] = {"strategy": STRATEGY, "budget": {"evaluations": 70}, **({"fitness": fitness} if fitness else {})}
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes))
    config = toy_config(tmp_path, **changes)
    for evaluations in (5, 30, 21):
        stop_after(config, evaluations)
    folder, _ = run_to_the_end(config)
    assert journal_without_times(folder) == journal_without_times(whole)
    maps = [json.loads((each / "result.json").read_text(encoding="utf-8"))["map"] for each in (folder, whole)]
    assert maps[0] == maps[1]
    assert maps[0]["cells"]


def test_an_unfinished_run_has_a_map_of_what_it_holds(tmp_path: Path) -> None:
    config = toy_config(tmp_path, strategy=STRATEGY)
    stop_after(config, 40)
    assert "cells have one" in Page(write_report(config.folder)).text


def test_proved_bounds_are_the_extremes_of_the_space_within_the_limits(tmp_path: Path) -> None:
    space = create_space("toy", genes=5)
    flops = [space.costs(genotype).flops for genotype in space.encoding.enumerate()]
    constraints = {"flops": {"max": 3e5}}
    config = toy_config(
        tmp_path,
        space={"name": "toy", "genes": 5},
        strategy={**STRATEGY, "bounds": "proved", "measures": {"flops": {}, "params": {"max": 5000}}},
        fitness={"proxies": {"naswot": {}, "synflow": {}}, "objective": {"score": "naswot"}, "constraints": constraints},
    )
    parameters: Any = Assembly(config).strategy_parameters
    assert (parameters.measures["flops"].min, parameters.measures["flops"].max) == (min(flops), 3e5)
    assert parameters.measures["params"].max == 5000


def test_the_heat_of_a_map_is_the_best_utility_over_further_axes() -> None:
    places, utilities = np.array([[0, 1, 0], [0, 1, 2], [2, 0, 0]]), np.array([1.0, 3.0, 2.0])
    table = heat(places, utilities, (3, 2, 4))
    assert table.shape == (2, 3)
    assert table[1, 0] == 3.0
    assert table[0, 2] == 2.0
    assert np.isnan(table).sum() == 4
    assert heat(places[:, :1], utilities, (3,)).shape == (1, 3)


def test_a_search_that_does_not_count_a_measure_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unknown metric"):
        Search(toy_config(tmp_path, strategy={"name": "map_elites", "measures": {"weight": {}}}), quiet=True).run()
