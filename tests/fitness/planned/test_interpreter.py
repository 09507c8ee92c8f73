"""A planned forward gives the statistics of the built network's, alone and beside other candidates, eager and compiled."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.planned.backends import create_backend
from rbflex_evo.fitness.planned.common_beginnings import CommonBeginnings
from rbflex_evo.fitness.planned.interpreter import Interpreter
from rbflex_evo.fitness.planned.native import find_compiler
from rbflex_evo.fitness.proxies.naswot import NaswotObserver
from rbflex_evo.fitness.proxies.rbflex.score import RbflexObserver
from rbflex_evo.spaces import create_space

CPU = torch.device("cpu")
WEIGHTS = WeightParameters(seed=3)
BACKENDS = [
    "eager",
    pytest.param("compiled", marks=pytest.mark.skipif(find_compiler() is None, reason="this machine has no C compiler")),
]
SPACES = {"nats_tss": {"channels": 6, "cells": 2}, "nats_sss": {}}
# A 2 x 2 map pooled 3 x 3 is constant and normalises to round-off, so the last stage of nats_tss gets 4 x 4.
SIZES = {"nats_tss": 16, "nats_sss": 8}


def noise(n, size, dtype):
    return torch.from_numpy(np.random.default_rng(1).standard_normal((n, 3, size, size))).to(dtype)


def representatives(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.representative(space.key(space.encoding.sample(rng))) for _ in range(count)]


def interpreter(space, dtype, backend="eager", convolutions=None):
    return Interpreter(WEIGHTS, space.weight_shapes(), CPU, dtype, create_backend(backend, CPU, dtype, convolutions or dtype))


def planned(space, genotypes, images, backend="eager", kinds=(RbflexObserver, NaswotObserver), statistics_of="image"):
    observers = [[kind() for kind in kinds] for _ in genotypes]
    plans = [space.plan(genotype, images.shape[1:]) for genotype in genotypes]
    interpreter(space, images.dtype, backend).run(plans, images, observers, statistics_of)
    return observers


def built(space, genotype, images, kinds=(RbflexObserver, NaswotObserver), convolutions=None, statistics_of="image"):
    network = build_initialised(space, genotype, WEIGHTS).to(images.dtype)
    observers = [kind() for kind in kinds]
    run_observed(network, images, observers, space.classifier(network), statistics_of, convolutions=convolutions)
    return observers


def distances(gram):
    norms = np.diagonal(gram)
    return norms[:, None] + norms[None, :] - 2 * gram


def outcome(observer):
    """The statistics, or the reason why there are none in their place."""
    try:
        return observer.finish()
    except CandidateFailed as failed:
        return {str(failed): np.zeros(1)}


def assert_equal_in_float64(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        mine, theirs = outcome(mine), outcome(theirs)
        assert mine.keys() == theirs.keys()
        for name in theirs:
            scale = np.abs(theirs[name]).max()
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-9, atol=1e-9 * scale, err_msg=name)


def assert_equal_in_float32(found, expected):
    """Rounding of float32 differs: 1e-5 of X's largest distance, 1e-4 of that of Y, which a few hundred columns make up."""
    mine, theirs = outcome(found[0]), outcome(expected[0])
    assert mine.keys() == theirs.keys()
    for part, tolerance in (("k", 1e-5), ("q", 1e-4)) if "k_gram" in theirs else ():
        assert mine[f"{part}_length"] == theirs[f"{part}_length"]
        near, far = distances(mine[f"{part}_gram"]), distances(theirs[f"{part}_gram"])
        np.testing.assert_allclose(near, far, rtol=0, atol=tolerance * far.max() + 1e-12)
    # An input of a ReLU that is 0 but for rounding may fall on either side.
    mine, theirs = found[1].finish()["matches"], expected[1].finish()["matches"]
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SPACES)
def test_a_plan_equals_the_built_network_in_float64(name, backend):
    space = create_space(name, **SPACES[name])
    images = noise(5, SIZES[name], torch.float64)
    for genotype in representatives(space, 5):
        assert_equal_in_float64(planned(space, [genotype], images, backend)[0], built(space, genotype, images))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SPACES)
