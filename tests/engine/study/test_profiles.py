"""Performance profiles on settings that are written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rbflex_evo.engine.study.document import Staircase
from rbflex_evo.engine.study.figures import shares_at
from rbflex_evo.engine.study.profiles import distances, profile, ratios

NEVER = np.nan


def test_ratios_are_to_the_cheapest_of_the_setting() -> None:
    found = ratios(np.array([[10.0, 20.0, NEVER], [NEVER, 30.0, 30.0]]))
    np.testing.assert_equal(found, [[1, 2, np.inf], [np.inf, 1, 1]])


def test_in_a_setting_that_no_contender_solves_none_comes_close() -> None:
    np.testing.assert_equal(ratios(np.array([[NEVER, NEVER]])), [[np.inf, np.inf]])
    np.testing.assert_equal(distances(np.array([[NEVER, NEVER]])), [[np.inf, np.inf]])


def test_distances_are_to_the_least_loss_of_the_setting_which_may_be_zero() -> None:
    np.testing.assert_equal(distances(np.array([[0.0, 0.5], [3.0, 1.0], [2.0, NEVER]])), [[0, 0.5], [2, 0], [0, np.inf]])


def test_a_profile_counts_settings_within_each_bound() -> None:
    found = profile(np.array([1.0, 4.0, np.inf, 1.0]))
    assert found.bounds.tolist() == [1.0, 4.0]
    assert found.shares.tolist() == [0.5, 0.75]
    assert profile(np.array([np.inf])).bounds.tolist() == []


def test_shares_between_the_steps_are_those_of_the_step_below() -> None:
    one = Staircase(bounds=[1.0, 4.0], shares=[0.5, 0.75])
    assert shares_at(one, np.array([0.5, 1.0, 3.9, 4.0, 99.0])).tolist() == [0.0, 0.5, 0.5, 0.75, 0.75]
    assert shares_at(Staircase(bounds=[], shares=[]), np.array([1.0])) == pytest.approx([0.0])
