import importlib.util
import os
import pickle
import re
import subprocess
import sys
import threading
import types

import pytest
import torch
from torch import nn

from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.fingerprint import Unsure, fingerprint, foreign, is_ours

# A module of a user, in which each change below alters what `Mine` does.
MODULE = """
import functools
import math
from torch import nn
import HELPER
from HELPER import Base, scaled

WIDTHS = (16, 32)
UNUSED = object()
MAKERS = [nn.ReLU]
SETTINGS = {"bias": True}

def outer(factor):
    def inner(x):
        return factor * x
    return inner

twice = outer(2)
half = functools.partial(max, 0.5)

def layers(width, kernel=3, *, groups=1):
    return [nn.Conv2d(3, width, kernel, groups=groups, bias=SETTINGS["bias"]), *(make() for make in MAKERS)]

class Mine(Base):
    activation = lambda self, x: x.clamp(min=0)
    limit = 6.0

    def build(self, genotype):
        return nn.Sequential(*layers(WIDTHS[genotype[0]]), *self.more())

    def more(self):
        import HELPER as local
        return [twice(1), half(2), scaled(1), HELPER.shifted(1), math.floor(1.5), local.DEPTH]

    @property
    def width(self):
        return 4

    @staticmethod
    def pad(x):
        return x
"""
HELPER = """
OFFSET = 1
DEPTH = 3

class Base:
    def forward(self, x):
        return x + 1

def scaled(x):
    return 2 * x

def shifted(x):
    return x + OFFSET
"""

CHANGES = {
    "a global tuple": ("WIDTHS = (16, 32)", "WIDTHS = (16, 64)"),
    "a class in a global list": ("MAKERS = [nn.ReLU]", "MAKERS = [nn.Tanh]"),
    "a value in a global dictionary": ('"bias": True', '"bias": False'),
    "a default argument": ("kernel=3", "kernel=5"),
    "a default of a keyword": ("groups=1):", "groups=3):"),
    "a value in a closure": ("outer(2)", "outer(3)"),
    "an argument of a partial": ("partial(max, 0.5)", "partial(max, 0.25)"),
    "a lambda": ("clamp(min=0)", "clamp(min=1)"),
    "an attribute of the class": ("limit = 6.0", "limit = 7.0"),
    "a property": ("return 4", "return 8"),
    "a static method": ("def pad(x):\n        return x", "def pad(x):\n        return -x"),
    "a function of Python": ("math.floor", "math.ceil"),
    "a base class in another file": ("return x + 1", "return x + 2"),
    "a helper in another file": ("return 2 * x", "return 3 * x"),
    "a global behind a module's function": ("OFFSET = 1", "OFFSET = 2"),
    "a value of a module imported in a method": ("DEPTH = 3", "DEPTH = 4"),
}

