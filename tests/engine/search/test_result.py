"""What a user does with a result: print it, show it in a notebook, read it as a table, draw it."""

from __future__ import annotations

import csv
import gc
import math
import sys
import weakref
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.engine.figures.candidates import ranks_of
from rbflex_evo.engine.search.result import Result
from rbflex_evo.spaces import ConfigError, RunError
from tests.support.instant import instant_search, toy_config

PARETO = {"fitness": {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"pareto": ["naswot", "synflow"]}}}
SIX: dict[str, Any] = {"name": "toy", "genes": 6, "choices": 4}
LIMITED: dict[str, Any] = {
    "space": SIX,
    "fitness": {
        "proxies": {"naswot": {}, "synflow": {}},
        "objective": {"rank": ["naswot", "synflow"]},
        "constraints": {"params": {"max": 2500}, "handling": "deb"},
    },
}


def found(runs: Path, **changes: Any) -> Result:
    return instant_search(toy_config(runs, budget={"evaluations": 60}, **changes))[0].run()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return found(tmp_path_factory.mktemp("ranked"))


@pytest.fixture(scope="module")
def pareto(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return found(tmp_path_factory.mktemp("pareto"), **PARETO)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return found(tmp_path_factory.mktemp("limited"), **LIMITED)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    from matplotlib import pyplot

    before = pyplot.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def test_a_result_and_a_candidate_are_printed_in_one_short_line(result: Result) -> None:
    best = result.best
    assert best is not None
    for text in (repr(best), str(best)):
        assert text == f"<Candidate {best.notation}: naswot {best.scores['naswot']:g}, synflow {best.scores['synflow']:g}>"
    assert repr(result) == f"<Result {result.folder}: {best!r}, 60 evaluations>"
    long = best.model_copy(update={"notation": "conv" * 1000})
    assert len(repr(long)) < 200 and "…" in repr(long)


def test_a_result_without_a_candidate_says_so_in_every_form(tmp_path: Path) -> None:
    impossible = {**LIMITED["fitness"], "constraints": {"params": {"max": 1}, "handling": "deb"}}
    result = found(tmp_path, space=SIX, fitness=impossible)
    assert repr(result).endswith("nothing found, because every candidate failed or broke a limit, 60 evaluations>")
    assert "Found nothing" in result._repr_html_()
    assert set(rows_of(result, tmp_path)["rank"]) == {""}
    with pytest.raises(RunError, match="no candidate of the search is within the limits"):
        result.plot_ranks()


class Balanced(HTMLParser):
    """Texts of a part of a page; every tag must be closed as it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("wbr", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def test_a_notebook_shows_the_found_architecture_its_ranks_a_drawing_and_curves(result: Result) -> None:
    html = result._repr_html_()
    page, best = Balanced(html), result.best
    assert best is not None
    frame = result.to_dataframe()
    place = int((frame["naswot"] > best.scores["naswot"]).sum()) + 1
    for fact in (best.notation, f"naswot{best.scores['naswot']:.6g}{place}", "60 evaluated", "Best naswot so far", "report.html"):
        assert fact in page.text
    assert html.count("<svg") == 3
    # Nothing is loaded, and no script runs.
    assert "<script" not in html and "http" not in html.replace("http://www.w3.org", "")
    assert len(html) < 200_000
    assert not list(result.folder.glob("*.png"))


def test_a_notebook_shows_the_front_of_several_objectives(pareto: Result) -> None:
    html = pareto._repr_html_()
    assert html.count("<svg") == 4
    assert f"the knee of {len(pareto.front())} on the front" in Balanced(html).text


def test_names_are_escaped_in_a_notebook(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    result = found(tmp_path)
    evil = Result(result.folder, result.space, result.view, result.found.model_copy(update={"name": name, "stop_reason": name}))
    assert "<script>" not in evil._repr_html_()


def test_what_cannot_be_drawn_is_left_out_and_said(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(genotype: Any) -> None:
        raise ValueError("no drawing of this")

    monkeypatch.setattr(result.space, "drawing", refused)
    html = result._repr_html_()
    assert "Left out: the drawing of the architecture: ValueError: no drawing of this" in Balanced(html).text
    assert html.count("<svg") == 2


def rows_of(result: Result, folder: Path) -> dict[str, list[str]]:
    result.to_csv(folder / "table.csv")
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_the_table_has_a_row_for_every_evaluation_in_its_order(result: Result, tmp_path: Path) -> None:
    frame, rows = result.to_dataframe(), rows_of(result, tmp_path)
    told = result.view.evaluations
    assert list(frame.index) == list(range(1, 61)) and rows["evaluation"] == [str(number) for number in range(1, 61)]
    assert [frame.index.name, *frame.columns] == list(rows)
    assert list(frame["genotype"]) == [evaluation.genotype for evaluation in told]
    assert rows["genotype"][0] == " ".join(map(str, told[0].genotype))
    for evaluation, score, text in zip(told, frame["naswot"], rows["naswot"], strict=True):
        assert (math.isnan(score), text) == (True, "") if evaluation.failed else score == float(text) == evaluation.scores["naswot"]
    assert [r or None for r in rows["reason"]] == [evaluation.reason for evaluation in told]


def test_ranks_in_the_table_are_the_order_of_the_result(result: Result, limited: Result) -> None:
    for each in (result, limited):
        frame = each.to_dataframe()
        ranked = frame[frame["rank"].notna()].sort_values("rank")
        assert list(ranked["notation"]) == [candidate.notation for candidate in each.top(60)]
        assert set(frame.loc[frame["rank"].isna(), "status"]) <= {"failed", "infeasible"}
        assert set(ranked["status"]) == {"scored"}
    assert "infeasible" in set(limited.to_dataframe()["status"])


def test_the_table_tells_the_front_and_the_costs(pareto: Result, limited: Result) -> None:
    frame = pareto.to_dataframe()
    assert set(frame.loc[frame["front"], "notation"]) == {candidate.notation for candidate in pareto.front()}
    assert "front" not in limited.to_dataframe()
    costs = limited.to_dataframe()["params"]
    assert list(costs) == [evaluation.costs["params"] for evaluation in limited.view.evaluations]


def test_a_cost_with_the_name_of_a_score_has_a_column_of_its_own(limited: Result) -> None:
    from rbflex_evo.engine.search.result_table import columns_of
    from rbflex_evo.fitness.evaluation import Evaluation
    from rbflex_evo.fitness.objective.archive import ArchiveView

    view = ArchiveView(limited.view.objective, str)
    genotype = limited.view.evaluations[0].genotype
    view.add(Evaluation(genotype, "k", {"naswot": 1.0, "synflow": 2.0, "rank": 3.0}, costs={"naswot": 4.0}))
    columns = columns_of(view, limited.space)
    assert (columns["naswot"], columns["naswot_cost"], columns["rank"], columns["rank_score"]) == ([1.0], [4.0], [1], [3.0])


def test_a_frame_without_pandas_is_an_error_of_one_line_and_csv_works(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"to_dataframe\(\) needs pandas: install it .*, or write a file by to_csv") as error:
        result.to_dataframe()
    assert "\n" not in str(error.value)
    assert len(rows_of(result, tmp_path)["rank"]) == 60


def test_a_table_that_cannot_be_written_names_the_file(result: Result, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere/table\.csv cannot be written"):
        result.to_csv(tmp_path / "nowhere" / "table.csv")


def test_progress_is_the_best_score_so_far_with_the_found_one_marked(result: Result) -> None:
    axes = result.plot_progress("synflow")
    frame = result.to_dataframe()
    (line,) = axes.get_lines()
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert np.array_equal(y, [frame["synflow"][:number].max() for number in x.astype(int)])
    (mark,) = axes.collections
    number = int(frame.index[frame["rank"] == 1][0])
    assert np.asarray(mark.get_offsets()).tolist() == [[number, frame["synflow"][number]]]
    assert result.plot_progress().get_ylabel() == "naswot"


def test_scores_are_drawn_against_costs_that_were_counted_or_that_the_space_counts(result: Result, limited: Result) -> None:
    for each, counted in ((result, False), (limited, True)):
        axes = each.plot_scores("params")
        points = np.asarray(axes.collections[0].get_offsets())
        told = [evaluation for evaluation in each.view.evaluations if not evaluation.failed]
        costs = [e.costs["params"] if counted else each.space.costs(e.genotype).params for e in told]
        assert points.tolist() == [[cost, e.scores["naswot"]] for cost, e in zip(costs, told, strict=True)]
    assert result.plot_scores("synflow", "naswot").get_xlabel() == "synflow"


def test_the_front_is_drawn_on_any_two_objectives(pareto: Result) -> None:
    axes = pareto.plot_front()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("synflow (→ better)", "naswot (→ better)")
    assert pareto.plot_front(up="synflow").get_xlabel() == "naswot (→ better)"


def test_ranks_of_the_best_are_those_in_the_table(result: Result) -> None:
    axes = result.plot_ranks(5)
    frame = result.to_dataframe()
    frame = frame[frame["status"] == "scored"]
    shown = [text.get_text() for text in axes.texts]
    wanted = []
    for place in range(1, 6):
        row = frame[frame["rank"] == place].iloc[0]
        wanted += [str(1 + int((frame[name] > row[name]).sum())) for name in ("naswot", "synflow")]
    assert shown == wanted


def test_a_rank_is_one_more_than_the_number_of_higher_values() -> None:
    scores = np.array([[3.0, 1.0], [2.0, 1.0], [np.nan, np.nan], [5.0, 0.0]])
    assert ranks_of(scores, [0, 2, 3]).tolist() == [[2, 1], [0, 0], [1, 3]]


def test_figures_are_drawn_on_axes_of_the_caller(result: Result, pareto: Result) -> None:
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    open_before = pyplot.get_fignums()
    axes = Figure().subplots(2, 2).flat
    assert result.plot_progress(ax=axes[0]) is axes[0]
    assert result.plot_scores(ax=axes[1]) is axes[1]
    assert pareto.plot_front(ax=axes[2]) is axes[2]
    assert result.plot_ranks(ax=axes[3]) is axes[3]
    assert pyplot.get_fignums() == open_before


def test_wrong_names_are_told_with_the_nearest_one(result: Result, pareto: Result) -> None:
    with pytest.raises(ConfigError, match="no score 'nasvot'; did you mean 'naswot'"):
        result.plot_progress("nasvot")
    with pytest.raises(ConfigError, match="no cost 'param'; did you mean 'params'"):
        result.plot_scores("param")
    with pytest.raises(ConfigError, match="no objective 'synflov'; did you mean 'synflow'"):
        pareto.plot_front("synflov")
    with pytest.raises(RunError, match="has no front: its objective is one number"):
        result.plot_front()


def test_a_result_holds_no_evaluator(tmp_path: Path) -> None:
    search, evaluator = instant_search(toy_config(tmp_path, budget={"evaluations": 5}))
    result, evaluator_there = search.run(), weakref.ref(evaluator)
    del search, evaluator
    gc.collect()
    assert evaluator_there() is None and len(result.view) == 5
