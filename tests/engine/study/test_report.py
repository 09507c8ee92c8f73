"""What a comparison over several settings leaves: page, Markdown, CSV and JSON, and figures that stay readable."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.comparison.document import ComparisonDocument, RunSpread
from rbflex_evo.engine.comparison.judgement import Reference
from rbflex_evo.engine.configuration.compare_settings import Setting, settings_of
from rbflex_evo.engine.configuration.config import as_values, load_config
from rbflex_evo.engine.study.document import StudyDocument
from rbflex_evo.engine.study.facts import study_of
from rbflex_evo.engine.study.figures import diagram_of, draw_diagram, draw_distances, draw_ratios
from rbflex_evo.engine.study.tables import headline, markdown, sheets
from tests.support.page import Page
from tests.support.replay import compare_config, write_scores

BOTH = {"naswot": {}, "synflow": {}}
COMPARE: dict[str, Any] = {
    "strategies": ["random", {"name": "genetic", "population": 10}, {"name": "annealing", "label": "cool one"}],
    "seeds": 3,
    "objectives": [
        {"proxies": BOTH, "objective": {"score": "naswot"}, "label": "naswot"},
        {"proxies": BOTH, "objective": {"rank": ["naswot", "synflow"]}, "label": "both"},
    ],
    "budgets": [50],
}


def write_study_config(folder: Path) -> Path:
    config = compare_config(folder / "runs", COMPARE, scores=str(write_scores(folder / "scores.npz")), workers=1)
    (folder / "toy.yaml").write_text(yaml.safe_dump(as_values(config)))
    return folder / "toy.yaml"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished comparison, to be read only: its configuration and what the command printed."""
    path = write_study_config(tmp_path_factory.mktemp("study"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(["compare", str(path)]) == 0
    return path, out.getvalue()


@pytest.fixture(scope="module")
def folder(printed: tuple[Path, str]) -> Path:
    return printed[0].parent / "runs" / "toy-compare"


@pytest.fixture(scope="module")
def document(folder: Path) -> StudyDocument:
    return StudyDocument.model_validate_json((folder / "study.json").read_text())


def made(folder: Path, regrets: np.ndarray, labels: list[str] | None = None) -> StudyDocument:
    """Returns the document of a comparison with these mean regrets [settings, contenders]."""
    first = next(iter(folder.glob("*-compare")))
    found = ComparisonDocument.model_validate_json((first / "comparison.json").read_text())
    labels = labels or [f"strategy {i}" for i in range(regrets.shape[1])]
    config = load_config(first / "config.yaml")
    settings, judgements = [], []
    for i, row in enumerate(regrets):
        settings.append(Setting(f"toy-s{i}-50", f"toy-s{i}", "toy", f"s{i}", 50, config))
        contenders = [
            found.contenders[0].model_copy(
                update={"label": label, "regret": RunSpread(mean=None if np.isnan(regret) else regret, known=3)}
            )
            for label, regret in zip(labels, row, strict=True)
        ]
        judgements.append((found.model_copy(update={"contenders": contenders}), Reference(np.array([0.0, 1.0, 2.0]))))
    return study_of(config, settings, judgements)


def test_the_command_prints_the_markdown_and_writes_every_file(printed: tuple[Path, str], folder: Path) -> None:
    assert printed[1] == (folder / "study.md").read_text() + f"\nreport     {folder / 'study.html'}\n"
    assert {file.name for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")} == {
        *("config.yaml", "study.csv", "study.html", "study.json", "study.md", "runs.csv"),
        *("critical_difference.png", "profile_evaluations.png", "profile_regret.png"),
    }
    settings = ["toy-both-50", "toy-naswot-50"]
    assert sorted(path.parent.name for path in folder.glob("*/comparison.html")) == [f"{name}-compare" for name in settings]


def test_the_document_is_printed_as_json(
    printed: tuple[Path, str], folder: Path, document: StudyDocument, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", str(printed[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**document.model_dump(mode="json"), "folder": str(folder)}


def test_numbers_of_a_setting_are_those_of_its_own_comparison(folder: Path, document: StudyDocument) -> None:
    for row in document.settings:
        alone = ComparisonDocument.model_validate_json((folder / row.folder / "comparison.json").read_text())
        regrets = [contender.regret.mean for contender in alone.contenders]
        assert [standing.regret for standing in row.contenders] == pytest.approx(regrets)
        assert (row.best, row.best_of, row.budget) == (alone.reference.best, "the whole table", alone.budget)
        assert [standing.relative_regret for standing in row.contenders] == pytest.approx([r / row.scale for r in regrets])


def test_mean_ranks_are_over_settings_and_over_the_parts_of_them(document: StudyDocument) -> None:
    for i, row in enumerate(document.ranks):
        ranks = {setting.label: setting.contenders[i].rank for setting in document.settings}
        assert row.mean_rank == pytest.approx(np.mean(list(ranks.values())))
        assert row.parts == {"objective naswot": ranks["toy-naswot-50"], "objective both": ranks["toy-both-50"]}


def test_there_is_a_row_for_every_run_and_for_every_setting_and_contender(folder: Path, document: StudyDocument) -> None:
    runs, rows = (list(csv.DictReader(io.StringIO((folder / name).read_text()))) for name in ("runs.csv", "study.csv"))
    assert len(runs) == 2 * 3 * 3 and len(rows) == 2 * 3
    assert {row["setting"] for row in runs} == {row.label for row in document.settings}
    finals = [float(r["score_regret"]) for r in runs if (r["setting"], r["strategy"]) == ("toy-both-50", "cool one")]
    (row,) = [row for row in rows if (row["setting"], row["strategy"]) == ("toy-both-50", "cool one")]
    assert float(row["regret"]) == pytest.approx(np.mean(finals))


def test_the_page_is_whole_and_loads_nothing(folder: Path, document: StudyDocument) -> None:
    page = Page(folder / "study.html")
    for sentence in headline(document):
        assert " ".join(sentence.split()) in page.text
    for text in ("3 strategies in 2 settings", "50 unique evaluations", "3 seeds each", "Performance profiles"):
        assert text in page.text
    links = [str(value) for _, name, value in page.attributes if name in ("src", "href") and not str(value).startswith("#")]
    assert links == [f"{row.folder}/comparison.html" for row in document.settings]
    assert all((folder / link).is_file() for link in links)
    assert page.html.count("<svg") == 3
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_markdown_tables_have_a_cell_for_every_column(document: StudyDocument) -> None:
    text = markdown(document)
    for sheet in sheets(document):
        assert all(len(row) == len(sheet.header) for row in sheet.rows)
        assert f"## {sheet.title}" in text
    assert not re.search(r"\bnan\b|\binf\b|None", text)


def test_the_headline_tells_what_differs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    said = " ".join(headline(made(folder, np.array([0.0, 1.0, 2.0]) + rng.random((12, 3)) / 2)))
    assert "Least mean rank over 12 settings: strategy 0, 1.00 of 3" in said
    assert "The strategies differ (Friedman's chi-square 24" in said
    # 2.343 sqrt(3 x 4 / (6 x 12))
    assert "The critical difference of mean ranks is 0.96 (Nemenyi, 0.05); not told apart from strategy 0: none." in said
    assert "strategy 0 is better than: strategy 1, strategy 2" in said
    same = " ".join(headline(made(folder, rng.random((4, 3)))))
    assert "No difference between the strategies is shown" in same


def test_settings_that_tell_nothing_apart_are_named(folder: Path) -> None:
    said = headline(made(folder, np.array([[0.0, 0.0], [0.0, 1.0]])))
    assert "All strategies are equal in 1 setting, where nothing tells them apart: toy-s0-50." in said


def test_a_strategy_without_a_run_ranks_last_and_is_told(folder: Path) -> None:
    found = made(folder, np.array([[0.0, 1.0, np.nan], [0.5, 0.0, 3.0]]))
    assert [standing.rank for standing in found.settings[0].contenders] == [1, 2, 3]
    assert any("therefore last there: strategy 2 in toy-s0-50" in sentence for sentence in headline(found))
    assert [pair.settings for pair in found.pairs] == [2, 1, 1]


@pytest.mark.parametrize("regrets", [np.array([[0.0, 1.0]]), np.array([[0.0], [1.0]]), np.zeros((3, 3))])
def test_what_cannot_be_tested_is_said_and_drawn_without_a_test(folder: Path, regrets: np.ndarray) -> None:
    found = made(folder, regrets)
    assert found.friedman is None
    assert any("nothing to test" in sentence or "equal ranks" in sentence for sentence in headline(found))
    assert len(draw_diagram(diagram_of(found), "Mean ranks").axes) == 1
    assert "None" not in markdown(found)


def test_bars_join_what_is_not_told_apart_and_do_not_touch(folder: Path) -> None:
    found = made(folder, np.tile(np.arange(6.0), (9, 1)))
    diagram = diagram_of(found)
    assert diagram.ranks == [1, 2, 3, 4, 5, 6]
    # 2.850 sqrt(6 x 7 / (6 x 9)) = 2.51
    assert [bar[:2] for bar in diagram.bars] == [(1, 3), (2, 4), (3, 5), (4, 6)]
    for i, (low, _, level) in enumerate(diagram.bars):
        assert all(high < low for _, high, other in diagram.bars[:i] if other == level)
    assert max(level for _, _, level in diagram.bars) == 2


@pytest.mark.parametrize("count", [1, 2, 15])
def test_names_of_many_contenders_do_not_overlap(folder: Path, count: int) -> None:
    labels = [f"a strategy with a rather long name, number {i}" for i in range(count)]
    found = made(folder, np.random.default_rng(1).random((8, count)).round(1), labels)
    figure = draw_diagram(diagram_of(found), "Mean ranks")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert not [1 for i, one in enumerate(boxes) for other in boxes[:i] if one.overlaps(other)]
    width, height = figure.get_size_inches() * figure.dpi
    assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)


def test_fifteen_profiles_have_fifteen_styles(folder: Path) -> None:
    found = made(folder, np.random.default_rng(2).random((8, 15)))
    for figure in (draw_distances(found.profiles.relative_regret), draw_ratios(found.profiles.evaluations)):
        lines = figure.axes[0].get_lines()
        assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) >= 10
        assert len({(line.get_color(), line.get_marker(), str(line._dash_pattern)) for line in lines}) == 15
        assert len(figure.legends[0].get_texts()) == 15


def test_failed_runs_are_told_in_a_line_and_the_command_ends_with_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study_config(tmp_path)
    place = tmp_path / "runs" / "toy-compare"
    (place / "toy-both-50-compare" / "genetic" / "2").mkdir(parents=True)
    (place / "toy-both-50-compare" / "genetic" / "2" / "stranger").write_text("")
    (place / "config.yaml").write_text("name: toy")
    setting = next(setting for setting in settings_of(load_config(path)) if setting.label == "toy-both-50")
    (place / "toy-both-50-compare" / "config.yaml").write_text(yaml.safe_dump(as_values(setting.config)))
    assert run(["compare", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("failed: toy-both-50, genetic, seed 2: RunError: ") and len(err.splitlines()) == 1
    assert "1 run failed and is left out, the first being toy-both-50, genetic, seed 2" in out
    assert "Runs that failed" in Page(place / "study.html").text


def test_mistakes_are_errors_of_one_or_two_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_study_config(tmp_path))
    for change, part in (
        ("compare.spaces=[toy, nats_ts]", "compare.spaces.1"),
        ("scores=none.npz", "there is no table of scores 'none.npz'"),
        ("compare.objectives=[params, naswot]", "toy-params: "),
    ):
        assert run(["compare", path, "--set", change]) == 2
        out, err = capsys.readouterr()
        assert out == "" and part in err and len(err.splitlines()) <= 2
