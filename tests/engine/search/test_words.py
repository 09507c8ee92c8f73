"""A space of words through every command that measures: score, search with its estimate, gammas, explain's inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.spaces import SPACES
from tests.support.words_space import TinyWords


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES._known, "tiny_words", TinyWords)


@pytest.fixture
def config(tmp_path: Path) -> str:
    values: dict[str, Any] = {
        "name": "words",
        "space": "tiny_words",
        "data": {"source": "words", "length": 6, "vocabulary": 40, "n": 5},
        "fitness": {
            "proxies": {"rbflex": {}, "grad_norm": {}},
            "objective": {"rank": ["rbflex", "grad_norm"]},
            "constraints": {"params": {"max": 1e6}, "activation_memory": {"max": 1e6}},
        },
        "strategy": "random",
        "budget": {"evaluations": 5},
        "workers": 1,
        "cache": str(tmp_path / "cache"),
        "runs": str(tmp_path / "runs"),
    }
    path = tmp_path / "words.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_one_network_is_scored_on_random_words_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "tiny_words", "random", "--json", "--set", "cache=off"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["scores"]) == {"rbflex", "naswot", "synflow"} and not found["failures"]


def test_a_score_that_cannot_read_words_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "tiny_words", "random", "--proxy", "zen"]) == 2
    assert capsys.readouterr().err == (
        "error: zen moves inputs of noise by a little noise, but the inputs of tiny_words are words; leave zen out\n"
    )


def test_a_search_over_words_runs_reports_and_prints_its_gammas(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["search", config]) == 0
    journal = (tmp_path / "runs" / "words" / "journal.jsonl").read_text().splitlines()
    assert sum('"scores"' in line for line in journal) >= 5
    assert (tmp_path / "runs" / "words" / "report.html").exists()
    capsys.readouterr()
    assert run(["gammas", config, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"rbflex"}


def test_a_search_over_words_is_estimated(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", config, "--estimate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["candidate_seconds"] > 0


def test_noise_for_a_space_of_words_is_one_line(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", config, "--set", "data={source: noise, shape: [6]}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: tiny_words takes words, but the batch holds images") and err.count("\n") == 1
