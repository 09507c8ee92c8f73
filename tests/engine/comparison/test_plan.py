"""The section ``compare``: what it may hold, and one clear line for what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.comparison.plan import run_config
from rbflex_evo.engine.configuration.config import as_values, identity, parse_config
from rbflex_evo.spaces import ConfigError, UnknownNameError
from tests.support.replay import compare_config


def test_contenders_have_their_strategys_name_or_a_label(tmp_path: Path) -> None:
    strategies = ["random", {"name": "genetic", "population": 30}, {"name": "genetic", "label": "genetic 50"}]
    plan = compare_config(tmp_path, {"strategies": strategies, "seeds": [3, 1]}).plan()
    assert [contender.label for contender in plan.contenders] == ["random", "genetic", "genetic 50"]
    assert plan.contenders[1].strategy.values == {"population": 30}
    assert plan.seeds == (3, 1)


def test_a_number_of_seeds_counts_from_the_configurations_own(tmp_path: Path) -> None:
    assert compare_config(tmp_path, {"strategies": ["random"], "seeds": 3}, seed=10).plan().seeds == (10, 11, 12)
    assert len(compare_config(tmp_path, {"strategies": ["random"]}).plan().seeds) == 30


def test_every_contender_runs_an_ordinary_search_with_every_seed(tmp_path: Path) -> None:
    config = compare_config(tmp_path, {"strategies": ["random", {"name": "genetic", "population": 5, "label": "small"}]}, name="x")
    settings = run_config(config, config.plan().contenders[1], 7)
    assert settings.folder == tmp_path / "x-compare" / "small" / "7"
    values = as_values(config)
    values.pop("compare")
    expected = parse_config({**values, "strategy": {"name": "genetic", "population": 5}, "seed": 7})
    assert identity(settings) == identity(expected)
    assert parse_config(as_values(settings)) == settings


def test_a_search_of_a_comparison_takes_its_first_strategy(tmp_path: Path) -> None:
    values = as_values(compare_config(tmp_path, {"strategies": [{"name": "genetic", "population": 7, "label": "a"}]}))
    values.pop("strategy")
    for wrong in ({"seeds": 3}, {"strategies": []}, {"strategies": "random"}):
        with pytest.raises(ConfigError, match=r"'compare.strategies' should be a list of strategies"):
            parse_config({**values, "compare": wrong})
    config = parse_config(values)
    assert (config.strategy.name, config.strategy.values) == ("genetic", {"population": 7})


@pytest.mark.parametrize(
    ("compare", "changes", "message"),
    [
        ({"strategies": ["random", "random"]}, {}, "has 'random' twice; give one of them another name with 'label'"),
        ({"strategies": ["random", {"name": "genetic", "label": "Random"}]}, {}, "has 'random' twice"),
        ({"strategies": ["random"], "seeds": 0}, {}, "'compare.seeds': should be a number of seeds"),
        ({"strategies": ["random"], "seeds": [1, 1]}, {}, "'compare.seeds': should be"),
        ({"strategies": ["random"], "seeds": "many"}, {}, "'compare.seeds': should be"),
        ({"strategies": ["random"], "seed": 3}, {}, "unknown key 'compare.seed'; did you mean 'seeds'?"),
        ({"strategies": []}, {}, "compare.strategies"),
        ({"seeds": 3}, {"strategy": "random"}, "'compare.strategies' is missing"),
        ({"strategies": [{"name": "genetic", "populaton": 3}]}, {}, "'compare.strategies.0.populaton'; did you mean 'population'?"),
        ({"strategies": [{"name": "random", "label": "a/b"}]}, {}, "'compare.strategies.0.label': should be ASCII letters (a to z"),
        ({"strategies": ["random"]}, {"budget": {"seconds": 3}}, "one budget of unique evaluations"),
        ({"strategies": ["random"]}, {"budget": {"evaluations": 9, "generations": 3}}, "one budget of unique evaluations"),
        ({"strategies": ["random"], "tables": [{"path": "x"}]}, {}, "'compare.tables.0.source' is missing"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path: Path, compare: Any, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compare_config(tmp_path, compare, **changes)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


def test_an_unknown_strategy_is_named_with_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown strategy 'gentic'; did you mean 'genetic'"):
        compare_config(tmp_path, {"strategies": ["gentic"]})


def test_a_configuration_without_the_section_compares_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compares nothing; add what to compare"):
        compare_config(tmp_path, None).plan()  # type: ignore[arg-type]
