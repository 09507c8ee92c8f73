"""HDA's gammas equal those of its definition, and an undetectable gamma is an error."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.shared import literal_rbflex
from rbflex_evo.fitness.proxies.rbflex import hda
from rbflex_evo.spaces import ConfigError


def moments(matrix):
    return matrix.sum(axis=1), (matrix**2).sum(axis=1), matrix.shape[1]


def test_gamma_equals_the_literal_minimum():
    networks = [np.random.default_rng(seed).random((8, 100 + seed)) for seed in range(5)]
    assert hda.detect([moments(m) for m in networks]) == pytest.approx(literal_rbflex.gamma(networks), rel=1e-9)


def test_maximum_is_the_largest_candidate():
    networks = [np.random.default_rng(seed).random((6, 50)) for seed in range(3)]
    found = np.concatenate([hda.candidates(*moments(m)) for m in networks])
    assert hda.detect([moments(m) for m in networks], "hda_max") == found.max()
    assert len(found) == 3 * 15


def test_pairs_with_equal_means_are_left_out():
    rows = np.array([[0.0, 2.0], [1.0, 1.0], [0.0, 4.0]])
    assert len(hda.candidates(*moments(rows))) == 2


def test_all_equal_means_are_an_error_with_a_way_out():
    rows = np.array([[0.0, 2.0], [1.0, 1.0]])
    with pytest.raises(ConfigError, match=r"no gamma can be detected.*or set gamma"):
        hda.detect([moments(rows)])
