"""A run chooses the parameters that its configuration leaves unset when it begins, writes them down and keeps them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rbflex_evo.engine.comparison.compare import run_all
from rbflex_evo.engine.comparison.plan import folder_of
from rbflex_evo.engine.configuration.config import Config, as_values, parse_config
from rbflex_evo.engine.configuration.unset import settled
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.folder import own_config
from rbflex_evo.engine.search.one_call import search
from rbflex_evo.engine.search.search import Search
from rbflex_evo.spaces import RunError, create_space
from rbflex_evo.strategies import STRATEGIES, Situation
from rbflex_evo.strategies.auto import Auto
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import PulledPlugError, Stopping
from tests.support.replay import compare_config, write_scores

RULED = [name for name in STRATEGIES.names() if STRATEGIES.get(name).default_rule]
# The folder of a run that a version without such rules began and that was stopped after 64 of its 120 evaluations.
OLD = Path(__file__).parent / "begun_earlier" / "old"


def strategy_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return values


def toy(tmp_path: Path, strategy: Any = "genetic", evaluations: int = 60, **changes: Any) -> Config:
    return toy_config(tmp_path, strategy=strategy, budget={"evaluations": evaluations}, **changes)


@pytest.mark.parametrize("strategy", RULED)
def test_the_folder_of_a_run_names_the_parameters_that_it_chose(tmp_path, strategy):
    folder = instant_search(toy(tmp_path, strategy))[0].run().folder
    written = strategy_of(folder)
    name = written["strategy"]["name"]
    assert name == (strategy if strategy != Auto.name else Auto.choice(Situation.of(60, 4**12)))
    expected = STRATEGIES.get(name).defaults_for(Situation.of(60, 4**12), {})
    assert {key: written["strategy"][key] for key in expected} == expected
    assert written["chosen"]["strategy"] == [*(["name"] if strategy == Auto.name else []), *expected]
    again = instant_search(toy(tmp_path, strategy))[0]
    assert again.run().folder == folder and again.config.strategy == own_config(folder / "config.yaml").strategy


def test_given_parameters_are_kept_and_not_said_to_be_chosen(tmp_path):
    folder = instant_search(toy(tmp_path, {"name": "genetic", "population": 9}))[0].run().folder
    written = strategy_of(folder)
    assert written["strategy"]["population"] == 9
    assert "population" not in written["chosen"]["strategy"]


def test_a_strategy_without_such_parameters_is_written_as_it_was_given(tmp_path):
    written = strategy_of(instant_search(toy(tmp_path, "random"))[0].run().folder)
    assert written["strategy"] == {"name": "random"} and "chosen" not in written


def test_a_larger_budget_keeps_what_was_chosen(tmp_path):
    folder = instant_search(toy(tmp_path, evaluations=60))[0].run().folder
    before = strategy_of(folder)
    extended = Search.from_folder(folder, budget={"evaluations": 3000}, quiet=True)
    extended.report, extended._given = False, InstantEvaluator(extended.space)
    extended.run()
    after = strategy_of(folder)
    assert {key: after[key] for key in ("strategy", "chosen")} == {key: before[key] for key in ("strategy", "chosen")}
    fresh = settled(toy(tmp_path / "fresh", evaluations=3000), extended.space)
    assert fresh.strategy.values != before["strategy"]


def test_the_same_configuration_with_another_budget_is_sent_to_resume(tmp_path):
    instant_search(toy(tmp_path, evaluations=60))[0].run()
    with pytest.raises(RunError, match=r"another budget .*resume"):
        instant_search(toy(tmp_path, evaluations=70))[0].run()


def test_what_auto_chose_is_resumed_under_both_names(tmp_path):
    folder = instant_search(toy(tmp_path, "auto"))[0].run().folder
    journal = journal_without_times(folder)
    name = strategy_of(folder)["strategy"]["name"]
    assert instant_search(toy(tmp_path, name))[0].run().folder == folder
    assert instant_search(toy(tmp_path, "auto"))[0].run().folder == folder
    assert journal_without_times(folder) == journal
    other = "random" if name != "random" else "genetic"
    with pytest.raises(RunError, match=r"another configuration \('strategy.name' is"):
        instant_search(toy(tmp_path, other))[0].run()


@pytest.mark.parametrize("strategy", ["genetic", "auto"])
def test_a_run_that_was_stopped_goes_on_with_what_it_chose(tmp_path, strategy):
    whole = instant_search(toy(tmp_path / "whole", strategy, 150))[0].run().folder
    stopped = toy(tmp_path / "stopped", strategy, 150)
    searching, _ = instant_search(stopped)
    searching._given = Stopping(70)
    with pytest.raises(PulledPlugError):
        searching.run()
    folder = instant_search(toy(tmp_path / "stopped", strategy, 150))[0].run().folder
    assert journal_without_times(folder) == journal_without_times(whole)


def test_a_budget_of_seconds_counts_as_a_thousand_evaluations(tmp_path):
    space = create_space("toy", genes=12)
    timed = settled(toy_config(tmp_path, strategy="genetic", budget={"seconds": 5}), space)
    counted = settled(toy(tmp_path, evaluations=1000), space)
    assert timed.strategy == counted.strategy


def test_a_small_space_limits_the_budget_that_is_counted(tmp_path):
    space = {"name": "toy", "genes": 3, "choices": 3}
    large = settled(toy(tmp_path, evaluations=100_000, space=space), create_space(**space))
    exact = settled(toy(tmp_path, evaluations=27, space=space), create_space(**space))
    assert large.strategy == exact.strategy


def test_the_report_shows_what_was_chosen(tmp_path):
    folder = instant_search(toy(tmp_path))[0].run().folder
    page = write_report(folder)
    assert "chosen by the run, of the strategy" in Path(page).read_text(encoding="utf-8")


def test_a_comparison_chooses_for_its_own_budget_and_keeps_it(tmp_path):
    table = write_scores(tmp_path / "scores.npz")
    compare = {"strategies": ["genetic", {"name": "auto"}, {"name": "genetic", "label": "ten", "population": 10}], "seeds": 2}
    config = compare_config(tmp_path, compare, scores=str(table))
    runs = run_all(config, quiet=True)
    there = own_config(folder_of(config) / "config.yaml")
    found = {contender.label: contender.strategy for contender in there.plan().contenders}
    space = create_space("toy")
    assert found["genetic"] == settled(toy(tmp_path, evaluations=60, space="toy"), space).strategy
    assert found["ten"].values["population"] == 10
    assert there.chosen["compare auto"][0] == "name" and found["auto"].name != "auto"
    assert [contender.strategy for contender in runs.plan.contenders] == list(found.values())
    assert run_all(config, quiet=True).traces == runs.traces


def test_a_comparison_of_a_version_without_rules_goes_on_with_the_defaults_of_classes(tmp_path):
    table = write_scores(tmp_path / "scores.npz")
    config = compare_config(tmp_path, {"strategies": ["genetic", "annealing"], "seeds": 1}, scores=str(table))
    folder = folder_of(config)
    folder.mkdir(parents=True)
    values = {**as_values(config), "name": config.name}
    (folder / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    runs = run_all(config, quiet=True)
    assert [contender.strategy.parameters for contender in runs.plan.contenders] == [
        STRATEGIES.get(name).Parameters() for name in ("genetic", "annealing")
    ]


def test_a_run_of_a_version_without_rules_goes_on_with_the_defaults_of_its_strategy(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    values = yaml.safe_load((OLD / "config.yaml").read_text(encoding="utf-8"))
    config = parse_config({**values, "name": "old", "runs": str(tmp_path)})
    assert values["strategy"] == {"name": "genetic"} and "chosen" not in values
    whole = instant_search(parse_config({**values, "runs": str(tmp_path / "whole"), "strategy": PINNED}))[0].run().folder
    folder = instant_search(config)[0].run().folder
    assert journal_without_times(folder) == journal_without_times(whole)
    resumed = Search.from_folder(folder, quiet=True)
    assert resumed.config.strategy.parameters == STRATEGIES.get("genetic").Parameters()


# The defaults of that version, written out.
PINNED = {"name": "genetic", "population": 50, "tournament": 3, "crossover": 0.5, "mutation": 0.2, "offspring": None}


def test_a_call_of_search_goes_on_with_a_run_of_the_default_strategy_of_earlier_versions(tmp_path):
    space = create_space("toy")
    old = {"name": "toy", "runs": str(tmp_path), "quiet": True, "report": False, "proxies": "params", "evaluations": 30}
    folder = search(space, strategy={"name": "genetic", **{k: v for k, v in PINNED.items() if k != "name"}}, **old).folder
    values = strategy_of(folder)
    values["strategy"] = {"name": "genetic"}
    values.pop("chosen", None)
    lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
    (folder / "config.yaml").write_text("\n".join([lines[0], yaml.safe_dump(values), lines[-1], ""]), encoding="utf-8")
    before = journal_without_times(folder)
    assert search(space, **old).folder == folder
    assert journal_without_times(folder) == before
