"""Tests of percentiles among recent candidates: in [0, 1], independent of scale, among the last told ones only."""

import numpy as np
import pytest

from rbflex_evo.strategies.conformance.synthetic import World, key_of
from rbflex_evo.strategies.recent import Recent, percentiles


def test_a_percentile_is_the_share_below_with_equals_counted_half():
    among = np.array([3.0, 1.0, 2.0, 2.0, -np.inf])
    values = np.array([-np.inf, 0.0, 1.0, 2.0, 3.0, 9.0])
    literal = [np.mean(among < value) + np.mean(among == value) / 2 for value in values]
    assert percentiles(values, among) == pytest.approx(literal)
    assert percentiles(np.exp(values) - 9000, np.exp(among) - 9000) == pytest.approx(literal)


def test_only_the_last_told_count():
    from rbflex_evo.spaces import VectorEncoding

    world = World(VectorEncoding([5] * 4))
    genotypes = [(1, 1, 1, gene) for gene in (1, 2, 3, 4)]
    keys = [key_of(genotype) for genotype in genotypes]
    world.evaluate(genotypes)
    recent = Recent(2)
    recent.add(keys)
    utilities, shares = recent.worth(keys, world.view)
    assert utilities.tolist() == world.view.utility(keys).tolist()
    assert shares.tolist() == [1.0, 1.0, 0.75, 0.25]
    assert Recent(2, recent.to_json()).worth(keys, world.view)[1].tolist() == shares.tolist()
