"""The data behind the figures of a correlation, and what the drawings show of it."""

from __future__ import annotations

import itertools
import math

import numpy as np

from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.correlation import figures as figures
from rbflex_evo.engine.correlation.ceiling import Ceiling
from rbflex_evo.engine.correlation.document import JudgedTable
from rbflex_evo.engine.correlation.judgement import Verdict
from rbflex_evo.engine.figures import plots

KINDS = {"rbflex": "score", "both": "combination", "random": "baseline", "odd": "score"}


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Statistic]:
    return {"kendall": Statistic(value, low, high)}


JUDGED = {
    "rbflex": estimate(90.0, 89.0, 91.0),
    "random": estimate(50.0, 20.0, 80.0),
    "odd": estimate(None),
    "both": estimate(92.0),
}


def test_intervals_come_best_first_and_leave_out_what_is_undefined() -> None:
    found = figures.intervals(JUDGED, KINDS, "kendall")
    assert found.names == ["both", "rbflex", "random"] and found.kinds == ["combination", "score", "baseline"]
    assert found.values.tolist() == [92, 90, 50]
    assert found.low.tolist() == [92, 89, 20] and found.high.tolist() == [92, 91, 80]


def test_the_close_range_holds_every_interval_but_the_random_score_s() -> None:
    low, high = figures.close_range(figures.intervals(JUDGED, KINDS, "kendall"))
    assert 88 < low < 89 and 92 < high < 93
    alone = figures.intervals({"random": JUDGED["random"]}, KINDS, "kendall")
    assert figures.close_range(alone)[0] < 20
    level = figures.intervals({"both": JUDGED["both"]}, KINDS, "kendall")
    assert figures.close_range(level) == (91.5, 92.5)


def test_a_drawing_has_a_row_for_each_score_and_writes_what_lies_outside() -> None:
    found = figures.intervals(JUDGED, KINDS, "kendall")
    (axes,) = figures.draw_intervals(found, "title", "label", figures.close_range(found)).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == found.names
    places = list(axes.get_yticks())
    assert places == sorted(places, reverse=True)
    assert [text.get_text() for text in axes.texts] == ["◂ 50.00"]
    low, high = axes.get_xlim()
    points = {tuple(offset) for one in axes.collections for offset in one.get_offsets().tolist()}
    assert {(92.0, 2), (90.0, 1)} <= points and low > 80 and high < 94


def judged_table(best_count: str | None = "params", ceiling: Ceiling | None = None) -> JudgedTable:
    count = best_count
    verdicts = {
        "layered": Verdict("above", count, Statistic(0.2, 0.1, 0.3)),
        "rbflex": Verdict("within", count, Statistic(0.0, -0.1, 0.1)),
        "random": Verdict("below", count, Statistic(-0.5, -0.6, -0.4)),
        "odd": None,
    }
    taus = {"layered": 0.7, "rbflex": 0.51, "params": 0.5, "random": -0.001, "odd": None}
    return JudgedTable(
        dataset="toys",
        source="csv",
        known=9,
        best=90.0,
        mean=80.0,
        best_count=best_count,
        pairs_of_one_size=4,
        ceiling=ceiling or Ceiling(9, 0.8, 0.85),
        verdicts=verdicts,
        scores={name: estimate(tau) for name, tau in taus.items()},
    )


def test_scores_stand_on_a_side_of_the_best_count() -> None:
    found = figures.standing(judged_table())
    assert found.scores.names == ["layered", "rbflex", "params", "random"]
    assert found.scores.kinds == ["above", "within", "count", "below"]
    assert (found.best_count, found.line, found.ceiling) == ("params", 0.5, (0.8, 0.85))
    without = figures.standing(judged_table(None, Ceiling(0, reason="one run")))
    assert (without.best_count, without.line, without.ceiling) == (None, 0.0, None)


def test_the_standing_shows_the_best_count_the_ceiling_and_a_colour_for_each_verdict() -> None:
    figure = figures.draw_standing(figures.standing(judged_table()), "title")
    (axes,) = figure.axes
    key = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"params, the best count", "ceiling: training runs agree this far", "above all counts", "a count"} <= key
    assert axes.lines[0].get_xdata()[0] == 0.5
    assert [text.get_text() for text in axes.texts] == ["0.70", "0.51", "0.50", "0.00"]
    bare = figures.draw_standing(figures.standing(judged_table(None, Ceiling(0, reason="one run"))), "title")
    key = {text.get_text() for text in bare.legends[0].get_texts()}
    assert "chance, no count orders these networks" in key and not any("ceiling" in text for text in key)


def test_no_label_of_the_standing_overlaps_another_with_many_scores() -> None:
    table = judged_table()
    names = [f"az_progressivity_{i}" for i in range(30)]
    verdict = Verdict("above", "params", Statistic(0.1))
    many = table.model_copy(
        update={
            "scores": {**table.scores, **{name: estimate(0.5 + i / 100) for i, name in enumerate(names)}},
            "verdicts": {**table.verdicts, **dict.fromkeys(names, verdict)},
        }
    )
    figure = figures.draw_standing(figures.standing(many), "title")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for texts in (axes.get_yticklabels(), axes.texts):
        boxes = [text.get_window_extent() for text in texts]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_scatter_shows_the_candidates_that_have_both_and_the_tau_it_is_given() -> None:
    scores = np.array([1.0, math.nan, 3.0, 4.0])
    accuracies = np.array([90.0, 91.0, math.nan, 93.0])
    (axes,) = figures.draw_scatter(scores, accuracies, "rbflex", "cifar10", 0.25).axes
    assert axes.get_title(loc="left") == "rbflex, Kendall τ = 0.250"
    assert axes.collections[0].get_offsets().tolist() == [[1, 90], [4, 93]]
    (axes,) = figures.draw_scatter(np.full(4, np.nan), accuracies, "none", "cifar10", None).axes
    assert axes.get_title(loc="left") == "none, Kendall τ = undefined"


def test_many_points_become_a_picture() -> None:
    few, many = (
        figures.draw_scatter(np.arange(n), np.linspace(10, 90, n), "s", "d", 1.0).axes[0].collections[0]
        for n in (figures.RASTER_ABOVE, figures.RASTER_ABOVE + 1)
    )
    assert not few.get_rasterized() and many.get_rasterized()
    assert plots.RASTER_ABOVE > figures.RASTER_ABOVE