def test_a_plan_with_the_batchs_statistics_equals_the_built_network_alone_and_in_company(name, backend):
    space = create_space(name, **SPACES[name])
    images = noise(3, SIZES[name], torch.float64)
    genotypes = representatives(space, 4)
    expected = [built(space, genotype, images, statistics_of="batch") for genotype in genotypes]
    together = planned(space, genotypes, images, backend, statistics_of="batch")
    for genotype, wanted, beside in zip(genotypes, expected, together, strict=True):
        assert_equal_in_float64(planned(space, [genotype], images, backend, statistics_of="batch")[0], wanted)
        assert_equal_in_float64(beside, wanted)


def test_forwards_by_images_and_by_the_batch_share_no_beginnings():
    space = create_space("nats_tss", channels=16, cells=1)
    images, genotype = noise(4, 8, torch.float64), (3, 2, 4, 1, 3, 2)
    used = interpreter(space, torch.float64)
    for statistics_of in ("image", "batch", "image", "batch"):
        observers = [RbflexObserver(), NaswotObserver()]
        used.run([space.plan(genotype, (3, 8, 8))], images, [observers], statistics_of)
        assert_equal_in_float64(observers, built(space, genotype, images, statistics_of=statistics_of))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SPACES)
def test_a_plan_equals_the_built_network_in_float32(name, backend):
    space = create_space(name, **SPACES[name])
    images = noise(6, 16, torch.float32)
    for genotype in representatives(space, 6, seed=1):
        assert_equal_in_float32(planned(space, [genotype], images, backend)[0], built(space, genotype, images))


@pytest.mark.parametrize("name", SPACES)
def test_each_operation_alone_and_dead_cells_equal_the_built_network(name):
    space = create_space(name, **SPACES[name])
    images = noise(4, SIZES[name], torch.float64)
    if name == "nats_sss":
        genotypes = [(0,) * 5, (0, 4, 0, 4, 0), (4, 0, 4, 0, 4)]
    else:
        genotypes = [(0,) * 6, *((0, 0, 0, op, 0, 0) for op in (1, 2, 3, 4)), (1, 1, 1, 1, 1, 1), (1, 0, 4, 0, 0, 1)]
    for genotype in genotypes:
        assert_equal_in_float64(planned(space, [genotype], images)[0], built(space, genotype, images))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [4, 12, 20])
def test_maps_of_one_pixel_and_of_odd_sizes_equal_the_built_network(size, backend):
    space = create_space("nats_tss", channels=5, cells=1)
    images = noise(3, size, torch.float64)
    for genotype in ((3, 2, 0, 1, 3, 2), (2, 3, 1, 0, 0, 3), (1, 0, 0, 3, 2, 0)):
        assert_equal_in_float64(planned(space, [genotype], images, backend)[0], built(space, genotype, images))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SPACES)
def test_candidates_in_one_launch_equal_candidates_alone(name, backend):
    space = create_space(name, **SPACES[name])
    images = noise(4, SIZES[name], torch.float64)
    genotypes = representatives(space, 6, seed=2)
    genotypes += genotypes[:2]
    if name == "nats_tss":
        genotypes += [(0,) * 6, (1,) * 6]
    together = planned(space, genotypes, images, backend)
    for genotype, found in zip(genotypes, together, strict=True):
        assert_equal_in_float64(found, planned(space, [genotype], images, backend)[0])


