"""Inter-quartile means, bands and paired tests against forms written out by hand and scipy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean, wilcoxon

from rbflex_evo.engine.comparison.paired_tests import band, holm, interquartile_mean, paired


def test_the_interquartile_mean_is_the_mean_of_the_middle_half() -> None:
    assert interquartile_mean(np.array([100.0, 3, 1, 2, -50, 4, 5, 6])) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_a_run_on_the_border_counts_by_its_part() -> None:
    # Of 6 runs, 1.5 are cut off at either end: half of 2, 3, 4, half of 5.
    assert interquartile_mean(np.array([1.0, 2, 3, 4, 5, 60])) == pytest.approx((0.5 * 2 + 3 + 4 + 0.5 * 5) / 3)
    assert interquartile_mean(np.array([7.0])) == 7.0


@given(st.integers(1, 8), st.integers(0, 1000))
def test_with_whole_quarters_it_is_scipys_trimmed_mean(quarter: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=4 * quarter)
    assert interquartile_mean(values) == pytest.approx(trim_mean(values, 0.25))


def test_counted_samples_are_samples_written_out() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=9)
    counts = rng.multinomial(9, np.full(9, 1 / 9), size=20)
    expected = [interquartile_mean(np.repeat(values, row)) for row in counts]
    np.testing.assert_allclose(interquartile_mean(values, counts), expected)


def test_a_band_holds_the_mean_and_narrows_with_runs() -> None:
    rng = np.random.default_rng(1)
    few, many = (band(rng.normal(size=(runs, 3)), np.random.default_rng(0), 400) for runs in (8, 200))
    for found in (few, many):
        assert (found.low < found.mean).all() and (found.mean < found.high).all()
    assert (many.high - many.low < (few.high - few.low) / 2).all()


def test_a_point_that_one_run_has_not_reached_has_no_value() -> None:
    found = band(np.array([[np.nan, 1.0], [2.0, 3.0]]), np.random.default_rng(0), 50)
    assert np.isnan([found.mean[0], found.low[0], found.high[0]]).all()
    assert (found.mean[1], found.low[1] >= 1.0, found.high[1] <= 3.0) == (2.0, True, True)


def test_holms_correction_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04, and the last may not be below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_paired_test_is_scipys_and_its_effect_the_rank_biserial_correlation() -> None:
    first = np.array([5.0, 3.0, 9.0, 4.0, 7.0, 1.0])
    second = np.array([4.0, 5.0, 6.0, 4.0, 3.0, 6.0])
    found = paired(first, second)
    # Differences 1 -2 3 0 4 -5: ranks of the unequal ones 1 2 3 4 5, for 1 + 3 + 4, against 2 + 5.
    assert (found.wins, found.ties, found.losses) == (3, 1, 2)
    assert found.effect == pytest.approx((8 - 7) / 15)
    assert found.p == pytest.approx(wilcoxon([1, -2, 3, 4, -5]).pvalue)
    turned = paired(second, first)
    assert turned.effect == pytest.approx(-(8 - 7) / 15) and turned.p == pytest.approx(found.p)


def test_equal_pairs_show_nothing_and_no_pairs_have_no_test() -> None:
    assert paired(np.ones(4), np.ones(4)) == paired(np.zeros(4), np.zeros(4))
    assert (paired(np.ones(4), np.ones(4)).p, paired(np.ones(4), np.ones(4)).effect) == (1.0, 0.0)
    assert paired(np.empty(0), np.empty(0)).p is None
