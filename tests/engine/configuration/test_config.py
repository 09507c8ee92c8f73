"""The configuration: short forms, overrides, what identifies a run, and one clear line for every mistake."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rbflex_evo.engine.configuration.config import Config, as_values, identity, load_config, parse_config
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, RbflexEvoError, UnknownNameError

VALUES: dict[str, Any] = {
    "name": "run",
    "space": "toy",
    "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
    "fitness": {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"rank": ["naswot", "synflow"]}},
    "strategy": {"name": "genetic", "population": 10},
    "budget": {"evaluations": 20},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(VALUES)
    *way, last = path.split(".")
    inner = values
    for part in way:
        inner = inner[part]
    inner[last] = value
    return values


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_a_short_form_means_the_same_as_the_long_one() -> None:
    short = parse_config({**VALUES, "fitness": {"proxies": {"naswot": None}}, "strategy": "random"})
    long = parse_config(
        {
            **VALUES,
            "space": {"name": "toy"},
            "fitness": {"proxies": {"naswot": {}}, "objective": {"score": "naswot"}},
            "strategy": {"name": "random"},
        }
    )
    assert identity(short) == identity(long)


def test_what_is_written_reads_back_as_an_equal_config(tmp_path: Path) -> None:
    config = parse_config({**VALUES, "cache": "off", "warm_start": ["skip+zero|skip+zero|skip+zero"]})
    path = written(tmp_path, yaml.safe_dump(as_values(config)))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("runs", "elsewhere"),
        ("workers", 2),
        ("micro_batch", 1),
        ("cache", "off"),
        ("table", {"source": "csv", "path": "known.csv"}),
        ("strategy.population", 10),
        ("space", {"name": "toy", "genes": 6}),
    ],
)
def test_the_identity_leaves_out_what_changes_no_journal_line(key: str, value: Any) -> None:
    assert identity(parse_config(changed(key, value))) == identity(parse_config(VALUES))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("budget.evaluations", 21),
        ("strategy.population", 11),
        ("space", {"name": "toy", "genes": 5}),
        ("data.seed", 1),
        ("fitness.weights", {"seed": 1}),
        ("fitness.objective", {"rank": ["synflow", "naswot"]}),
        ("fitness.proxies", {"synflow": {}, "naswot": {}}),
        ("precision", "float64"),
        ("warm_start", ["skip+zero|skip+zero|skip+zero"]),
    ],
)
def test_the_identity_covers_what_changes_the_journal(key: str, value: Any) -> None:
    assert identity(parse_config(changed(key, value))) != identity(parse_config(VALUES))


@pytest.mark.parametrize(
    ("overrides", "read"),
    [
        (["seed=7"], lambda c: c.seed == 7),
        (["strategy.name=random", "strategy.population=null"], None),
        (["space.genes=4"], lambda c: c.space.values == {"genes": 4}),
        (["strategy={name: random, batch: 3}"], lambda c: c.strategy.values == {"batch": 3}),
        (["budget.seconds=1e2"], lambda c: c.budget.seconds == 100.0),
        (["cache=off"], lambda c: c.cache == "off"),
        (["data.n=5", "data.n=6"], lambda c: c.data.values["n"] == 6),
        (["fitness.weights.seed=3"], lambda c: c.fitness.weights.seed == 3),
    ],
)
def test_overrides_are_typed_as_yaml(tmp_path: Path, overrides: list[str], read: Any) -> None:
    path = written(tmp_path, yaml.safe_dump(VALUES))
    if read is None:
        with pytest.raises(ConfigError, match=r"strategy\.population"):
            load_config(path, overrides)
    else:
        assert read(load_config(path, overrides))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "takes key.sub=value"),
        ("=3", "takes key.sub=value"),
        ("a..b=3", "takes key.sub=value"),
        ("seed.x=3", "'seed' has no keys"),
        ("seed=[1", "malformed YAML"),
        ("sede=3", "did you mean 'seed'"),
    ],
)
def test_a_wrong_override_is_one_clear_line(tmp_path: Path, override: str, message: str) -> None:
    path = written(tmp_path, yaml.safe_dump({**VALUES, "seed": 0}))
    with pytest.raises(ConfigError, match=message) as raised:
        load_config(path, [override])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "should hold keys with values"),
        ("just words", "should hold keys with values"),
        ("name: x\nspace: [toy\n", r"line 3: malformed YAML"),
        ("name: x\n\tspace: toy\n", r"line 2: malformed YAML"),
        ("name: x\nname: y\n", r"line 2: malformed YAML, the key 'name' is duplicated"),
        ("name: \0x", "malformed YAML"),
    ],
)
def test_a_malformed_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load_config(written(tmp_path, text))
    assert len(str(raised.value).splitlines()) <= 2


def test_a_missing_file_a_folder_and_a_binary_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration file"):
        load_config(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sede", 3, "unknown key 'sede'; did you mean 'seed'"),
        ("seed", "3", "'seed': .*integer.*'3'"),
        ("seed", 1.5, "'seed'"),
        ("seed", -1, "'seed': .*greater than or equal to 0"),
        ("seed", True, "'seed'"),
        ("name", "a/b", "'name': should be a folder's name"),
        ("name", "..", "'name': should be a folder's name"),
        ("name", "größe", r"ASCII letters \(a to z\).*but it is 'größe'"),
        ("space", "tyo", "unknown space 'tyo'; did you mean 'toy'"),
        ("space", 3, "'space': should be a name"),
        ("space", {"genes": 3}, "'space.name' is missing"),
        ("space", {"name": 3}, "'space.name': should be a name"),
        ("space", {"name": "toy", "gens": 3}, r"unknown key 'space\.gens'; did you mean 'genes'"),
        ("space", {"name": "toy", "genes": 0}, r"'space\.genes'"),
        ("data", {"shape": [3, 8, 8]}, "'data.source' is missing"),
        ("data.source", "nosie", "unknown data source 'nosie'; did you mean 'noise'"),
        ("data.n", "many", r"'data\.n'"),
        ("fitness.proxies", {}, r"'fitness\.proxies'"),
        ("fitness.proxies", {"naswto": {}}, "unknown proxy 'naswto'; did you mean 'naswot'"),
        ("fitness.proxies", {"naswot": {"x": 1}}, r"unknown key 'fitness\.proxies\.naswot\.x'"),
        ("fitness.proxies", {"rbflex": {"gamma": "hdaa"}}, r"'fitness\.proxies\.rbflex\.gamma': .*'flat' or a valid list, but it"),
        ("fitness.proxies", {"rbflex": {"gamma": [1, 0]}}, r"'fitness\.proxies\.rbflex\.gamma\.1': input should be greater"),
        ("fitness.proxies", {"rbflex": {"gamma": [1]}}, r"'fitness\.proxies\.rbflex\.gamma': list should have at least 2"),
        ("fitness.objective", {"score": "rbflex"}, "rbflex"),
        ("fitness.objective", {"rnak": ["naswot"]}, "did you mean 'rank'"),
        ("fitness.objectiv", {}, r"unknown key 'fitness\.objectiv'; did you mean 'objective'"),
        ("fitness.weights", {"distribution": "normall"}, r"'fitness\.weights\.distribution'"),
        ("strategy.name", "gentic", "unknown strategy 'gentic'; did you mean 'genetic'"),
        ("strategy.population", 0, r"'strategy\.population'"),
        ("strategy.populatoin", 3, r"unknown key 'strategy\.populatoin'; did you mean 'population'"),
        ("budget", {}, "'budget': needs at least one of"),
        ("budget", {"evaluations": 0}, r"'budget\.evaluations'"),
        ("budget", {"evaluation": 5}, r"unknown key 'budget\.evaluation'; did you mean 'evaluations'"),
        ("budget", {"seconds": 0}, r"'budget\.seconds'"),
        ("budget", 300, "'budget'"),
        ("device", "gpu", "'device': should be auto, cpu, cuda"),
        ("precision", "float16", "'precision'"),
        ("workers", 0, "'workers': should be auto or a whole number"),
        ("workers", True, "'workers': should be auto or a whole number"),
        ("micro_batch", 0, "'micro_batch'"),
        ("cache", False, "'cache'"),
        ("table", {"path": "x"}, "'table.source' is missing"),
        ("table", {"source": "nasbench"}, "unknown table 'nasbench'"),
        ("table", {"source": "csv", "pth": "x"}, r"unknown key 'table\.pth'; did you mean 'path'"),
        ("warm_start", "skip", "'warm_start'"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(key: str, value: Any, message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message) as raised:
        parse_config(changed(key, value))
    assert len(str(raised.value).splitlines()) <= 2


@pytest.mark.parametrize("key", ["name", "space", "data", "fitness", "strategy", "budget"])
def test_a_missing_section_is_named(key: str) -> None:
    values = {name: value for name, value in VALUES.items() if name != key}
    with pytest.raises(ConfigError, match=f"'{key}' is missing"):
        parse_config(values)


def test_every_value_that_yaml_can_hold_in_a_section_is_an_error_of_ours_or_accepted() -> None:
    for key in Config.model_fields:
        for value in (None, True, 0, -1, 1.5, float("nan"), "", "x", [], [None], {}, {"name": None}, {1: 2}):
            message = ""
            try:
                assert isinstance(parse_config(changed(key, value)), Config)
            except RbflexEvoError as error:
                message = str(error)
            assert len(message.splitlines()) <= 2


def paths(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of every value inside lists and mappings."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ():
        yield (*path, key)
        yield from paths(value, (*path, key))


LONG = "long" * 2000


@pytest.mark.parametrize(
    "wrong", [LONG, [LONG] * 50, {LONG: 1}, list(range(3000)), 10**400], ids=["text", "list", "key", "numbers", "number"]
)
def test_no_message_repeats_a_long_value(wrong: Any) -> None:
    full = {
        **VALUES,
        "space": {"name": "toy", "genes": 6},
        "fitness": {
            "proxies": {"naswot": {}, "rbflex": {"gamma": "flat"}},
            "objective": {"rank": ["naswot", "rbflex"], "weights": [1.0, 2.0]},
            "constraints": {"flops": {"max": 3}, "latency": {"max": 1.0, "repeats": 2}, "handling": "reject"},
            "weights": {"seed": 0},
        },
        "table": {"source": "csv", "path": "x"},
        "sample": {"size": 3},
        "correlate": {"presets": [], "tables": [{"source": "csv", "path": "x"}], "resamples": 10},
        "compare": {"strategies": ["genetic", {"name": "random", "label": "a"}], "seeds": [1, 2]},
        "warm_start": ["x"],
    }
    parse_config(full)
    for path in paths(full):
        values = copy.deepcopy(full)
        inner: Any = values
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = wrong
        message = ""
        try:
            parse_config(values)
        except RbflexEvoError as error:
            message = str(error)
        assert len(message) < 600, path
        assert "\n" not in message


@pytest.mark.parametrize("text", [LONG, f"{LONG}=1", f"name.{LONG}=1", f"seed={LONG}", f"seed=[{LONG}"])
def test_no_message_repeats_a_long_override(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, yaml.safe_dump(VALUES))
    with pytest.raises(RbflexEvoError) as caught:
        load_config(path, [text])
    assert len(str(caught.value)) < 600


def test_indices_begin_a_search_as_numbers_and_as_text() -> None:
    config = parse_config({**VALUES, "warm_start": [17, "skip+zero|skip+zero|skip+zero"]})
    assert config.warm_start == ["17", "skip+zero|skip+zero|skip+zero"]
    assert identity(config) == identity(parse_config({**VALUES, "warm_start": ["17", "skip+zero|skip+zero|skip+zero"]}))


def test_an_alias_of_a_space_is_stored_under_its_name() -> None:
    data = {"source": "noise", "shape": [3, 32, 32]}
    alias, name = (parse_config({**VALUES, "data": data, "space": space}) for space in ("nasbench201", "nats_tss"))
    assert alias == name
    assert identity(alias) == identity(name)
    assert as_values(alias)["space"] == "nats_tss"


@pytest.mark.parametrize("value", ["no", "yes", "on", False, True])
def test_a_cache_is_off_auto_or_a_file(value: object) -> None:
    with pytest.raises(ConfigError, match="'cache': should be off"):
        parse_config(changed("cache", value))


def test_a_preset_may_be_one_of_several_objectives() -> None:
    front = {"pareto": [{"preset": "rbflex_robust"}, {"minimise": "params"}]}
    config = parse_config(
        {**VALUES, "fitness": {"proxies": {"naswot": None, "layered": {"form": "determinant"}}, "objective": front}}
    )
    preset = PRESETS.get("rbflex_robust")
    assert list(config.fitness.proxies) == [*preset.members, "naswot"]
    assert config.fitness.proxies["layered"].model_dump()["form"] == "determinant"
    assert config.fitness.objective.pareto == [{"rank": list(preset.members), "rule": "log"}, {"minimise": "params"}]
    assert identity(parse_config(as_values(config))) == identity(config)
    for entry, message in (
        ({"preset": "rbflex_robus"}, "did you mean 'rbflex_robust'"),
        ({"preset": "az_nas", "x": 1}, "and nothing else"),
    ):
        with pytest.raises(RbflexEvoError, match=message):
            parse_config({**VALUES, "fitness": {"objective": {"pareto": [entry, {"minimise": "params"}]}}})
