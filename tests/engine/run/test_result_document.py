"""A result whose file was changed is refused, whatever was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rbflex_evo.engine.run.result_document import ResultDocument, read_result, write_result
from rbflex_evo.spaces import RunError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    best = {"genotype": (1, 2), "notation": "a|b", "key": "a|b", "scores": {"rbflex": -211.56}}
    write_result(path, ResultDocument.model_validate({"stop_reason": "the budget is spent", "best": best, "time_seconds": 1.25}))
    return path


def test_a_result_is_read_back(path: Path) -> None:
    found = read_result(path)
    assert found is not None and found.best is not None and found.best.scores == {"rbflex": -211.56}


@pytest.mark.parametrize(("old", "new"), [("211.56", "311.56"), ("a|b", "a|c"), ("1.25", "2.25"), ("is spent", "was spent")])
def test_a_value_that_was_changed_is_found(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RunError, match=r"result\.json is damaged; remove it, and resuming the run writes it again$"):
        read_result(path)


@pytest.mark.parametrize("text", ["[]", "7", '"text"', "[" * 100_000, '{"version": 1, "finished": true, "stop_reason": 3}'])
def test_other_content_is_found(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(RunError, match="is damaged"):
        read_result(path)


def test_a_result_without_a_checksum_is_read(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["crc"]
    path.write_text(json.dumps(content))
    assert read_result(path) is not None
