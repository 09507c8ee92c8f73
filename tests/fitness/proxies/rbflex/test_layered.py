"""Layered RBFleX equals its definition: one kernel for each activation layer, by its spectrum or in the flat limit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from benchmarks.shared import literal_rbflex
from rbflex_evo.fitness import CandidateFailed, create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.rbflex.layered import LayeredObserver
from rbflex_evo.spaces import ConfigError, create_space

GAMMA = float(np.exp(-6))
IMAGES = create_batch("noise", shape=[3, 16, 16], n=8).images.double()


def literal_eigenvalues(rows):
    """Eigenvalues of -Z^T D Z of rows [N, L] by its definition."""
    n = len(rows)
    normalised = literal_rbflex.normalise(rows)
    distances = np.array([[((a - b) ** 2).sum() for b in normalised] for a in normalised])
    # The complement of the vector of ones, from any basis of the whole space that begins with it.
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    return np.linalg.eigvalsh(-basis.T @ distances @ basis)


def literal_determinant(rows, gamma):
    """log|-gamma Z^T D Z|, -infinity for equal rows."""
    values = literal_eigenvalues(rows)
    return -np.inf if values.max() <= 0 else np.log(gamma * np.maximum(values, 1e-5 * values.max())).sum()


def literal_spectrum(rows, gamma):
    """Logarithm of gamma times the units times the part of the rank that the images use, -infinity for equal rows."""
    values = [value for value in literal_eigenvalues(rows) if value > 0]
    parts = [value / sum(values) for value in values]
    rank = np.exp(-sum(part * np.log(part) for part in parts))
    return np.log(gamma * rows.shape[1] * rank / (len(rows) - 1)) if np.ptp(rows, axis=0).any() else -np.inf


TERMS = {"spectrum": literal_spectrum, "determinant": literal_determinant}


def literal_rows(space, genotype, images):
    """Rows [N, L] of each activation layer and of the features, from one image at a time in training mode."""
    network = build_initialised(space, genotype, WeightParameters()).double()
    maps = []
    handles = [
        m.register_forward_hook(lambda m, i, o: maps.append(o.numpy().ravel())) for m in network.modules() if type(m) is nn.ReLU
    ]
    features = []
    handles.append(space.classifier(network).register_forward_pre_hook(lambda m, i: features.append(i[0].numpy().ravel())))
    images_by_layer = []
    with torch.no_grad():
        for image in images:
            maps.clear()
            network.train()(image[None])
            images_by_layer.append([m.copy() for m in maps])
    return [np.stack(rows) for rows in zip(*images_by_layer, strict=True)], np.stack(features)


def literal_score(rows, form="spectrum", gamma=GAMMA, multiplicity=True, weight=2):
    """The score of the rows of each layer and of the features, from whole matrices."""
    layers, features = rows
    terms = [TERMS[form](layer, gamma) for layer in layers]
    if not multiplicity:
        terms = list(dict.fromkeys(np.round(terms, 9)))
    return sum(term for term in terms if np.isfinite(term)) + weight * TERMS[form](features, 1.0)


def evaluated(space, genotypes, **options):
    settings = {"workers": 1, "micro_batch": None} | {k: options.pop(k) for k in ("workers", "micro_batch") if k in options}
    images = create_batch("noise", shape=[3, 16, 16], n=8)
    with Evaluator(Conditions.of(space, images, **options), {"layered": create_proxy("layered")}, **settings) as evaluator:
        return [e.scores["layered"] for e in evaluator.evaluate(keyed(evaluator, genotypes))]


def observed(space, genotype, images=IMAGES):
    network = build_initialised(space, genotype, WeightParameters()).to(images.dtype)
    observer = LayeredObserver()
    run_observed(network, images, [observer], space.classifier(network))
    return observer.finish()


def some(space, count, seed=0):
    rng = np.random.default_rng(seed)
    found = {space.key(genotype): genotype for genotype in (space.encoding.sample(rng) for _ in range(20 * count))}
    live = [space.representative(key) for key in found]
    return [genotype for genotype in live if any(genotype)][:count]


@pytest.mark.parametrize(("name", "options"), [("nats_tss", {"channels": 8, "cells": 1}), ("nats_sss", {})])
def test_layered_equals_its_definition_in_float64(name, options):
    space = create_space(name, **options)
    for genotype in some(space, 3):
        statistics, rows = observed(space, genotype), literal_rows(space, genotype, IMAGES)
        for form, gamma in product(TERMS, (GAMMA, 1.0)):
            expected = literal_score(rows, form, gamma)
            assert create_proxy("layered", form=form, gamma=gamma).score(statistics) == pytest.approx(expected, rel=1e-6)


def test_a_map_of_several_layers_counts_once_or_with_multiplicity_once_a_layer():
    space = create_space("nats_tss", channels=8, cells=1)
    # Three convolutions read the input of the cell, each after a ReLU of its own.
    genotype = space.representative(space.key((3, 3, 0, 3, 3, 3)))
    statistics = observed(space, genotype)
    once, each = (create_proxy("layered", gamma=1.0, multiplicity=value).score(statistics) for value in (False, True))
    rows = literal_rows(space, genotype, IMAGES)
    assert once == pytest.approx(literal_score(rows, gamma=1.0, multiplicity=False), rel=1e-6)
    assert once < each


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_planned_forwards_alone_and_in_company_order_candidates_as_float64_does(name, backend):
    space = create_space(name, **({"channels": 8, "cells": 1} if name == "nats_tss" else {}))
    genotypes = some(space, 12)
    exact = [create_proxy("layered").score(observed(space, genotype)) for genotype in genotypes]
    for micro_batch in (1, 8):
        found = evaluated(space, genotypes, backend=backend, micro_batch=micro_batch)
        np.testing.assert_allclose(found, exact, rtol=1e-4)
        assert kendalltau(found, exact).statistic >= 0.999


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_planned_and_walked_forwards_equal_the_definition_in_float64(name, backend):
    space = create_space(name, **({"channels": 8, "cells": 1} if name == "nats_tss" else {}))
    genotypes, proxies = some(space, 4), {"layered": create_proxy("layered")}
    # The images are drawn in float32, as `IMAGES` are.
    batch = create_batch("noise", shape=[3, 16, 16], n=8)
    measurer = Measurer(Conditions.of(space, batch, precision="float64", backend=backend))
    requests = [(genotype, proxies) for genotype in genotypes]
    ways = {
        "alone": [measured for request in requests for measured in measurer.measure([request])],
        "together": measurer.measure(requests),
        "walked": measurer.walk(genotypes, proxies),
    }
    expected = [literal_score(literal_rows(space, genotype, IMAGES)) for genotype in genotypes]
    for way, found in ways.items():
        scores = [proxies["layered"].score(one.statistics["layered"]) for one in found]
        assert scores == pytest.approx(expected, rel=1e-6), way


def test_a_layer_in_which_all_images_are_equal_is_left_out():
    rows = torch.rand(5, 40, generator=torch.Generator().manual_seed(0))
    plain, with_dead = LayeredObserver(), LayeredObserver()
    for observer, layers in ((plain, [rows]), (with_dead, [rows, torch.ones(5, 7)])):
        for layer in layers:
            observer.activation("layer", layer)
        observer.features(rows, torch.tensor(1.0))
    scores = [create_proxy("layered").score(observer.finish()) for observer in (plain, with_dead)]
    assert scores[0] == scores[1]


def test_a_deeper_network_scores_higher_unless_gamma_is_tiny():
    layers = [torch.rand(6, 50, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    shallow, deep = LayeredObserver("k"), LayeredObserver("k")
    for observer, seen in ((shallow, layers[:1]), (deep, layers)):
        for layer in seen:
            observer.activation("layer", layer)
    one, three = shallow.finish(), deep.finish()
    assert create_proxy("layered", gamma=1.0).score(three) > create_proxy("layered", gamma=1.0).score(one)
    assert create_proxy("layered", gamma=1e-12).score(three) < create_proxy("layered", gamma=1e-12).score(one)


def test_features_that_carry_no_information_are_left_out():
    space = create_space("darts", channels=4, layers=4)
    assert create_proxy("layered").for_space(space).parts == "k"
    assert create_proxy("layered").for_space(create_space("nats_tss")).parts == "kq"
    assert create_proxy("layered").identity != create_proxy("layered").for_space(space).identity


def test_changing_a_parameter_costs_no_forward():
    proxies = [
        create_proxy("layered", **values)
        for values in ({}, {"form": "determinant"}, {"gamma": 0.5}, {"multiplicity": False}, {"features": 0})
    ]
    assert all(proxy.identity == proxies[0].identity for proxy in proxies)
    statistics = observed(create_space("nats_sss"), (7, 7, 7, 7, 7))
    assert len({proxy.score(statistics) for proxy in proxies}) == 5


def test_a_network_without_a_path_fails_with_that_reason():
    space = create_space("nats_tss", channels=4, cells=1)
    with pytest.raises(CandidateFailed, match="no path from input to output"):
        observed(space, (0,) * 6)


@pytest.mark.parametrize("gamma", [0.0, -1.0, "flat"])
def test_a_wrong_gamma_is_a_one_line_error(gamma):
    with pytest.raises(ConfigError, match="gamma") as caught:
        create_proxy("layered", gamma=gamma)
    assert "\n" not in str(caught.value)
