"""The data behind the figures of a correlation, and what the drawings show of it."""

from __future__ import annotations

import math

import numpy as np

from rbflex_evo.engine.correlation import figures as figures
from rbflex_evo.engine.correlation.ordering import Statistic
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
