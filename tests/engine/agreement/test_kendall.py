"""Kendall's tau-b of resamples equals scipy's, and intervals behave as intervals do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.engine.agreement import kendall as module
from rbflex_evo.engine.agreement.kendall import agreement, kendalls, ranked, resample

VALUES = st.one_of(st.integers(0, 4).map(float), st.just(math.nan))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=12), st.integers(0, 100))
def test_all_resamples_at_once_are_those_of_scipy_one_after_the_other(rows: list[tuple[float, float]], seed: int) -> None:
    one, other = (ranked(np.array(side)) for side in zip(*rows, strict=True))
    weights = resample(len(rows), 5, np.random.default_rng(seed))
    found = kendalls(one, other, weights)
    for tau, row in zip(found, weights.astype(int), strict=True):
        at = np.repeat(np.arange(len(rows)), row)
        expected = module.kendall(one[at], other[at])
        assert math.isnan(tau) == math.isnan(expected) and (math.isnan(tau) or tau == pytest.approx(expected, abs=1e-12))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 9, 30), rng.integers(0, 9, 30)
    weights = resample(30, 20, rng)
    whole = kendalls(one, other, weights)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert (kendalls(one, other, weights) == whole).all()


def test_the_interval_holds_the_value_and_is_narrow_for_equal_orders() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(100)
    same, noisy = agreement(scores, 2 * scores + 1), agreement(scores, scores + rng.standard_normal(100))
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)
    assert noisy.value is not None and noisy.low is not None and noisy.high is not None
    assert 0.2 < noisy.low < noisy.value < noisy.high < 0.8


def test_what_has_no_order_has_no_value() -> None:
    assert agreement(np.array([]), np.array([])).value is None
    assert agreement(np.zeros(5), np.arange(5.0)).value is None
