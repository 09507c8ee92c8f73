"""Ranks over settings and their tests, against the worked example of Demsar (JMLR 7, 2006) and scipy's own tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare

from rbflex_evo.engine.study.ranks import chi_square_of, critical_difference, friedman, groups_of, iman_davenport, ranks_of, rounded

# Table 6 of Demsar: areas under the curve of four classifiers on 14 data sets. In the row "voting", the last two are equal to three
# digits but ranked 2 and 3.
AREAS = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
MEAN_RANKS = [3.143, 2.000, 2.893, 1.964]


def test_the_mean_ranks_of_demsars_example() -> None:
    assert ranks_of(-AREAS).mean(axis=0) == pytest.approx(MEAN_RANKS, abs=5e-4)


def test_friedmans_statistics_of_demsars_example() -> None:
    chi_square = chi_square_of(np.array(MEAN_RANKS), 14)
    assert chi_square == pytest.approx(9.28, abs=5e-3)
    assert iman_davenport(chi_square, 4, 14) == pytest.approx(3.69, abs=5e-3)


def test_the_critical_difference_of_demsars_example() -> None:
    # 2.569 sqrt(4 x 5 / (6 x 14)) at 0.05, 2.291 in place of 2.569 at 0.10.
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert critical_difference(4, 14, level=0.1) == pytest.approx(1.12, abs=5e-3)


@pytest.mark.parametrize(
    ("contenders", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (10, 3.164)]
)
def test_the_quantiles_are_those_of_demsars_table_5(contenders: int, quantile: float) -> None:
    found = critical_difference(contenders, 10)
    assert found is not None
    assert found / np.sqrt(contenders * (contenders + 1) / 60) == pytest.approx(quantile, abs=1.1e-3)


def test_the_groups_of_demsars_example_are_not_told_apart_within_the_difference() -> None:
    # 3.143 - 1.964 = 1.18 and 3.143 - 2.000 = 1.14 lie between the two.
    assert groups_of(MEAN_RANKS, 1.25) == [[3, 1, 2, 0]]
    assert groups_of(MEAN_RANKS, 1.12) == [[3, 1, 2], [2, 0]]


@given(st.integers(3, 6), st.integers(2, 12), st.integers(0, 1000))
def test_friedmans_statistic_is_scipys_with_and_without_ties(contenders: int, settings: int, seed: int) -> None:
    losses = np.random.default_rng(seed).integers(0, 4, (settings, contenders)).astype(float)
    found = friedman(ranks_of(losses))
    if found is None:
        assert (losses == losses[:, :1]).all()
    else:
        assert found.chi_square == pytest.approx(friedmanchisquare(*losses.T).statistic)


def test_full_agreement_has_an_infinite_f_and_no_doubt() -> None:
    found = friedman(ranks_of(np.tile([1.0, 2.0, 3.0], (5, 1))))
    assert found is not None
    assert (found.chi_square, found.f, found.p) == (pytest.approx(10.0), None, 0.0)


@pytest.mark.parametrize("shape", [(1, 4), (6, 1), (0, 3)])
def test_one_setting_or_one_contender_is_not_tested(shape: tuple[int, int]) -> None:
    assert critical_difference(shape[1], shape[0]) is None
    assert friedman(np.ones(shape)) is None


def test_equal_contenders_are_not_tested() -> None:
    assert friedman(ranks_of(np.zeros((5, 3)))) is None


def test_a_contender_without_a_value_ranks_last_and_ties_share_their_places() -> None:
    assert ranks_of(np.array([[0.0, np.nan, 0.0, 4.0], [np.nan, np.nan, 1.0, 2.0]])).tolist() == [
        [1.5, 4, 1.5, 3],
        [3.5, 3.5, 1, 2],
    ]


def test_means_that_differ_by_round_off_are_equal() -> None:
    values = np.array([[0.1 + 0.2, 0.3, np.nan]])
    assert values[0, 0] != values[0, 1]
    np.testing.assert_equal(ranks_of(rounded(values)), [[1.5, 1.5, 3]])


def test_groups_are_the_largest_ones() -> None:
    assert groups_of([1.0, 5.0, 2.0, 3.0, 4.4], 1.5) == [[0, 2], [2, 3], [3, 4], [4, 1]]
    assert groups_of([1.0, 1.2, 1.4, 6.0], 1.0) == [[0, 1, 2]]
    assert groups_of([1.0, 2.0], 1.0) == []
    assert groups_of([2.0, 2.0, 2.0], 0.5) == [[0, 1, 2]]
