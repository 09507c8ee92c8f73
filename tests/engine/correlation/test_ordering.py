"""Every statistic equals its literal form or scipy's, on candidates with ties, failures and weights."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from rbflex_evo.engine.agreement.kendall import Statistic, ranked, resample
from rbflex_evo.engine.correlation import ordering
from rbflex_evo.engine.correlation.ordering import judge

VALUES = st.integers(-3, 3).map(float)
PAIRS = st.lists(st.tuples(VALUES | st.just(math.nan), VALUES), min_size=2, max_size=12)
WEIGHTED = st.lists(st.tuples(VALUES | st.just(math.nan), VALUES, st.integers(0, 3)), min_size=2, max_size=9)


def columns(rows: list[tuple[float, ...]]) -> list[np.ndarray]:
    return [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]


def repeated(rows: list[tuple[float, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns scores, accuracies, weights [1, N], and the same candidates each as often as its weight [sum, 2]."""
    scores, accuracies, weights = columns(rows)
    several = [(s, a) for s, a, w in zip(scores, accuracies, weights, strict=True) for _ in range(int(w))]
    return scores, accuracies, weights[None], np.array(several, dtype=np.float64).reshape(-1, 2)


def last(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(scores), -1e9, scores)


def assert_close(found: float, expected: float) -> None:
    assert (math.isnan(found) and math.isnan(expected)) or found == pytest.approx(expected, abs=1e-9)


def test_failed_scores_tie_below_all_others() -> None:
    assert ranked(np.array([math.nan, 2.0, -5.0, math.nan, 2.0])).tolist() == [0, 2, 1, 0, 2]


