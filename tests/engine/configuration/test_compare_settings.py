"""The settings that the section ``compare`` spans: spaces x objectives x budgets, or a list x budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.configuration.compare_settings import settings_of
from rbflex_evo.engine.configuration.config import Config, as_values, identity, parse_config
from rbflex_evo.spaces import ConfigError, UnknownNameError
from tests.support.replay import compare_config

SMALL = {"name": "toy", "genes": 4, "label": "small"}
BASE = {"strategies": ["random", "genetic"], "seeds": 2}
FRONT = {"proxies": {"naswot": {}}, "objective": {"pareto": ["naswot", {"minimise": "params"}]}}
TABLE = {"source": "csv", "path": "known.csv", "dataset": "digits"}


def config(tmp_path: Path, changes: dict[str, Any] | None = None, **compare: Any) -> Config:
    return compare_config(tmp_path, {**BASE, **compare}, **(changes or {}))


def test_settings_are_every_space_objective_and_budget(tmp_path: Path) -> None:
    objectives = ["naswot", {"preset": "rbflex_rank"}, {"proxies": {"params": {}}, "label": "size"}]
    found = settings_of(config(tmp_path, spaces=["nats_tss", SMALL], objectives=objectives, budgets=[10, 20]))
    assert [setting.label for setting in found] == [
        f"{space}-{objective}-{budget}"
        for space in ("nats_tss", "small")
        for objective in ("naswot", "rbflex_rank", "size")
        for budget in (10, 20)
    ]
    last = found[-1]
    assert (last.problem, last.space, last.objective, last.budget) == ("small-size", "small", "size", 20)
    assert last.config.space.values == {"genes": 4}
    assert list(last.config.fitness.proxies) == ["params"]
    assert last.config.budget.evaluations == 20
    assert last.config.plan() == config(tmp_path).plan()


def test_a_setting_is_the_comparison_that_one_would_write_for_it_alone(tmp_path: Path) -> None:
    whole = config(tmp_path, spaces=["nats_tss", "toy"], objectives=["naswot", "params"], budgets=[10, 20])
    alone = {**as_values(whole), "space": "toy", "fitness": {"proxies": {"params": {}}}, "budget": {"evaluations": 20}}
    assert identity(settings_of(whole)[-1].config) == identity(parse_config(alone))


def test_settings_may_be_listed_with_a_table_of_scores_each(tmp_path: Path) -> None:
    listed = [
        {"space": "nats_tss", "fitness": {"objective": "naswot"}, "scores": "tss.npz"},
        {"space": "toy", "label": "toys", "table": TABLE},
    ]
    first, second = settings_of(config(tmp_path, {"scores": "own.npz"}, settings=listed))
    assert (first.label, first.config.scores, first.config.table) == ("nats_tss-naswot-60", "tss.npz", None)
    assert (second.label, second.config.scores) == ("toys-60", None)
    assert [table.name for table in second.config.plan().tables] == ["csv"]


def test_tables_of_the_configuration_are_of_its_own_space(tmp_path: Path) -> None:
    changes = {"scores": "own.npz", "table": TABLE}
    own, other = settings_of(config(tmp_path, changes, spaces=[{"name": "toy", "genes": 6, "choices": 4, "label": "own"}, SMALL]))
    assert (own.config.scores, len(own.config.plan().tables)) == ("own.npz", 1)
    assert (other.config.scores, len(other.config.plan().tables)) == (None, 0)


def test_constraints_and_weights_hold_for_objectives_without_their_own(tmp_path: Path) -> None:
    fitness = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 1e6}}, "weights": {"seed": 3}}
    objectives = ["params", {"proxies": {"naswot": {}}, "constraints": {"flops": {"max": 1e9}}}]
    first, second = settings_of(config(tmp_path, {"fitness": fitness}, objectives=objectives))
    assert [list(setting.config.fitness.constraints) for setting in (first, second)] == [["params"], ["flops"]]
    assert [setting.config.fitness.weights.seed for setting in (first, second)] == [3, 3]


def test_one_setting_is_the_comparison_itself(tmp_path: Path) -> None:
    (plain,) = settings_of(config(tmp_path))
    assert plain.config == config(tmp_path)
    (listed,) = settings_of(config(tmp_path, spaces=[{"name": "toy", "genes": 6, "choices": 4}], budgets=[60]))
    assert listed.config.folder == plain.config.folder
    assert identity(listed.config) == identity(plain.config)


def test_what_the_lists_name_may_be_left_out_and_a_search_takes_the_first(tmp_path: Path) -> None:
    values = as_values(config(tmp_path, spaces=["nats_tss", SMALL], objectives=[{"preset": "az_nas"}, "naswot"], budgets=[7, 9]))
    for section in ("space", "fitness", "budget", "strategy"):
        values.pop(section)
    first = parse_config(values)
    assert (first.space.name, first.fitness.preset, first.budget.evaluations) == ("nats_tss", "az_nas", 7)
    assert [setting.label for setting in settings_of(first)][::3] == ["nats_tss-az_nas-7", "nats_tss-naswot-9", "small-naswot-7"]
    assert settings_of(parse_config(as_values(first))) == settings_of(first)


@pytest.mark.parametrize(
    ("compare", "part"),
    [
        ({"spaces": ["toy", {"name": "toy", "gene": 3}]}, r"compare\.spaces\.1: .*'space\.gene'.*did you mean 'genes'"),
        ({"spaces": ["toy"], "objectives": ["naswot", 3]}, r"'compare\.objectives\.1': should be a score"),
        ({"objectives": ["az_nas", "naswot"]}, r"compare\.objectives\.0: .* is a preset; write preset: az_nas"),
        ({"budgets": [10, 0]}, r"compare\.budgets\.1"),
        ({"budgets": [10, 10]}, "should be different numbers of evaluations"),
        ({"budgets": 10}, r"'compare\.budgets'"),
        ({"spaces": ["toy", "toy"], "budgets": [10, 20]}, "has the setting 'toy-.*-10' twice; give one of its parts another name"),
        ({"spaces": [{"name": "toy", "label": "a/b"}]}, r"'compare\.spaces\.0\.label': should be ASCII letters"),
        ({"settings": [{"space": "toy", "budget": 3}]}, r"'compare\.settings\.0' has the unknown key 'budget'"),
        ({"settings": ["toy"]}, r"'compare\.settings\.0': should be a mapping with the keys label, space"),
        ({"settings": [{"fitness": "naswot"}]}, r"'compare\.settings\.0\.fitness': should be a mapping"),
        ({"settings": [{"space": "toy"}], "spaces": ["toy"]}, "so it takes no spaces and no objectives"),
        ({"objectives": ["naswot", FRONT]}, r"compare\.objectives\.1: .*'pareto' does not have"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_entry(tmp_path: Path, compare: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part) as error:
        settings_of(config(tmp_path, **compare))
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_space_is_named_with_its_entry(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"compare\.spaces\.1: .*did you mean 'nats_tss'"):
        settings_of(config(tmp_path, spaces=["toy", "nats_ts"]))