NO_CHANGES = {
    "a comment": ("WIDTHS = (16, 32)", "WIDTHS = (16, 32)  # two"),
    "an empty line": ("SETTINGS =", "\n\nSETTINGS ="),
    "what nothing reads": ("UNUSED = object()", "UNUSED = [object(), 2]"),
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Returns a function that writes the module after a replacement, imports it and returns it."""

    def load(old="", new=""):
        for name, text in (("users_helper", HELPER), ("users_module", MODULE)):
            path = tmp_path / f"{name}.py"
            assert not old or old in HELPER + MODULE
            path.write_text((text.replace(old, new) if old else text).replace("HELPER", "users_helper"))
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(path.read_text(), path, "exec"), vars(module))
        return module

    return load


@pytest.mark.parametrize("change", CHANGES)
def test_a_fingerprint_changes_with(change, mine):
    assert fingerprint(mine().Mine) != fingerprint(mine(*CHANGES[change]).Mine)


@pytest.mark.parametrize("change", NO_CHANGES)
def test_a_fingerprint_does_not_change_with(change, mine):
    assert fingerprint(mine().Mine) == fingerprint(mine(*NO_CHANGES[change]).Mine)


def test_a_fingerprint_follows_globals_that_change_while_the_program_runs(mine):
    module = mine()
    before = fingerprint(module.Mine)
    module.MAKERS.append(nn.Tanh)
    assert fingerprint(module.Mine) != before


def test_use_does_not_change_a_fingerprint(mine):
    module = mine()
    before = fingerprint(module.Mine)
    pickle.dumps(module.outer)
    module.Mine().__reduce_ex__(4)
    assert [module.scaled(i) for i in range(100)] == [2 * i for i in range(100)]
    assert fingerprint(module.Mine) == before


def test_fingerprints_are_equal_in_every_process(mine, tmp_path):
    module = mine()
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import users_module\n"
    script += "from rbflex_evo.spaces.fingerprint import fingerprint; print(fingerprint(users_module.Mine, {'b', 'a', 'c'}))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{fingerprint(module.Mine, {'a', 'b', 'c'})}\n"}


class Bare:
    pass


def holding(value):
    found = Bare()
    found.value = value
    return found


def reads_a_file():
    return open("widths.txt").read()


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (holding(threading.Lock()), "an object of _thread.lock has no state"),
        (holding(x for x in ()), "an object of builtins.generator has no state"),
        (reads_a_file, r"reads_a_file\(\) may read a file, the environment or a value by name \('open'\)"),
    ],
)
def test_what_cannot_be_described_is_said(thing, reason):
    with pytest.raises(Unsure, match=reason):
        fingerprint(thing)


class Gated(nn.Module):
    def __init__(self, slope=0.1, act=torch.relu):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.slope = slope
        self.act = act
        self.scale = nn.Parameter(torch.full((4,), 0.5))
        self.register_buffer("table", torch.arange(4.0))

    def forward(self, x):
        return self.act(self.second(self.first(x))) * self.slope


def altered(change):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Gated()
    with torch.no_grad():
        change(network)
    return network


def tied(network):
    network.second = network.first


@pytest.mark.parametrize(
    "change",
    [
        lambda network: setattr(network, "slope", 0.2),
        lambda network: setattr(network, "act", torch.tanh),
        lambda network: setattr(network, "act", lambda x: x.clamp(min=0)),
        lambda network: setattr(network.second, "stride", (2, 2)),
        lambda network: setattr(network.second, "forward", network.first.forward),
        lambda network: network.table.add_(1),
        lambda network: network.scale.mul_(2),
        lambda network: network.second.weight.requires_grad_(False),
        lambda network: network.first.register_forward_hook(lambda module, inputs, output: 2 * output),
        lambda network: setattr(network, "second", nn.Conv2d(4, 8, 3, padding=1)),
        lambda network: network.double(),
        tied,
    ],
)
def test_a_network_is_identified_by(change):
    assert fingerprint(altered(change)) != fingerprint(altered(lambda network: None))


def test_matrices_are_identified_by_shape_because_their_values_are_set_later():
    assert fingerprint(altered(lambda network: network.first.weight.normal_())) == fingerprint(altered(lambda network: None))


def test_only_what_is_not_of_this_package_is_fingerprinted():
    space = create_space("toy")
    assert is_ours(type(space))
    found = foreign({"a": space, "b": Bare, "c": holding(threading.Lock())})
    assert found == {"b": fingerprint(Bare), "c": None}


# Each of these values is reached in another way; a mark stands for a part that a test changes.
VALUES = """
import collections, contextlib, dataclasses, enum, functools, re, typing
import numpy as np
import torch
from pydantic import Field, field_validator
from torch import nn
from rbflex_evo.spaces import Parameters

@dataclasses.dataclass
class Settings:
    width: int = @dataclass@

class Kind(enum.Enum):
    first = @enum@

class Point(typing.NamedTuple):
    x: int = @named tuple@

class Checked(Parameters):
    w: int = Field(3, ge=1)
    @field_validator("w")
    @classmethod
    def good(cls, v):
        return v + @validator@

@functools.lru_cache
def cached(x):
    return x + @cached function@

class Slotted:
    __slots__ = ("v",)
    def __init__(self):
        self.v = @slot@

class Meta(type):
    def __call__(cls, *a):
        return @metaclass@

class Made(metaclass=Meta):
    pass

@contextlib.contextmanager
def context():
    yield @context manager@

class Described:
    def __get__(self, owner, kind):
        return @descriptor@

class Net(nn.Module):
    @torch.no_grad()
    def forward(self, x):
        class Inner:
            z = DEEP
        return [y * @decorated method@ for y in x]

DEEP = @global of an inner class@
VALUES = [np.arange(@array@), torch.ones(@tensor@), Slotted(), Settings(), re.compile("a@pattern@")]
TABLE = {"relu": lambda x: x + @lambda in a dictionary@}
DEFAULTS = collections.defaultdict(lambda: @default factory@)

class Mine:
    described = Described()
    def all(self):
        return VALUES, TABLE, DEFAULTS, Kind.first, Point, Checked, cached, Made, context, Net
    @functools.cached_property
    def once(self):
        return @cached property@
    @functools.singledispatchmethod
    def by_kind(self, x):
        return @dispatched method@
"""
PARTS = re.findall("@([a-z ]+)@", VALUES)


def of_values(**changes):
    text = re.sub("@([a-z ]+)@", lambda found: str(changes.get(found[1], 1)), VALUES)
    module = types.ModuleType("users_values")
    exec(compile(text, "users_values.py", "exec"), vars(module))
    return fingerprint(module.Mine)


@pytest.mark.parametrize("part", PARTS)
def test_a_fingerprint_changes_with_the_value_of_a(part, monkeypatch):
    monkeypatch.setitem(sys.modules, "users_values", types.ModuleType("users_values"))
    assert of_values() == of_values() != of_values(**{part: 2})


def imports_inside():
    import xml.dom.pulldom

    import no_such_module

    from rbflex_evo.spaces import create_space as local
    from tests.fitness.measuring.users_code import WIDTHS

    return xml.dom.pulldom, no_such_module, local, WIDTHS


def test_imports_inside_a_function_are_read_without_importing_installed_modules(monkeypatch):
    sys.modules.pop("xml.dom.pulldom", None)
    before = fingerprint(imports_inside)
    assert "xml.dom.pulldom" not in sys.modules
    monkeypatch.setattr("tests.fitness.measuring.users_code.WIDTHS", (1, 2))
    assert fingerprint(imports_inside) != before
