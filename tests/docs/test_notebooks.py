"""The notebooks of the documentation run and give the outputs that they show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.notebooks import NOTEBOOKS, execute

NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")


def read(path: Path) -> list[dict[str, Any]]:
    """Returns the code cells of a notebook."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def texts(outputs: list[dict[str, Any]]) -> str:
    """Returns what a cell printed and returned as text; pictures and pages have a text, too."""
    parts = ["".join(one["text"] if "text" in one else one["data"]["text/plain"]) for one in outputs]
    # Names of classes that matplotlib returns may differ.
    return "\n".join(part for part in parts if not part.startswith(("<Axes", "<Figure")))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_gives_the_outputs_that_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))
    found = [cell for cell in execute(path, tmp_path)["cells"] if cell["cell_type"] == "code"]
    for shown, cell in zip(read(path), found, strict=True):
        assert kinds(shown["outputs"]) == kinds(cell["outputs"])
        wanted, given = texts(shown["outputs"]), texts(cell["outputs"])
        assert NUMBER.split(wanted) == NUMBER.split(given)
        # Other processors round otherwise.
        assert numbers(given) == pytest.approx(numbers(wanted), rel=1e-3)


def kinds(outputs: list[dict[str, Any]]) -> list[list[str]]:
    return [sorted(one.get("data", {"text": ""})) for one in outputs]


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def test_the_notebooks_were_executed_from_top_to_bottom_and_hold_no_path_of_a_machine() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        cells = read(path)
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
        text = path.read_text(encoding="utf-8")
        assert "/tmp/" not in text and "/home/" not in text
        assert not any(one["output_type"] == "error" for cell in cells for one in cell["outputs"])
