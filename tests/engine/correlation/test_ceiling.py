"""A ceiling is what training runs agree on; without several runs there is none, and the reason is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rbflex_evo.engine.correlation.ceiling import ceiling, repeatability

RNG = np.random.default_rng(0)
RUNS = RNG.standard_normal((60, 1)) + 0.3 * RNG.standard_normal((60, 3))


def tau(first: np.ndarray, second: np.ndarray) -> float:
    return float(stats.kendalltau(first, second).statistic)


def test_a_ceiling_is_the_agreement_of_one_run_with_another_and_with_the_mean_of_the_others() -> None:
    found = ceiling(RUNS)
    a, b, c = RUNS.T
    assert found.between == pytest.approx((tau(a, b) + tau(a, c) + tau(b, c)) / 3)
    assert found.of_others == pytest.approx((tau(a, (b + c) / 2) + tau(b, (a + c) / 2) + tau(c, (a + b) / 2)) / 3)
    assert found.between < found.of_others and found.architectures == 60 and not found.reason


def test_two_runs_have_one_figure() -> None:
    found = ceiling(RUNS[:, :2])
    assert found.between == pytest.approx(found.of_others) == pytest.approx(tau(RUNS[:, 0], RUNS[:, 1]))


def test_architectures_that_lack_a_run_count_where_they_have_one() -> None:
    runs = RUNS.copy()
    runs[:20, 2] = np.nan
    runs[20:30, 1:] = np.nan
    found = ceiling(runs)
    assert found.architectures == 50
    both = np.isfinite(runs[:, 0]) & np.isfinite(runs[:, 1])
    last = np.isfinite(runs[:, 2])
    pairs = [tau(runs[both, 0], runs[both, 1]), *(tau(runs[last, i], runs[last, 2]) for i in (0, 1))]
    # The third run of those 20 is missing, so the second one has the first alone beside it.
    assert found.between == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("runs", [np.empty((9, 0)), RUNS[:, :1], np.full((9, 3), math.nan)])
def test_one_run_of_each_architecture_has_no_ceiling(runs: np.ndarray) -> None:
    found = ceiling(runs)
    assert found.between is None and found.of_others is None
    assert found.reason == "the table has one training run of each architecture"


def test_runs_that_are_all_equal_have_no_ceiling() -> None:
    found = ceiling(np.ones((9, 2)))
    assert found.between is None and found.reason == "the accuracies of a training run are all equal"


def test_repeatability_is_the_mean_tau_over_pairs_of_seeds_with_failed_scores_last() -> None:
    seeds = RUNS.T.copy()
    seeds[0, :5] = np.nan
    a, b, c = np.where(np.isnan(seeds), -1e9, seeds)
    assert repeatability(seeds) == pytest.approx((tau(a, b) + tau(a, c) + tau(b, c)) / 3)
    assert repeatability(seeds[:1]) is None and repeatability(np.ones((2, 9))) is None
