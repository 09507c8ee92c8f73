"""The proved optimum beside what was found, in the report of a run and in a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rbflex_evo import search
from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.comparison.document import ComparisonDocument
from rbflex_evo.engine.comparison.tables import headline, sheets
from rbflex_evo.engine.search.result import Result
from tests.support.page import Page
from tests.support.replay import write_comparison


def searched(tmp_path: Path, **settings: Any) -> Result:
    values = {"evaluations": 25, "strategy": "random", "runs": str(tmp_path), "name": "toy", "workers": 1, "cache": "off"}
    return search({"name": "toy", "genes": 3}, quiet=True, data={"source": "noise", "shape": [3, 8, 8]}, **{**values, **settings})


def page_of(result: Result) -> str:
    return Page(result.folder / "report.html").text


def test_a_report_names_the_optimum_and_how_far_the_run_is_from_it(tmp_path: Path) -> None:
    result = searched(tmp_path, proxies="params", limits={"flops": 4e5})
    text = page_of(result)
    assert "The best params of the whole space within the limits is" in text
    assert "proved by enumeration over 64 genotypes" in text
    whole = searched(tmp_path, proxies="params", evaluations=64, name="whole")
    assert "the optimum." in page_of(whole)


def test_a_report_shows_the_proved_front_and_the_ratio_of_hypervolumes(tmp_path: Path) -> None:
    objective = {"pareto": ["params", {"minimise": "flops"}]}
    result = searched(tmp_path, proxies="params", objective=objective, evaluations=64)
    text = page_of(result)
    members = len(result.front())
    assert f"{members} of {members} are on it" in text
    assert "its hypervolume is 100.00 %" in text
    assert (result.folder / "proved_front.png").is_file()


def test_a_report_of_a_measured_score_has_no_optimum(tmp_path: Path) -> None:
    assert "Proved optimum" not in page_of(searched(tmp_path, proxies="naswot", evaluations=3))


def test_a_comparison_states_the_optimum_of_a_table_and_who_found_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitness = {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"score": "naswot"}}
    assert run(["compare", str(write_comparison(tmp_path, fitness=fitness))]) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "runs" / "toy-compare"
    document = ComparisonDocument.model_validate_json((folder / "comparison.json").read_text(encoding="utf-8"))
    assert document.optimum is not None
    assert document.optimum.optimum == document.reference.best
    assert any("The optimum of naswot is" in sentence for sentence in headline(document))
    sheet = next(sheet for sheet in sheets(document) if sheet.title == "Proved optimum")
    assert [row[0] for row in sheet.rows] == ["random", "genetic", "cool one"]
    assert [row[1] for row in sheet.rows] == [
        f"{row.regret.mean:.3g}" for row in document.contenders if row.regret.mean is not None
    ]
    assert "## Proved optimum" in printed
    assert "Proved optimum" in (folder / "comparison.html").read_text(encoding="utf-8")
