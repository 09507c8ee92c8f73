"""The command ``example`` prints an example configuration, or the list of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import load_config
from rbflex_evo.engine.configuration.examples import example_names


def test_a_printed_example_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["example", "quickstart"]) == 0
    path = tmp_path / "my.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_config(path).name == "quickstart"


def test_without_a_name_every_example_is_listed_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["example"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == example_names()
    assert all(line.endswith(".") for line in lines)


def test_an_unknown_example_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["example", "quick"]) == 2
    assert "unknown example 'quick'" in capsys.readouterr().err
