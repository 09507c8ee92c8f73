"""Ten kinds of edits of a user's network: what changes its scores is measured again, and comments, docstrings and names are not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces.families.choices.space import Choices

NET = '''
import torch.nn.functional as F
import users_parts as parts
from torch import nn

class Base(nn.Module):
    def shift(self, x):
        return x + 0.5

class Block(Base):
    """Documentation."""
    def __init__(self, width, slope=0.1):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=1)
        self.act = nn.LeakyReLU(slope)

    def forward(self, x):
        """Documentation."""
        # A comment.
        return self.act(helper(F.relu6(self.shift(self.conv(x)) * 2.0)))

def helper(x):
    return x - 0.25

def make(limit):
    class Clipped(nn.Module):
        def forward(self, x):
            return x.clamp(max=limit)

    def build(width):
        """Documentation."""
        layers = Block(width), Clipped(), parts.last(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(width, 10))
    return build

build = make(3.0)
'''
PARTS = """
from torch import nn
def last():
    return nn.Hardtanh(-1.0, 1.0)
"""
EDITS = {
    "a layer's setting": ("stride=1", "stride=2"),
    "a constant in forward": ("* 2.0", "* 2.5"),
    "a helper function": ("x - 0.25", "x - 0.75"),
    "a changed default": ("slope=0.1", "slope=0.3"),
    "a base class": ("x + 0.5", "x + 1.5"),
    "another file that the builder imports": (", 1.0)", ", 0.25)"),
    "a closed-over value": ("make(3.0)", "make(0.2)"),
}
SAME = {
    "nothing": ("nothing", "nothing"),
    "a class of another name": ("Block", "Piece"),
    "a comment": ("# A comment.", "# Another one.\n\n"),
    "a docstring": ("Documentation", "More of it"),
}
PATCHES: dict[str, tuple[Any, str, Any]] = {
    "a function of torch that a forward calls": (functional, "relu6", lambda x: x / 2),
    "a forward of torch": (nn.LeakyReLU, "forward", lambda self, x: x.clamp(min=-0.5)),
    "a function that a layer of torch calls": (functional, "hardtanh", lambda x, low, high, inplace: x / 3),
    "a class of torch": (nn, "LeakyReLU", type("LeakyReLU", (nn.ELU,), {"__module__": "__main__"})),
    "a method of tensors": (torch.Tensor, "clamp", lambda x, max: x * max),
}

Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Returns a function that writes the user's files after a replacement, imports them and returns the builder."""

    def written(old: str = "", new: str = "") -> Any:
        for name, text in (("users_parts", PARTS), ("users_net", NET)):
            path = tmp_path / f"{name}.py"
            path.write_text(text.replace(old, new) if old else text)
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(path.read_text(), path, "exec"), vars(module))
        return vars(module)["build"]

    return written


def measured(build: Any, cache: Path | None) -> tuple[list[float], int]:
    """Returns the scores of two networks, and how many of them were measured."""
    space = Choices(build, width=[4, 6], input_shape=(3, 10, 10))
    conditions = Conditions.of(space, create_batch("noise", shape=[3, 10, 10], n=4), device="cpu")
    with Evaluator(conditions, {"rbflex": create_proxy("rbflex", gamma="flat")}, in_process=True, cache=cache) as evaluator:
        found = [one.scores["rbflex"] for one in evaluator.evaluate(keyed(evaluator, [(0,), (1,)]))]
        return found, evaluator.counts["measured"]


@pytest.mark.parametrize("edit", EDITS)
def test_what_changes_the_network_is_measured_again(edit: str, load: Load, tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    before, first = measured(load(), cache)
    after, again = measured(load(*EDITS[edit]), cache)
    assert (first, again) == (2, 2)
    assert after != before
    assert after == measured(load(*EDITS[edit]), None)[0]
    assert measured(load(), cache) == (before, 0)


@pytest.mark.parametrize("patch", PATCHES)
def test_what_a_program_replaces_is_measured_again(patch: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache.sqlite"
    build = load()
    before, _ = measured(build, cache)
    with monkeypatch.context() as patched:
        patched.setattr(*PATCHES[patch])
        after, again = measured(build, cache)
    assert again == 2 and after != before
    assert measured(build, cache) == (before, 0)


@pytest.mark.parametrize("edit", SAME)
def test_comments_docstrings_and_names_are_read_from_the_cache(edit: str, load: Load, tmp_path: Path) -> None:
    before, _ = measured(load(), tmp_path / "cache.sqlite")
    assert measured(load(*SAME[edit]), tmp_path / "cache.sqlite") == (before, 0)


def test_names_that_the_code_reads_are_measured_again(load: Load, tmp_path: Path) -> None:
    named = ("x - 0.25", "x - 0.25 * len(Block.__name__)")
    before, _ = measured(load(*named), tmp_path / "cache.sqlite")
    build = load(*named)
    build.__globals__["Block"].__name__ = "LongerName"
    after, again = measured(build, tmp_path / "cache.sqlite")
    assert again == 2 and after != before


def test_names_by_which_layers_are_chosen_are_measured_again(tmp_path: Path) -> None:
    def building(name: str) -> Any:
        act = type(name, (nn.Module,), {"forward": lambda self, x: x.clamp(min=0)})

        def build(width: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, width, 3), act(), nn.ReLU(), nn.Flatten(), nn.Linear(64 * width, 10))

        return build

    before, _ = measured(building("Clipped"), tmp_path / "cache.sqlite")
    after, again = measured(building("MyReLU"), tmp_path / "cache.sqlite")
    assert again == 2 and after != before
