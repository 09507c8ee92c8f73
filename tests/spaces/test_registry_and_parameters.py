import subprocess
import sys

import pytest
from pydantic import Field, model_validator

from rbflex_evo import spaces
from rbflex_evo.spaces import SPACES, TABLES, ConfigError, Parameters, Registry, UnknownNameError, create_space, near_name, parse
from rbflex_evo.spaces.errors import shown


class Inner(Parameters):
    depth: int = Field(1, ge=1)


class Outer(Parameters):
    name: str
    inner: Inner = Inner()
    rate: float = 0.5


def test_a_name_given_as_text_is_imported_when_it_is_asked_for():
    registry = Registry("thing")
    registry.register("decoder", "json:JSONDecoder")
    import json

    assert registry.get("decoder") is json.JSONDecoder
    assert registry.get("decoder") is json.JSONDecoder


def test_an_unknown_name_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match=r"^unknown space 'nats_ts'; did you mean 'nats_tss'\?$"):
        SPACES.get("nats_ts")


def test_an_unknown_name_far_from_all_lists_them():
    with pytest.raises(UnknownNameError, match=r"^unknown space 'xyz'; known: .*nats_sss, nats_tss.*toy"):
        SPACES.get("xyz")


def test_a_name_is_taken_once():
    registry = Registry("thing")
    registry.register("one", "json:loads")
    registry.register("one", "json:loads")
    with pytest.raises(ValueError, match="thing 'one' is already registered as 'json:loads'"):
        registry.register("one", "json:dumps")


def test_names_are_sorted_and_hold_the_built_in_ones():
    assert SPACES.names() == sorted(SPACES.names())
    assert {"nats_sss", "nats_tss", "toy"} <= set(SPACES.names())
    assert {"analog_nasbench", "csv", "nats_bench", "npz"} <= set(TABLES.names())


def test_every_registered_space_and_table_can_be_imported_and_names_itself():
    for registry in (SPACES, TABLES):
        for name in registry.names():
            thing = registry.get(name)
            # A search registers the class of a space that it is given, so other tests may have left theirs.
            if not thing.__module__.startswith("rbflex_evo."):
                continue
            assert thing.name == name
            assert thing.description
            assert issubclass(thing.Parameters, Parameters)


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("space", "spaces"),
        ("proxy", "proxies"),
        ("strategy", "strategies"),
        ("data source", "data_sources"),
        ("device table", "device_tables"),
    ],
)
def test_entry_point_groups_are_plurals_that_packaging_accepts(kind, group):
    assert Registry(kind).group == f"rbflex_evo.{group}"


def test_a_plug_in_is_found_through_its_entry_point(tmp_path, monkeypatch):
    (tmp_path / "my_plugin.py").write_text("VALUE = 42\n")
    metadata = tmp_path / "my_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rbflex_evo.gadgets]\nanswer = my_plugin:VALUE\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("gadget")
    assert registry.names() == ["answer"]
    assert registry.get("answer") == 42


def test_naming_a_wrong_space_imports_neither_torch_nor_scipy():
    code = (
        "import sys; import rbflex_evo.spaces\n"
        "try: rbflex_evo.spaces.create_space('nope')\n"
        "except rbflex_evo.spaces.UnknownNameError: pass\n"
        "print([name for name in ('torch', 'scipy', 'deap', 'matplotlib') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_values_become_typed_parameters():
    assert parse(Outer, {"name": "a", "inner": {"depth": 3}}, "x") == Outer(name="a", inner=Inner(depth=3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "'x.name' is missing"),
        ({"nam": "a"}, "unknown key 'x.nam'; did you mean 'name'?"),
        ({"name": "a", "rat": 1.0}, "unknown key 'x.rat'; did you mean 'rate'?"),
        ({"name": "a", "inner": {"dpth": 1}}, "unknown key 'x.inner.dpth'; did you mean 'depth'?"),
        ({"name": 3}, "'x.name': input should be a valid string, but it is 3"),
        ({"name": "a", "inner": {"depth": "3"}}, "'x.inner.depth': input should be a valid integer, but it is '3'"),
        (
            {"name": "a", "inner": {"depth": 0}},
            "'x.inner.depth': input should be greater than or equal to 1, but it is 0",
        ),
        ({"name": "a", "rate": float("nan")}, "'x.rate': input should be a finite number, but it is nan"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(values, message):
    with pytest.raises(ConfigError) as caught:
        parse(Outer, values, "x")
    assert str(caught.value) == message


class Ordered(Parameters):
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _in_order(self):
        if self.low > self.high:
            raise ValueError("'low' must not be above 'high'")
        return self


def test_a_model_s_own_message_is_given_as_it_is():
    with pytest.raises(ConfigError, match=r"^'x': 'low' must not be above 'high'$"):
        parse(Ordered, {"low": 2}, "x")


def test_parameters_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Inner().depth = 2


def test_a_space_is_created_with_its_parameters():
    assert create_space("toy", genes=4).encoding.size == 4**4
    with pytest.raises(ConfigError, match=r"unknown key 'space.toy.gene'; did you mean 'genes'\?"):
        create_space("toy", gene=4)


def test_near_names():
    assert near_name("gentic", ["genetic", "random"]) == "; did you mean 'genetic'?"
    assert near_name("zzz", ["b", "a"]) == "; known: a, b"
    assert near_name("zzz", []) == ""


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        ("ConfigError", ValueError),
        ("UnknownNameError", LookupError),
        ("GenotypeError", ValueError),
        ("DataError", ValueError),
        ("TableError", ValueError),
    ],
)
def test_each_exception_is_the_package_s_and_a_builtin_s(error, builtin):
    assert issubclass(getattr(spaces, error), (spaces.RbflexEvoError,))
    assert issubclass(getattr(spaces, error), builtin)


def test_a_long_value_is_cut_with_its_length():
    assert shown("x" * 120) == repr("x" * 120)
    assert shown("x" * 5000) == f"{'x' * 120!r}... (5,000 characters)"
    assert shown(b"\x00" * 5000, 3) == r"b'\x00\x00\x00'... (5,000 bytes)"
    assert shown(list(range(5000)), 9) == "[0, 1, 2,... (28,890 characters)"
    assert "\n" not in shown("a\nb")


def test_few_names_of_many_are_listed():
    assert near_name("zzzzz", ["a", "b"]) == "; known: a, b"
    assert near_name("zzzzz", [f"{i:03}" for i in range(60)]).endswith("048, 049 and 10 more")
    assert len(near_name("zzzzz", ["y" * 5000])) < 100


def test_a_near_name_may_have_other_cases():
    assert near_name("NATS_TSS", ["nats_tss", "nats_sss"]) == "; did you mean 'nats_tss'?"
