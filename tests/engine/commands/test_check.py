"""`check NAME...` runs the conformance kit on what is registered, and tells what passed or the one line that failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rbflex_evo.engine import conformance
from rbflex_evo.engine.commands.app import run
from rbflex_evo.spaces import SPACES
from rbflex_evo.spaces.families.toy.space import ToySpace


class Silent(ToySpace):
    """A space whose notation says nothing."""

    name = "silent"

    def notation(self, genotype: tuple[int, ...]) -> str:
        return ""


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SPACES, "_known", {**SPACES._known, "silent": Silent})


def test_what_passed_is_said_by_kind_and_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "toy", "noise", "--set", "toy.genes=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["space", "toy", "passed:"], ["source", "noise", "passed:"]]


def test_a_score_is_checked_on_the_space_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "params", "--space", "toy", "--set", "toy.genes=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"kind": "proxy", "name": "params", "passed": True, "failure": None}]


def test_a_table_is_checked_with_its_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "known.csv").write_text("notation,accuracy\nskip+skip,80\nzero+skip,10\n")
    arguments = ["check", "csv", "--space", "toy", "--set", "toy.genes=2"]
    assert run([*arguments, "--set", f"csv.path={tmp_path / 'known.csv'}"]) == 0
    assert capsys.readouterr().out.startswith("table    csv  passed: ")


def test_what_failed_is_one_line_and_code_1(silent: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "silent", "noise"]) == 1
    failed, passed = capsys.readouterr().out.splitlines()
    assert failed.startswith("space    silent  failed: Silent.parse('') raised GenotypeError: ")
    assert "read what notation() writes" in failed
    assert passed.startswith("source   noise  passed")
    assert run(["check", "silent", "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert result["passed"] is False and result["failure"] in failed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toi"], "nothing to check is registered as 'toi'; did you mean 'toy'?"),
        (["toy", "--kind", "proxy"], "nothing to check is registered as 'toy'"),
        (["csv"], "table 'csv' is checked with the space that it belongs to; give --space NAME"),
        (["csv", "--space", "toy"], "'table.path' is missing"),
        (["toy", "--set", "toi.genes=2"], "--set takes NAME.KEY=VALUE with a NAME that is checked, but it is 'toi.genes=2'"),
        (["toy", "--set", "toy=2"], "--set takes NAME.KEY=VALUE"),
        (["toy", "--set", "toy.gene=2"], "unknown key 'space.toy.gene'; did you mean 'genes'?"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and len(err.splitlines()) == 1


def test_all_of_the_kit_is_in_one_place() -> None:
    for name in conformance.__all__:
        assert getattr(conformance, name).__doc__
