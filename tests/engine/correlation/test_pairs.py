"""Sums over pairs equal a literal double loop, on networks with ties, failures, draws of several times and equal sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from rbflex_evo.engine.agreement.kendall import ranked, resample
from rbflex_evo.engine.correlation import pairs
from rbflex_evo.engine.correlation.pairs import near, pairs_of_one_size, partial, taus, taus_of_one_size

VALUES = st.integers(-3, 3).map(float)
SIZES = st.integers(90, 120).map(float)
ROWS = st.lists(st.tuples(VALUES | st.just(math.nan), VALUES, SIZES, st.integers(0, 3)), min_size=2, max_size=10)


def sign(value: float) -> int:
    return int(value > 0) - int(value < 0)


def literal_tau(scores: np.ndarray, accuracies: np.ndarray, params: np.ndarray | None = None) -> float:
    """Returns tau-b over all pairs, or over those whose parameters differ by less than 10 % of the larger number."""
    score = [-math.inf if math.isnan(value) else value for value in scores]
    agree = one = other = 0
    for i in range(len(score)):
        for j in range(i):
            if params is not None and not (abs(params[i] - params[j]) < 0.1 * max(params[i], params[j])):
                continue
            s = 0 if score[i] == score[j] else sign(score[i] - score[j])
            a = sign(accuracies[i] - accuracies[j])
            agree, one, other = agree + s * a, one + abs(s), other + abs(a)
    return agree / math.sqrt(one * other) if one and other else math.nan


def assert_close(found: float, expected: float) -> None:
    assert (math.isnan(found) and math.isnan(expected)) or found == pytest.approx(expected, abs=1e-9)


@given(ROWS)
@settings(deadline=None)
def test_tau_of_a_resample_is_that_of_its_networks_with_failed_scores_last(rows: list[tuple[float, ...]]) -> None:
    scores, accuracies, params, weights = (np.array(column) for column in zip(*rows, strict=True))
    drawn = np.repeat(np.arange(len(rows)), weights.astype(int))
    (found,) = taus(ranked(scores), [ranked(accuracies)], weights[None])
    assert_close(found[0], literal_tau(scores[drawn], accuracies[drawn]))
    # Two draws of one network tie on both sides, so that they count nowhere, also among networks of one size.
    close = taus_of_one_size(ranked(scores), ranked(accuracies), params, weights[None])
    assert_close(close[0], literal_tau(scores[drawn], accuracies[drawn], params[drawn]))
    expected = sum(abs(p - q) < 0.1 * max(p, q) for i, p in enumerate(params) for q in params[:i])
    assert pairs_of_one_size(params) == expected


def test_networks_of_one_size_differ_by_less_than_a_tenth_of_the_larger() -> None:
    found = near(np.array([100.0, 90.0, 91.0, 0.0, 0.0, math.nan]))
    assert found[0].tolist() == [True, False, True, False, False, False]
    # Networks without a parameter are of one size; one whose count failed is of none.
    assert found[3].tolist() == [False, False, False, True, True, False] and not found[5].any()
    assert pairs_of_one_size(np.array([100.0, 90.0, 91.0, 0.0, 0.0, math.nan])) == 3


def literal_partial(columns: list[np.ndarray]) -> float:
    """Returns the partial tau of the first two columns given the others, from the inverse of the matrix of taus."""
    matrix = np.array([[literal_tau(one, other) for other in columns] for one in columns])
    inverse = np.linalg.inv(matrix)
    return float(-inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1]))


def found_partial(columns: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    first, second, *controls = (ranked(column) for column in columns)
    both, *one = taus(first, [second, *controls], weights)
    two = taus(second, controls, weights)
    between = np.array([taus(control, controls, weights) for control in controls]).transpose(2, 0, 1)
    return partial(both, np.array(one).T, np.array(two).T, between)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=6, max_size=12))
@settings(deadline=None)
def test_the_partial_tau_is_that_of_the_inverse_matrix(rows: list[tuple[float, ...]]) -> None:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    assume(all(np.ptp(column) > 0 for column in columns))
    matrix = np.array([[literal_tau(one, other) for other in columns] for one in columns])
    assume(np.linalg.cond(matrix) < 1e4)
    assert_close(found_partial(columns, np.ones((1, len(rows))))[0], literal_partial(columns))


def test_a_partial_tau_with_one_control_is_kendall_s_formula() -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.random((3, 40))
    xy, xz, yz = literal_tau(x, y), literal_tau(x, z), literal_tau(y, z)
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    ones = np.ones((1, 40))
    assert_close(found_partial([x, y, z], ones)[0], expected)
    # A control that repeats another one, or never varies, adds nothing.
    assert_close(found_partial([x, y, z, 2 * z + 1], ones)[0], expected)
    assert_close(found_partial([x, y, z, np.full(40, 7.0)], ones)[0], expected)
    assert_close(found_partial([x, y, np.zeros(40)], ones)[0], xy)


def test_a_partial_tau_is_undefined_where_controls_determine_a_side() -> None:
    x, y, z = np.random.default_rng(0).random((3, 20))
    assert np.isnan(found_partial([x, y, x, z], np.ones((1, 20)))).all()
    assert np.isnan(found_partial([np.zeros(20), y, x, z], np.ones((1, 20)))).all()


def test_many_networks_have_the_exact_values_and_nearly_the_exact_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    accuracies, params = np.round(rng.random((2, 500)), 2)
    scores = ranked(np.round(accuracies + rng.random(500), 1))
    weights = np.concatenate([np.ones((1, 500)), resample(500, 300, rng)])
    exact = [*taus(scores, [accuracies], weights), taus_of_one_size(scores, accuracies, 1 + params, weights)]
    monkeypatch.setattr(pairs, "EXACT", 100)
    monkeypatch.setattr(pairs, "ELEMENTS", 500 * 7)
    first_order = [*taus(scores, [accuracies], weights), taus_of_one_size(scores, accuracies, 1 + params, weights)]
    for one, other in zip(exact, first_order, strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-12)
        assert np.abs(one - other).mean() < 0.2 * one.std()
        assert np.quantile(one, [0.025, 0.975]) == pytest.approx(np.quantile(other, [0.025, 0.975]), abs=0.2 * one.std())


def test_a_tau_without_resamples_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    x, y = np.round(rng.random((2, 300)), 1)
    assert taus(ranked(x), [ranked(y)], np.ones((1, 300)))[0][0] == pytest.approx(stats.kendalltau(x, y).statistic)
