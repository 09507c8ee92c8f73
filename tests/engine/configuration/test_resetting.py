"""Other settings of the machine for a run that has begun."""

import pytest

from rbflex_evo.engine import Search
from rbflex_evo.engine.configuration.config import identity, load_config
from rbflex_evo.engine.configuration.resetting import CHANGEABLE, with_settings
from rbflex_evo.spaces import ConfigError
from tests.support.instant import instant_search, toy_config


def test_settings_of_the_machine_change_and_the_run_stays_the_same(tmp_path):
    before = toy_config(tmp_path, executor={"name": "ray", "address": "head:6379"})
    after = with_settings(before, ["executor=local", "workers=2", "timeout=30"])
    assert (after.executor.name, after.workers, after.timeout) == ("local", 2, 30.0)
    assert identity(after) == identity(before)
    assert with_settings(before, ["executor.num_cpus=2"]).executor.parameters.model_dump() == {
        **before.executor.parameters.model_dump(),
        "num_cpus": 2.0,
    }


def test_every_setting_that_may_change_is_one_that_no_journal_depends_on(tmp_path):
    config = toy_config(tmp_path)
    others = {"workers": 3, "executor": "ray", "timeout": 5, "micro_batch": 2, "cache": "other.sqlite", "table": "csv"}
    assert set(others) == set(CHANGEABLE)
    for key in set(CHANGEABLE) - {"table"}:
        assert identity(with_settings(config, [f"{key}={others[key]}"])) == identity(config)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("seed=1", r"--set 'seed=1': a run keeps its 'seed', only workers, executor, .* may change when it is resumed$"),
        ("budget.evaluations=9", r"a run keeps its 'budget', .* resumed; another budget: --budget$"),
        ("executr=local", r"unknown key 'executr'; did you mean 'executor'\?"),
        ("workers", "--set takes key.sub=value"),
    ],
)
def test_other_settings_are_refused_with_the_way_out(tmp_path, text, error):
    with pytest.raises(ConfigError, match=error):
        with_settings(toy_config(tmp_path), [text])


def test_a_run_that_is_resumed_by_its_folder_keeps_the_new_settings(tmp_path):
    folder = instant_search(toy_config(tmp_path, executor="ray", budget={"evaluations": 5}))[0].run().folder
    search = Search.from_folder(folder, overrides=["executor=local"], quiet=True)
    assert search.config.executor.name == "local"
    assert search.run().folder == folder
    assert load_config(folder / "config.yaml").executor.name == "ray"  # a finished run is not written again