def literal_kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Returns tau-b over all ordered pairs."""
    one, two = (np.sign(values[:, None] - values) for values in (first, second))
    return float((one * two).sum() / math.sqrt(np.abs(one).sum() * np.abs(two).sum()))


@given(PAIRS)
@settings(deadline=None)
def test_kendall_and_spearman_count_ties_and_rank_failed_scores_last(rows: list[tuple[float, ...]]) -> None:
    scores, accuracies = columns(rows)
    ranks = ranked(scores)
    assume(len(set(ranks)) > 1 and len(set(accuracies)) > 1)
    assert_close(ordering.kendall(ranks, accuracies), literal_kendall(last(scores), accuracies))
    averaged = (stats.rankdata(last(scores)), stats.rankdata(accuracies))
    assert_close(ordering.spearman(ranks, accuracies), np.corrcoef(*averaged)[0, 1])


@given(PAIRS)
@settings(deadline=None)
def test_pearson_is_that_of_the_finite_scores(rows: list[tuple[float, ...]]) -> None:
    scores, accuracies = columns(rows)
    finite = np.isfinite(scores)
    assume(finite.sum() > 1 and np.ptp(scores[finite]) > 0 and np.ptp(accuracies[finite]) > 0)
    expected = np.corrcoef(scores[finite], accuracies[finite])[0, 1]
    assert_close(ordering.pearson(scores, accuracies), expected)
    assert_close(ordering.pearson(1e200 * scores + 1e201, accuracies), expected)


@given(WEIGHTED)
@settings(deadline=None)
def test_the_correlations_of_a_resample_are_those_of_its_candidates(rows: list[tuple[float, ...]]) -> None:
    scores, accuracies, weights, several = repeated(rows)
    assume(len(several))
    found = ordering.statistics(scores, accuracies, weights)
    expected = ordering.statistics(several[:, 0], several[:, 1], np.ones((1, len(several))))
    for name in ("kendall", "spearman", "pearson", "kendall_top_10"):
        assert_close(found[name][0], expected[name][0])


@pytest.mark.parametrize("name", ["kendall", "spearman", "pearson", "kendall_top_10"])
def test_a_correlation_with_a_constant_is_undefined(name: str) -> None:
    rng = np.random.default_rng(0)
    for scores, accuracies in ((np.zeros(30), rng.random(30)), (rng.random(30), np.full(30, 0.1))):
        assert judge(scores, accuracies, resamples=2)[name] == Statistic(None)


@given(PAIRS, st.sampled_from([10, 50, 90]))
@settings(deadline=None)
def test_kendall_on_the_top_is_that_of_the_best_candidates(rows: list[tuple[float, ...]], percent: int) -> None:
    # Accuracies are made to differ, so that it is certain who is on top.
    scores, accuracies = columns([(s, a + i / 100) for i, (s, a) in enumerate(rows)])
    best = np.argsort(-accuracies, kind="stable")[: math.ceil(len(rows) * percent / 100)]
    found = ordering.kendall_top(ranked(scores), accuracies, percent)
    if len(set(last(scores[best]))) < 2:
        assert math.isnan(found)
    else:
        assert_close(found, literal_kendall(last(scores[best]), accuracies[best]))


HALVES = st.integers(0, 40).map(lambda value: value / 2)


@given(st.lists(st.tuples(VALUES | st.just(math.nan), HALVES, st.integers(0, 2)), min_size=1, max_size=4))
@settings(deadline=None)
def test_the_discounted_gain_is_the_mean_over_all_orders_of_the_tied(rows: list[tuple[float, ...]]) -> None:
    scores, accuracies, weights, several = repeated(rows)
    assume(2 <= len(several) <= 5 and several[:, 1].max() > 0)

    def gain(order: tuple[int, ...]) -> float:
        return sum((2 ** several[i, 1] - 1) / math.log2(place + 1) for place, i in enumerate(order, start=1))

    values = last(several[:, 0])
    orders = list(itertools.permutations(range(len(several))))
    by_score = [gain(o) for o in orders if all(values[o[i]] >= values[o[i + 1]] for i in range(len(o) - 1))]
    expected = np.mean(by_score) / max(gain(order) for order in orders)
    assert ordering.ndcg(ranked(scores), accuracies, weights)[0] == pytest.approx(expected, rel=1e-9)


@given(PAIRS.filter(lambda rows: len(rows) <= 8), st.integers(1, 9))
@settings(deadline=None)
def test_the_first_of_n_is_the_mean_over_every_draw(rows: list[tuple[float, ...]], draw: int) -> None:
    scores, accuracies = columns(rows)
    ranks, ones = ranked(scores), np.ones((1, len(scores)))
    found, spread, regret = (float(one[0]) for one in ordering.first_of(ranks, accuracies, [draw], ones)[draw])
    if draw > len(scores):
        assert math.isnan(found) and math.isnan(spread) and math.isnan(regret)
        return
    outcomes, regrets = [], []
    for drawn in itertools.combinations(range(len(scores)), draw):
        first = [i for i in drawn if ranks[i] == max(ranks[j] for j in drawn)]
        # Any of the tied is as likely; draws with fewer ties count as much as those with more.
        outcomes.append([accuracies[i] for i in first])
        regrets.append(max(accuracies[j] for j in drawn) - np.mean(outcomes[-1]))
    mean = np.mean([np.mean(outcome) for outcome in outcomes])
    square = np.mean([np.mean((np.array(outcome) - mean) ** 2) for outcome in outcomes])
    assert_close(found, mean)
    assert spread == pytest.approx(math.sqrt(square), abs=1e-6)
    assert_close(regret, np.mean(regrets))


@given(WEIGHTED, st.integers(1, 6))
@settings(deadline=None)
def test_the_first_of_n_of_a_resample_is_that_of_its_candidates(rows: list[tuple[float, ...]], draw: int) -> None:
    scores, accuracies, weights, several = repeated(rows)
    assume(len(several) >= draw)
    expected = ordering.first_of(ranked(several[:, 0]), several[:, 1], [draw], np.ones((1, len(several))))[draw]
    found = ordering.first_of(ranked(scores), accuracies, [draw], weights)[draw]
    np.testing.assert_allclose(np.ravel(found), np.ravel(expected), atol=1e-6)


def test_the_first_of_a_thousand_is_what_a_loop_over_draws_finds() -> None:
    rng = np.random.default_rng(0)
    accuracies = 90 + rng.standard_normal(2000)
    scores = accuracies + rng.standard_normal(2000)
    found = judge(scores, accuracies, resamples=2)
    firsts, regrets = [], []
    for _ in range(2000):
        drawn = rng.choice(2000, 1000, replace=False)
        firsts.append(accuracies[drawn[np.argmax(scores[drawn])]])
        regrets.append(accuracies[drawn].max() - firsts[-1])
    error = np.std(firsts) / math.sqrt(2000)
    assert abs(np.mean(firsts) - found["accuracy_of_1000"].value) < 5 * error
    assert abs(np.std(firsts) - found["spread_of_1000"].value) < 5 * error
    assert abs(np.mean(regrets) - found["regret_of_1000"].value) < 5 * np.std(regrets) / math.sqrt(2000)


def test_a_resample_draws_as_many_as_there_are_with_replacement() -> None:
    weights = resample(50, 400, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 50).all() and weights.max() > 1
    # Each candidate is drawn once on average; six standard deviations.
    assert np.abs(weights.mean(axis=0) - 1).max() < 6 * math.sqrt(0.98 / 400)


def test_an_interval_is_that_of_scipy_s_bootstrap() -> None:
    rng = np.random.default_rng(0)
    accuracies = rng.standard_normal(80)
    scores = accuracies + rng.standard_normal(80)
    for name, function in (("kendall", stats.kendalltau), ("pearson", stats.pearsonr)):
        found = judge(scores, accuracies, resamples=1000)[name]
        expected = stats.bootstrap(
            (scores, accuracies),
            lambda a, b, function=function: function(a, b).statistic,
            paired=True,
            vectorized=False,
            n_resamples=1000,
            method="percentile",
            random_state=np.random.default_rng(1),
        )
        # Two sets of 1,000 resamples: their 2.5 % quantiles differ by about a tenth of the standard error.
        assert abs(found.low - expected.confidence_interval.low) < 0.4 * expected.standard_error
        assert abs(found.high - expected.confidence_interval.high) < 0.4 * expected.standard_error


def test_a_judgement_is_the_same_in_any_batches_and_hangs_on_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, accuracies = rng.random(40), rng.random(40)
    scores[:5] = np.nan
    whole = judge(scores, accuracies, resamples=30)
    monkeypatch.setattr(ordering, "ELEMENTS", 40 * 7)
    assert judge(scores, accuracies, resamples=30) == whole
    assert judge(scores, accuracies, resamples=30, seed=1) != whole


def test_what_cannot_be_known_of_few_candidates_is_left_open() -> None:
    found = judge(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]), resamples=20)
    assert found["accuracy_of_10"] == Statistic(None) and found["kendall_top_5"] == Statistic(None)
    assert found["kendall"].value == pytest.approx(1 / 3)


def test_scores_that_all_failed_have_no_correlation_but_a_first_one() -> None:
    found = judge(np.full(20, np.nan), np.arange(20.0), resamples=5)
    assert found["kendall"] == found["pearson"] == Statistic(None)
    assert found["accuracy_of_10"].value == pytest.approx(9.5)