def test_candidates_in_one_launch_equal_candidates_alone_in_float32():
    space = create_space("nats_tss", channels=8, cells=2)
    images = noise(6, 16, torch.float32)
    genotypes = representatives(space, 10, seed=5)
    for genotype, found in zip(genotypes, planned(space, genotypes, images), strict=True):
        assert_equal_in_float32(found, planned(space, [genotype], images)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dead_cell_fails_for_the_reason_that_the_built_network_gives(backend):
    space = create_space("nats_tss", channels=8, cells=1)
    images = noise(4, 8, torch.float32)
    for kind, observer in (("rbflex", 0), ("naswot", 1)):
        reasons = []
        for observers in (planned(space, [(0,) * 6], images, backend)[0], built(space, (0,) * 6, images)):
            with pytest.raises(CandidateFailed) as failed:
                create_proxy(kind, **({"gamma": "flat"} if kind == "rbflex" else {})).score(observers[observer].finish())
            reasons.append(str(failed.value))
        assert reasons[0] == reasons[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_nan_and_infinity_never_hide(poison, backend):
    space = create_space("nats_tss", channels=8, cells=1)
    images = noise(4, 8, torch.float32)
    images[2, 1, 3, 3] = poison
    for observer in planned(space, [(0, 0, 0, 3, 0, 0)], images, backend)[0]:
        with pytest.raises(CandidateFailed, match="NaN or infinity"):
            observer.finish()


class Units(Observer):
    """A foreign observer that knows of no reductions."""

    def __init__(self):
        self.count = 0
        self.total = 0.0

    def activation(self, name, output, multiplicity=1):
        self.count += multiplicity * output[0].numel()
        self.total += multiplicity * float(output.sum())

    def finish(self):
        return {"count": np.array(self.count), "total": np.array(self.total)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_observer_without_reductions_sees_the_same(backend):
    space = create_space("nats_tss", channels=8, cells=1)
    images = noise(4, 8, torch.float64)
    genotypes = representatives(space, 5, seed=3)
    for genotype, found in zip(genotypes, planned(space, genotypes, images, backend, (Units,)), strict=True):
        assert_equal_in_float64(found, built(space, genotype, images, (Units,)))


@pytest.mark.parametrize("n", [2, 3, 7, 16])
def test_both_backends_reduce_any_number_of_images_to_the_same_sums(n):
    if find_compiler() is None:
        pytest.skip("this machine has no C compiler")
    # Wide enough for every convolution that has a compiled form.
    space = create_space("nats_tss", channels=16, cells=1)
    images = noise(n, 12, torch.float64)
    genotype = (3, 2, 4, 1, 3, 2)
    assert_equal_in_float64(planned(space, [genotype], images, "compiled")[0], planned(space, [genotype], images)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_bit_depends_on_the_candidates_before(backend):
    space = create_space("nats_tss", channels=16, cells=1)
    images, others = noise(4, 8, torch.float32), noise(4, 8, torch.float32) + 1
    genotypes = [(3, 2, 4, 1, 3, 2), (3, 2, 0, 1, 3, 2), (1, 2, 4, 3, 0, 3), (2, 1, 3, 3, 3, 3), (3, 1, 1, 3, 4, 2)]
    alone = [[outcome(one) for one in planned(space, [genotype], images, backend)[0]] for genotype in genotypes]
    used = interpreter(space, torch.float32, backend)
    for given in (images, others, images):
        for genotype, expected in zip(genotypes, alone, strict=True):
            observers = [RbflexObserver(), NaswotObserver()]
            used.run([space.plan(genotype, (3, 8, 8))], given, [observers])
            found = [outcome(one) for one in observers]
            equal = all(np.array_equal(a[name], b[name]) for a, b in zip(found, expected, strict=True) for name in a)
            assert equal == (given is images)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_too_large_to_be_kept_gives_the_same_bits(backend):
    space = create_space("nats_tss", channels=16, cells=1)
    images, genotype = noise(4, 8, torch.float32), (3, 2, 4, 1, 3, 2)
    used = interpreter(space, torch.float32, backend)
    expected = [outcome(one) for one in planned(space, [genotype], images, backend)[0]]
    used.beginnings = CommonBeginnings(memory=0)
    for _ in range(2):
        observers = [RbflexObserver(), NaswotObserver()]
        used.run([space.plan(genotype, (3, 8, 8))], images, [observers])
        for found, wanted in zip(map(outcome, observers), expected, strict=True):
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_images_changed_in_place_are_other_images():
    space = create_space("nats_tss", channels=8, cells=1)
    images, genotype = noise(4, 8, torch.float32), (3, 2, 4, 1, 3, 2)
    used = interpreter(space, torch.float32)
    grams = []
    for _ in range(2):
        observer = RbflexObserver()
        used.run([space.plan(genotype, (3, 8, 8))], images, [[observer]])
        grams.append(observer.finish()["k_gram"])
        images.mul_(torch.linspace(0.5, 2, 4).view(4, 1, 1, 1))
    assert not np.array_equal(*grams)


def test_what_is_kept_of_common_beginnings_fits_its_memory():
    kept = CommonBeginnings(memory=1000)
    maps = [torch.zeros(25) for _ in range(20)]
    for position, one in enumerate(maps):
        kept.keep(position, one, [one])
    assert [position for position in range(20) if kept.get(position) is not None] == list(range(10, 20))
    kept.keep("large", torch.zeros(100), [torch.zeros(100)])
    assert kept.get("large") is None
    assert kept.get(19) is maps[19]


def terms(kinds, dtype, shape=(3, 4, 6, 5)):
    made = torch.Generator().manual_seed(len(kinds))
    return [torch.randn(shape, generator=made, dtype=dtype).contiguous(memory_format=torch.channels_last) for _ in kinds]


def literal_term(kind, x):
    if kind == "norm":
        return torch.nn.functional.instance_norm(x)
    return x if kind == "alias" else torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_sum_is_that_of_its_terms_and_leaves_them_as_they_are(backend, dtype):
    chosen = create_backend(backend, CPU, dtype, dtype)
    for kinds in [p for count in range(1, 4) for p in itertools.product(("alias", "norm", "pool"), repeat=count)]:
        inputs = terms(kinds, dtype)
        copies = [x.clone() for x in inputs]
        expected = sum(map(literal_term, kinds, inputs))
        for value, active in ((True, True), (True, False), (False, True)):
            made = chosen.combine(kinds, inputs, tuple(inputs[0].shape), dtype, CPU, value=value, active=active)
            assert (made.value is not None, made.active is not None) == (value, active)
            if made.value is not None:
                torch.testing.assert_close(made.value, expected, rtol=1e-5, atol=1e-5)
            if made.active is not None:
                torch.testing.assert_close(made.active, expected.relu(), rtol=1e-5, atol=1e-5)
            assert all(map(torch.equal, inputs, copies))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 3, 1, 5), (2, 1, 4, 1), (1, 1, 2, 2), (2, 16, 3, 8)])
def test_pooling_averages_what_lies_inside_maps_of_any_shape(backend, shape):
    (x,) = terms(["pool"], torch.float32, shape)
    chosen = create_backend(backend, CPU, torch.float32, torch.float32)
    made = chosen.combine(["pool"], [x], shape, torch.float32, CPU, value=True, active=False)
    torch.testing.assert_close(made.value, literal_term("pool", x))


def test_weights_that_do_not_fit_are_prepared_again():
    space = create_space("nats_tss", channels=8, cells=1)
    images = noise(4, 8, torch.float64)
    genotype = (3, 2, 4, 1, 3, 2)
    small = Interpreter(WEIGHTS, {}, CPU, torch.float64, create_backend("eager", CPU, torch.float64, torch.float64), memory=0)
    for _ in range(2):
        observers = [RbflexObserver(), NaswotObserver()]
        small.run([space.plan(genotype, (3, 8, 8))], images, [observers])
        assert_equal_in_float64(observers, built(space, genotype, images))


def test_global_random_state_and_the_images_stay():
    space = create_space("nats_tss", channels=8, cells=1)
    images = noise(4, 8, torch.float32)
    copy, state = images.clone(), torch.random.get_rng_state()
    planned(space, representatives(space, 3), images)
    assert torch.equal(images, copy)
    assert torch.equal(torch.random.get_rng_state(), state)
