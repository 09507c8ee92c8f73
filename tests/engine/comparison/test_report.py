"""What a comparison leaves to be read, from real runs over a small table."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.comparison.document import ComparisonDocument, Curve, PairTests
from rbflex_evo.engine.comparison.figures import HUES, MARKERS, Line, draw_regrets, draw_scores, limits, lines_of
from rbflex_evo.engine.comparison.tables import headline, markdown, sheets, wins
from rbflex_evo.engine.configuration.config import load_config
from rbflex_evo.engine.search.search import Search
from tests.support.page import Page
from tests.support.replay import write_comparison


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished comparison, to be read only: its configuration and what the command printed."""
    path = write_comparison(tmp_path_factory.mktemp("compared"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(["compare", str(path)]) == 0
    return path, out.getvalue()


@pytest.fixture(scope="module")
def compared(printed: tuple[Path, str]) -> Path:
    """Its folder."""
    return printed[0].parent / "runs" / "toy-compare"


@pytest.fixture(scope="module")
def document(compared: Path) -> ComparisonDocument:
    return ComparisonDocument.model_validate_json((compared / "comparison.json").read_text())


def test_the_command_prints_the_markdown_and_writes_every_file(printed: tuple[Path, str], compared: Path) -> None:
    assert printed[1] == (compared / "comparison.md").read_text() + f"\nreport     {compared / 'comparison.html'}\n"
    figures = ["anytime_accuracy_digits", "anytime_accuracy_regret_digits", "anytime_regret", "anytime_score"]
    assert sorted(file.stem for file in compared.glob("*.png")) == [*figures, "final_scores", "times"]


def test_the_document_is_printed_as_json(
    printed: tuple[Path, str], compared: Path, document: ComparisonDocument, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", str(printed[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**document.model_dump(mode="json"), "folder": str(compared)}


def test_there_is_a_row_for_every_run(compared: Path, document: ComparisonDocument) -> None:
    rows = list(csv.DictReader(io.StringIO((compared / "runs.csv").read_text())))
    assert [(row["strategy"], row["seed"]) for row in rows] == [
        (label, str(seed)) for label in ("random", "genetic", "cool one") for seed in range(6)
    ]
    with np.load(document_table(compared)) as table:
        ranks = aggregate(table["naswot"], table["synflow"])
        keys = {str(key): value for key, value in zip(table["key"], ranks, strict=True)}
    from rbflex_evo.spaces import create_space
    from tests.support.replay import SPACE

    space = create_space(**SPACE)
    known = dict(line.split(",") for line in (compared.parents[1] / "known.csv").read_text().splitlines()[1:])
    for row in rows:
        value = keys[space.key(space.parse(row["architecture"]))]
        assert float(row["score"]) == pytest.approx(value, abs=1e-9)
        assert float(row["score_regret"]) == pytest.approx(np.nanmax(ranks) - value, abs=1e-9)
        assert float(row["accuracy_digits"]) == float(known[row["architecture"]])
        assert row["evaluations"] == "60"
    assert document.reference.best == pytest.approx(np.nanmax(ranks), abs=1e-9)
    assert document.reference.threshold == pytest.approx(np.nanquantile(ranks, 0.99), abs=1e-9)


def document_table(compared: Path) -> Path:
    return compared.parents[1] / "scores.npz"


def aggregate(*columns: np.ndarray) -> np.ndarray:
    """The log rank aggregate over the whole table, written out."""
    alive = np.isfinite(columns[0])
    found = np.full(len(alive), np.nan)
    shares = []
    for column in columns:
        there = column[alive]
        rank = np.array([np.sum(there < value) + (np.sum(there == value) + 1) / 2 for value in there])
        shares.append(np.log(rank / len(there)))
    found[alive] = np.exp(np.mean(shares, axis=0))
    return found


def test_the_one_best_score_stands_with_its_accuracy(document: ComparisonDocument) -> None:
    (best,) = document.reference.argmax
    text = markdown(document)
    assert document.reference.argmax_count == 1
    assert best.notation.replace("|", "\\|") in text or best.notation in text
    (sheet,) = [sheet for sheet in sheets(document) if sheet.title == "Digits accuracy"]
    assert sheet.rows[-1][:2] == ["(the one best score)", f"{best.accuracy['digits']:.2f}"]
    assert any("converging says nothing about quality" in sentence for sentence in headline(document))


def test_several_best_scores_are_counted(document: ComparisonDocument) -> None:
    reference = document.reference.model_copy(update={"argmax_count": 3})
    said = headline(document.model_copy(update={"reference": reference}))
    assert any(sentence.startswith("3 architectures share the best score") for sentence in said)


def test_the_headline_names_what_is_better_than_random(document: ComparisonDocument) -> None:
    row = document.pairs.against_random[0].model_copy(update={"p_holm": 0.002, "effect": 0.9})
    tests = [row.model_copy(update=found) for found in ({"first": "genetic"}, {"first": "cool one", "effect": -0.9})]
    said = headline(document.model_copy(update={"pairs": document.pairs.model_copy(update={"against_random": tests})}))
    assert "In score regret better than random at p < 0.01 (Wilcoxon, Holm): genetic." in said
    assert "In score regret worse than random at p < 0.01 (Wilcoxon, Holm): cool one." in said
    assert any("nothing here says whether" in sentence for sentence in headline(document.model_copy(update={"baseline": None})))


def test_the_win_matrix_counts_ties_half_and_mirrors_itself(document: ComparisonDocument) -> None:
    shares = wins(document)
    for pair in document.pairs.all:
        share = shares[pair.first][pair.second]
        assert share == (pair.wins + pair.ties / 2) / 6
        assert shares[pair.second][pair.first] == 1 - share
    assert all(shares[label][label] is None for label in shares)


def test_markdown_tables_have_a_cell_for_every_column(document: ComparisonDocument) -> None:
    rows = [line for line in markdown(document).splitlines() if line.startswith("| ")]
    blocks = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert len(rows) > 20 and min(blocks) >= 4
    lengths = {}
    for row in rows:
        lengths.setdefault(len(re.findall(r"(?<!\\)\|", row)), set()).add(len(row))
    assert sum(len(found) for found in lengths.values()) <= len(sheets(document))


def test_a_column_of_single_characters_is_a_column_of_markdown(document: ComparisonDocument) -> None:
    certain = {of: [pair.model_copy(update={"p": 1.0}) for pair in tests] for of, tests in document.pairs}
    pairs = PairTests(**certain)
    rules = [line for line in markdown(document.model_copy(update={"pairs": pairs})).splitlines() if re.fullmatch(r"[|: -]+", line)]
    cells = [cell.strip() for rule in rules for cell in rule.strip("|").split("|")]
    assert cells and all(re.fullmatch(r"-{2,}[-:]", cell) for cell in cells)
    assert "--:" in cells


def test_the_page_is_whole_and_loads_nothing(compared: Path, document: ComparisonDocument) -> None:
    page = Page(compared / "comparison.html")
    for sentence in headline(document):
        assert " ".join(sentence.split()) in page.text
    for text in ("3 strategies over toy", "same 6 seeds", "60 unique evaluations", "replayed from a table", "Against random"):
        assert text in page.text
    loads = [(tag, value) for tag, name, value in page.attributes if name in ("src", "href") and not str(value).startswith("#")]
    assert loads == []
    assert page.html.count("<svg") == 6
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_failed_runs_are_told_and_the_command_ends_with_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_comparison(tmp_path, workers=1)
    folder = tmp_path / "runs" / "toy-compare"
    (folder / "genetic" / "2").mkdir(parents=True)
    (folder / "genetic" / "2" / "stranger").write_text("")
    (folder / "config.yaml").write_text(path.read_text())
    assert run(["compare", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("failed: genetic, seed 2: RunError: ") and len(err.splitlines()) == 1
    assert "1 run failed and is left out, the first being genetic, seed 2" in out and "5 (1 failed)" in out
    page = Page(folder / "comparison.html")
    assert "1 run failed" in page.text and "The same command tries them again" in page.text


def test_mistakes_are_errors_of_one_or_two_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_comparison(tmp_path))
    for change, part in (
        ("compare=null", "compares nothing"),
        ("scores=none.npz", "there is no table of scores 'none.npz'"),
        ("compare.strategies=[gentic]", "did you mean 'genetic'?"),
    ):
        assert run(["compare", path, "--set", change, "--set", "strategy=random"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and part in err and len(err.splitlines()) <= 2
    assert run(["search", path, "--estimate"]) == 2
    assert "nothing will be measured" in capsys.readouterr().err


def test_a_search_can_be_replayed_too(tmp_path: Path) -> None:
    config = load_config(write_comparison(tmp_path), ["name=one"])
    result = Search(config, quiet=True, report=False).run()
    assert (result.counts["unique"], result.document["evaluator"]["from_table"]) == (60, 60)
    assert result.table is not None and result.table.dataset == "digits"


def curve(label: str, mean: list[float | None]) -> dict[str, Curve]:
    return {label: Curve(mean=mean, low=mean, high=mean)}


def test_the_axis_shows_all_means_after_the_opening() -> None:
    lines = lines_of({**curve("a", [None, 2.0, 3.0]), **curve("b", [None, 1.0, 9.0])}, [1, 2, 3])
    assert limits(lines) == (1.0, 9.0)
    assert limits(lines_of(curve("a", [-90.0, 2.0, 3.0]), [1, 50, 100])) == (2.0, 3.0)
    assert limits(lines_of(curve("a", [None, None]), [1, 2])) is None


def test_ten_contenders_have_ten_styles() -> None:
    x = np.arange(1.0, 21)
    lines = [Line(f"strategy {i}", x, x + i, x + i - 0.5, x + i + 0.5) for i in range(10)]
    axes = draw_scores(lines, "Score", "score").axes[0]
    styles = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(styles) == 10 and len(HUES) == len(set(HUES)) == len(set(MARKERS))
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == [f"strategy {i}" for i in range(10)]


def test_a_line_of_regret_ends_where_it_is_zero() -> None:
    lines = lines_of(curve("a", [4.0, 2.0, 0.0]), [1, 2, 3])
    axes = draw_regrets(lines, "Regret", "regret").axes[0]
    np.testing.assert_equal(axes.get_lines()[0].get_ydata(), [4.0, 2.0, np.nan])
    assert axes.get_yscale() == "log"
    assert draw_regrets(lines_of(curve("a", [0.0, 0.0]), [1, 2]), "Regret", "regret").axes[0].get_yscale() == "linear"
