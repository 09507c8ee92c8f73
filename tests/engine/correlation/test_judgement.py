"""Verdicts say whether a score is above counting; they are paired, repeatable, and left open where nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.correlation.judgement import judge_scores
from rbflex_evo.engine.correlation.ordering import judge

RNG = np.random.default_rng(0)
ACCURACIES = RNG.standard_normal(300)
PARAMS = np.exp(ACCURACIES + RNG.standard_normal(300))
COUNTS = {"params": PARAMS, "flops": PARAMS + np.exp(RNG.standard_normal(300)), "depth": np.round(5 * RNG.random(300))}
SCORES = {
    "good": ACCURACIES + 0.2 * RNG.standard_normal(300),
    "copy": 3 * PARAMS + 1,
    "poor": RNG.standard_normal(300),
}


def test_a_score_is_above_all_counts_below_one_or_within_noise() -> None:
    found = judge_scores(SCORES, COUNTS, ACCURACIES, resamples=200)
    assert found.best_count == "params"
    verdicts = {name: one.verdict for name, one in found.scores.items()}
    assert [verdicts[name].kind for name in SCORES] == ["above", "within", "below"]
    assert all(verdicts[name] is None for name in COUNTS)
    # A score that repeats the count differs from it in no resample.
    assert verdicts["copy"].difference == Statistic(0.0, 0.0, 0.0) and verdicts["copy"].count == "params"


def test_the_difference_is_paired_over_the_same_resamples_as_the_other_statistics() -> None:
    found = judge_scores(SCORES, COUNTS, ACCURACIES, resamples=100, seed=4)
    for name in ("good", "params"):
        expected = judge(SCORES.get(name, PARAMS), ACCURACIES, resamples=100, seed=4)["kendall"]
        assert (found.scores[name].kendall.value, found.scores[name].kendall.low) == pytest.approx((expected.value, expected.low))
    rng = np.random.Generator(np.random.PCG64(4))
    differences = []
    for _ in range(100):
        at = np.repeat(np.arange(300), np.bincount(rng.integers(300, size=300), minlength=300))
        taus = [stats.kendalltau(values[at], ACCURACIES[at]).statistic for values in (SCORES["poor"], PARAMS)]
        differences.append(taus[0] - taus[1])
    verdict = found.scores["poor"].verdict
    assert (verdict.difference.low, verdict.difference.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))


def test_a_judgement_is_the_same_every_time_and_hangs_on_its_seed() -> None:
    one, again, other = (judge_scores(SCORES, COUNTS, ACCURACIES, resamples=50, seed=seed) for seed in (0, 0, 1))
    assert one == again and one.scores["good"].verdict != other.scores["good"].verdict


def test_parameters_and_flops_can_be_given_without_being_counts() -> None:
    alone = judge_scores(SCORES, {"depth": COUNTS["depth"]}, ACCURACIES, resamples=20)
    assert alone.pairs_of_one_size is None and alone.scores["good"].of_one_size == Statistic(None)
    assert alone.scores["good"].given_size == Statistic(None)
    given = judge_scores(
        SCORES, {"depth": COUNTS["depth"]}, ACCURACIES, params=COUNTS["params"], flops=COUNTS["flops"], resamples=20
    )
    both = judge_scores(SCORES, COUNTS, ACCURACIES, resamples=20)
    assert given.pairs_of_one_size == both.pairs_of_one_size > 0
    for part in ("of_one_size", "given_size"):
        assert getattr(given.scores["good"], part) == getattr(both.scores["good"], part)
    # What size determines has nothing left when size is given.
    assert both.scores["copy"].given_size == both.scores["params"].given_size == Statistic(None)


def test_networks_of_one_size_have_no_best_count_and_scores_are_compared_with_zero() -> None:
    level = dict.fromkeys(COUNTS, np.full(300, 5.0))
    found = judge_scores(SCORES, level, ACCURACIES, resamples=100)
    assert found.best_count is None and found.pairs_of_one_size == 300 * 299 // 2
    good, poor = found.scores["good"], found.scores["poor"]
    assert good.verdict.kind == "above" and good.verdict.difference == good.kendall
    assert poor.verdict.kind == "within"
    assert good.of_one_size == good.given_size == good.kendall


def test_failed_networks_rank_last() -> None:
    scores = SCORES["good"].copy()
    scores[:50] = np.nan
    last = np.where(np.isnan(scores), -1e9, scores)
    found = judge_scores({"some": scores, "last": last}, COUNTS, ACCURACIES, resamples=20).scores
    assert found["some"] == found["last"]


def test_what_cannot_be_known_of_few_networks_is_left_open() -> None:
    three = np.array([1.0, 2.0, 3.0])
    found = judge_scores({"up": three, "failed": np.full(3, math.nan)}, {"params": 10 * three}, three, resamples=20)
    assert found.scores["up"].kendall.value == 1 and found.scores["up"].verdict.kind == "within"
    assert found.scores["up"].of_one_size == found.scores["up"].top == Statistic(None) and found.pairs_of_one_size == 0
    assert found.scores["failed"].kendall == Statistic(None) and found.scores["failed"].verdict is None


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a' has shape \(2,\), but there are 3 accuracies"):
        judge_scores({"a": np.zeros(2)}, {}, np.zeros(3))
    with pytest.raises(ValueError, match="'a' is given as a score and as a count"):
        judge_scores({"a": np.zeros(3)}, {"a": np.zeros(3)}, np.zeros(3))
    with pytest.raises(ValueError, match="expected finite accuracies"):
        judge_scores({}, {}, np.array([1.0, math.nan]))
