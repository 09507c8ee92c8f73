"""Searches by optimisers of other libraries: budgets, resumption after SIGKILL, other versions, and comparisons with ours."""

from __future__ import annotations

import re
import signal
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.engine.comparison.compare import run_all
from rbflex_evo.engine.search.search import Search
from rbflex_evo.spaces import ConfigError, create_space
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import PulledPlugError, Stopping, run_to_the_end, send_when_it_holds, start
from tests.support.replay import compare_config, write_scores

LIBRARIES: dict[str, dict[str, Any]] = {
    "optuna": {"name": "optuna", "options": {"n_startup_trials": 5}},
    "nevergrad": {"name": "nevergrad"},
    "pymoo": {"name": "pymoo", "population": 10},
}
RANK = {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"rank": ["naswot", "synflow"]}}
PARETO = {**RANK, "objective": {"pareto": ["naswot", "synflow"]}}


def changes_of(name: str, **others: Any) -> dict[str, Any]:
    pytest.importorskip(name)
    return {"strategy": LIBRARIES[name], "budget": {"evaluations": 60}, **others}


def stop_after(config: Any, evaluations: int) -> None:
    with pytest.raises(PulledPlugError):
        Search(config, Stopping(evaluations), quiet=True, report=False).run()


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("snapshot", ["kept", "missing"])
@pytest.mark.parametrize("fitness", [None, PARETO], ids=["rank", "pareto"])
def test_resuming_gives_the_same_journal_and_measures_nothing_twice(tmp_path: Path, name: str, snapshot: str, fitness: Any) -> None:
    changes = changes_of(name, **({} if fitness is None else {"fitness": fitness}))
    whole, asked = run_to_the_end(toy_config(tmp_path / "whole", **changes))
    config = toy_config(tmp_path, **changes)
    for _ in range(3):
        stop_after(config, 15)
        if snapshot == "missing":
            (config.folder / "snapshot.json").unlink(missing_ok=True)
    folder, later = run_to_the_end(config)
    assert len(asked) == 60
    assert later == asked[45:]
    assert journal_without_times(folder) == journal_without_times(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_run_that_was_killed_ends_with_the_journal_of_one_that_was_not(tmp_path: Path, name: str) -> None:
    changes = changes_of(name, budget={"evaluations": 120})
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes), 400)
    journal = toy_config(tmp_path, **changes).folder / "journal.jsonl"
    size = (whole / "journal.jsonl").stat().st_size
    for share in (0.2, 0.5, 0.8):
        assert send_when_it_holds(start(tmp_path, changes), journal, int(share * size), signal.SIGKILL) == -signal.SIGKILL
    process = start(tmp_path, changes)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert journal_without_times(journal.parent) == journal_without_times(whole)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("evaluations", [1, 13])
def test_the_budget_is_spent_exactly(tmp_path: Path, name: str, evaluations: int) -> None:
    search, _ = instant_search(toy_config(tmp_path, **changes_of(name, budget={"evaluations": evaluations})))
    assert search.run().counts["unique"] == evaluations


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_larger_budget_goes_on_with_the_run(tmp_path: Path, name: str) -> None:
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes_of(name)))
    folder, _ = run_to_the_end(toy_config(tmp_path, **changes_of(name, budget={"evaluations": 35})))
    search = Search.from_folder(folder, budget={"evaluations": 60}, quiet=True)
    search.report = False
    search._given = InstantEvaluator(search.space)
    assert journal_without_times(search.run().folder) == journal_without_times(whole)


@pytest.mark.parametrize("name", LIBRARIES)
def test_another_version_of_the_package_is_said_when_a_run_is_resumed(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(tmp_path, **changes_of(name))
    stop_after(config, 20)
    began, version = metadata.version(name), metadata.version
    monkeypatch.setattr(metadata, "version", lambda package: "99.0" if package == name else version(package))
    run_to_the_end(config)
    said = capsys.readouterr().err
    assert re.search(rf"the version of package '{name}' was {re.escape(began)} when .* began, but here it is 99.0", said)


def test_an_unknown_sampler_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    config = toy_config(tmp_path, strategy={"name": "optuna", "sampler": "TPE"})
    with pytest.raises(ConfigError, match="Optuna has no sampler 'TPE'"):
        run_to_the_end(config)
    assert not (config.folder / "config.yaml").exists()


@pytest.mark.parametrize("name", LIBRARIES)
def test_rejected_candidates_cost_nothing_and_are_not_evaluated(tmp_path: Path, name: str) -> None:
    space = create_space("toy", genes=12, choices=4)
    rng = np.random.Generator(np.random.PCG64(0))
    limit = float(np.median([space.costs(space.encoding.sample(rng)).params for _ in range(100)]))
    fitness = {**RANK, "constraints": {"params": {"max": limit}}}
    search, evaluator = instant_search(toy_config(tmp_path, **changes_of(name, fitness=fitness)))
    result = search.run()
    assert result.counts["unique"] == len(evaluator.asked) == 60
    assert result.counts["rejected"] > 0
    assert all(space.costs(space.representative(key)).params <= limit for key in evaluator.asked)


def test_ours_and_those_of_other_libraries_are_compared_in_one_run(tmp_path: Path) -> None:
    strategies = ["random", *(values for name, values in LIBRARIES.items() if pytest.importorskip(name))]
    table = write_scores(tmp_path / "scores.npz")
    runs = run_all(compare_config(tmp_path, {"strategies": strategies, "seeds": 2}, scores=str(table), workers=1), quiet=True)
    assert {label for label, _ in runs.traces} == {"random", *LIBRARIES}
    assert {trace.evaluations for trace in runs.traces.values()} == {60}
