"""A whole space by shared prefixes gives what its networks give one by one, in any number of pieces and processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.measuring.whole_space import score_all, subtrees
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.fitness.proxies.rbflex import kernels
from rbflex_evo.spaces import ConfigError, create_space

PROXIES = {"rbflex": create_proxy("rbflex", gamma="flat"), "naswot": create_proxy("naswot")}
SHARED = {"statistics": "image", "inputs": "data"}
OBSERVING = {
    **PROXIES,
    **{name: create_proxy(name) for name in ("layered", "swap", "meco")},
    **{name: create_proxy(name, **SHARED) for name in ("az_expressivity", "az_progressivity")},
}


def conditions(space, size=8, **settings):
    images = np.random.default_rng(0).standard_normal((4, 3, size, size)).astype("float32")
    return Conditions.of(space, Batch(torch.from_numpy(images)), device="cpu", **settings)


@pytest.mark.parametrize("distribution", ["pytorch", "xavier_normal"])
@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_a_walk_equals_one_by_one(backend, distribution):
    weights = WeightParameters(distribution=distribution)
    space = create_space("nats_sss")
    genotypes = [(1, 2, 0, 3, 1), (1, 2, 0, 3, 3), (1, 2, 0, 4, 0), (1, 2, 4, 0, 4), (2, 0, 0, 0, 0), (2, 0, 0, 0, 0)]
    measurer = Measurer(conditions(space, weights=weights, precision="float64", backend=backend))
    alone = measurer.measure([(genotype, PROXIES) for genotype in genotypes])
    for one, other in zip(measurer.walk(genotypes, PROXIES), alone, strict=True):
        assert one.failures == other.failures
        for name, statistics in other.statistics.items():
            for part, array in statistics.items():
                np.testing.assert_allclose(one.statistics[name][part], array, rtol=1e-9, atol=1e-9 * np.abs(array).max())


def test_a_walk_over_cells_equals_one_by_one():
    space = small_space()
    groups = subtrees(space)
    measurer = Measurer(conditions(space, precision="float64", backend="eager"))
    chosen = {"naswot": PROXIES["naswot"]}
    for prefix in ((0, 2), (1, 3), (2, 1), (3, 0), (4, 2)):
        genotypes = groups[prefix][:: max(1, len(groups[prefix]) // 20)]
        walked = measurer.walk(genotypes, chosen)
        alone = measurer.measure([(genotype, chosen) for genotype in genotypes])
        for one, other in zip(walked, alone, strict=True):
            np.testing.assert_array_equal(one.statistics["naswot"]["matches"], other.statistics["naswot"]["matches"])


def small_space():
    return create_space("nats_tss", channels=2, cells=1)


def test_a_whole_space_comes_in_pieces_that_can_be_left_out():
    space = create_space("nats_sss")
    groups = subtrees(space, 2)
    assert sum(map(len, groups.values())) == 32768
    assert all(len(group) == 512 and group == sorted(group) for group in groups.values())
    last = list(groups)[-1]
    done = [prefix for prefix in subtrees(space, 4) if prefix != (0, 0, 0, 1)]
    pieces = list(score_all(conditions(space, 4), PROXIES, workers=1, done=done, genes=4))
    assert [piece.prefix for piece in pieces] == [(0, 0, 0, 1)]
    assert pieces[0].genotypes.tolist() == [[0, 0, 0, 1, i] for i in range(8)]
    assert last == (7, 7)


# The second group has networks of different numbers of layers.
@pytest.mark.parametrize("chosen", [(0, 0, 0, 0), (3, 3, 2, 0)])
def test_dead_networks_have_no_score_and_others_have_that_of_a_single_one(chosen):
    space = small_space()
    done = [prefix for prefix in subtrees(space, 4) if prefix != chosen]
    (piece,) = score_all(conditions(space, 16), OBSERVING, workers=1, done=done, genes=4)
    measurer = Measurer(conditions(space, 16))
    values = {name: piece.values(name, proxy) for name, proxy in OBSERVING.items()}
    for i, genotype in enumerate(map(tuple, piece.genotypes)):
        single = measurer.measure([(genotype, OBSERVING)])[0]
        for name, proxy in OBSERVING.items():
            try:
                expected = single.failures[name] if name in single.failures else proxy.score(single.statistics[name])
            except CandidateFailed as failed:
                expected = str(failed)
            assert values[name][i] == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-5))
    dead = [isinstance(value, str) for value in values["rbflex"]]
    assert any(dead) == (chosen == (0, 0, 0, 0))
    assert np.isnan(piece.scores("rbflex", OBSERVING["rbflex"])).tolist() == dead


def test_two_processes_give_the_same_as_one():
    space = create_space("nats_sss")
    done = [prefix for prefix in subtrees(space, 4) if prefix not in [(0, 0, 0, 1), (0, 1, 0, 0), (1, 0, 0, 0)]]
    runs = [list(score_all(conditions(space), PROXIES, workers=count, done=done, genes=4)) for count in (1, 2)]
    for one, two in zip(*runs, strict=True):
        assert one.prefix == two.prefix
        for name, proxy in PROXIES.items():
            np.testing.assert_array_equal(one.scores(name, proxy), two.scores(name, proxy))


def test_what_has_no_plan_is_refused():
    with pytest.raises(ConfigError, match="no plan"):
        list(score_all(conditions(create_space("toy")), PROXIES, workers=1))
    with pytest.raises(ConfigError, match="synflow"):
        Measurer(conditions(small_space(), 16)).walk([(1,) * 6], {"synflow": create_proxy("synflow")})


@pytest.mark.parametrize("gamma", [None, 1e-12, 1e-3, 1.0])
def test_determinants_of_a_stack_are_those_of_its_matrices(gamma):
    rng = np.random.default_rng(0)
    rows = rng.random((6, 9, 40))
    rows[4, :, 5:] = 0  # fewer features than rows
    rows[5] = 0  # no distance at all
    grams = rows @ rows.transpose(0, 2, 1)
    kernel = kernels.Flat() if gamma is None else kernels.Rbf(gamma)
    found = kernel.log_determinants(kernels.NormalisedRows(grams, rows.sum(axis=2), np.full(6, 40)))
    for gram, value in zip(grams[:5], found[:5], strict=True):
        distances = kernels.squared_distances(gram)
        single = kernels.flat_log_determinants(distances) if gamma is None else kernels.rbf_log_determinants(distances, gamma)
        assert value == pytest.approx(single, rel=1e-9)
    assert np.isnan(found[5])
