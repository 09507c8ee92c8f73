import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.engine.configuration.config import as_values, load_config, parse_config
from rbflex_evo.engine.configuration.yaml_reader import read_value, write_value
from rbflex_evo.engine.run.folder import RunFolder
from rbflex_evo.spaces import ConfigError

VALUES = {
    "name": "x",
    "space": "toy",
    "data": {"source": "noise", "shape": [3, 8, 8]},
    "fitness": {"proxies": {"naswot": {}}},
    "strategy": "random",
    "budget": {"evaluations": 4},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("008", 8),
        ("007", 7),
        ("-010", -10),
        ("+12", 12),
        ("0x10", 16),
        ("0o17", 15),
        ("1e6", 1e6),
        ("1E-3", 1e-3),
        ("1.", 1.0),
        (".5", 0.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("-0x10", "-0x10"),
        ("1,5", "1,5"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
        ("~", None),
        ("null", None),
        ("", None),
        ("'010'", "010"),
        ("!!str 010", "010"),
        ("!!int 010", 10),
        ("[010, {a: 1:30}]", [10, {"a": "1:30"}]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    read = read_value(text, "here")
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_a_number():
    assert math.isnan(read_value(".nan", "here"))


def test_a_zero_padded_seed_is_decimal_in_a_file_and_on_the_command_line(tmp_path):
    path = tmp_path / "padded.yaml"
    path.write_text(write_value(VALUES) + "seed: 010\n")
    assert load_config(path).seed == 10
    assert load_config(path, ["seed=011", "budget.evaluations=0012"]).seed == 11
    assert load_config(path, ["budget.evaluations=0012"]).budget.evaluations == 12


@pytest.mark.parametrize("text", ["1_000", "1:30", "0b11"])
def test_what_is_a_number_in_yaml_1_1_alone_is_refused_where_a_number_is_needed(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(write_value(VALUES))
    with pytest.raises(ConfigError, match=f"'seed'.*integer.*it is '{text}'"):
        load_config(path, [f"seed={text}"])


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"[-+0-9_:.eExXoO]{1,8}", fullmatch=True),
        st.sampled_from(["1e6", "0o17", "010", "off", "yes", "null", ".inf", "<<", "=", "~", "1:30"]),
        st.integers(),
        st.floats(allow_nan=False),
        st.booleans(),
        st.none(),
    )
)
def test_what_is_written_is_read_back_with_its_type(value):
    read = read_value(write_value({"key": [value]}), "here")["key"][0]
    assert read == value
    assert type(read) is type(value)


def test_a_name_that_only_yaml_1_2_reads_as_a_number_survives_the_run_folder(tmp_path):
    config = parse_config({**VALUES, "name": "1e6", "cache": "0o17"})
    folder = RunFolder(tmp_path)
    folder.write_config(config)
    assert parse_config(read_value(folder.config.read_text(), "here")) == config
    assert as_values(config)["name"] == "1e6"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "line 2: .*the key 'a' is duplicated"),
        ("1: a\n01: b", "line 2: .*the key '01' is duplicated"),
        ("{? [a, b] : c}", "a key must be a word or a number"),
        ("&a [*a]", "an alias names the value that it is part of"),
        ("a: &a\n  b: *a", "an alias names the value that it is part of"),
        ("a: *b", "found undefined alias 'b'"),
        ("!!python/object/apply:os.system [ls]", "the tag '!!python/object/apply:os.system' is not known"),
        ("!!set {a}", "the tag '!!set' is not known"),
        ("!!int abc", "this is no int"),
        ("!!float ''", "this is no float"),
        ("!!bool maybe", "this is no bool"),
        ("!!map x", "expected keys with values"),
        ("<<: 3", "expected a mapping"),
        ("9" * 5000, r"9'\.\.\. \(5,000 characters\) is too long for a number"),
        ("[" * 60 + "]" * 60, "more than 50 values inside each other"),
        ("[" * 5000, "more than 50 values inside each other"),
        ("x: " + "{a: " * 3000, "more than 50 values inside each other"),
        ("a" * 4_000_001, "more than 4,000,000 characters"),
    ],
)
def test_malformed_or_excessive_yaml_is_refused_in_one_line(text, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        read_value(text, "here")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("form", ["[{}]", "{{{}}}"])
def test_aliases_that_expand_to_too_many_values_are_refused(form):
    level = "a0: &a0 " + form.format(", ".join("uvwxyz")) + "\n"
    for i in range(1, 12):
        parts = [f"*a{i - 1}"] * 9 if form[0] == "[" else [f"k{j}: *a{i - 1}" for j in range(9)]
        level += f"a{i}: &a{i} {form.format(', '.join(parts))}\n"
    with pytest.raises(ConfigError, match="more than 100,000 values, with aliases expanded"):
        read_value(level, "here")


def test_small_anchors_and_merges_are_read():
    text = "base: &base {n: 010, seed: 1}\nfirst: {<<: *base, seed: 2}\nsecond: *base\n"
    assert read_value(text, "here") == {
        "base": {"n": 10, "seed": 1},
        "first": {"n": 10, "seed": 2},
        "second": {"n": 10, "seed": 1},
    }


@given(st.text(alphabet=st.sampled_from(list("ab01:-[]{}&*!<>|?,'\"#%@`\n \t.~=")), max_size=60))
def test_any_text_is_a_value_or_refused(text):
    with suppress(ConfigError):
        read_value(text, "here")
