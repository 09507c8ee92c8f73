"""Networks that run side by side, as on an accelerator, have the statistics that each has alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import score_block
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.chains.stacked_forward import StackedForward, stackable
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import SPACES, ConfigError, create_space
from rbflex_evo.spaces.architecture.chain import Stage, chain_of, run_chain
from rbflex_evo.spaces.families.inverted_residuals.nas_bench_macro import NasBenchMacroSpace
from tests.fitness.passes.test_shared_forward import SMALL, Counting, counted

FORMS = SMALL | {"nats_tss": {"channels": 4, "cells": 1}, "nats_sss": {}, "nasbench101": {"channels": 8}}
for task in ("macro", "micro"):
    FORMS[f"transnas_{task}"] = {**FORMS[f"transnas_{task}"], "size": 32}
# Spaces of which 32 candidates, alone and together, take longer than five seconds.
LARGE = {"models", "nds_amoeba", "nds_enas", "nds_nasnet", "nds_pnas", "transnas_macro", "transnas_micro"}
# Pixels of the images, where networks take images of any size.
PIXELS = 16
# What the others run side by side: planned forwards, or nothing, because their networks are no chains of stages.
PLANNED = {"nats_tss", "nats_sss"}
NO_CHAINS = {"choices", "family", "models", "nasbench101", "toy"}
SCORES = {name: create_proxy(name) for name in ("layered", "naswot")} | {"rbflex": create_proxy("rbflex", gamma="flat")}
MORE = SCORES | {
    "batch": create_proxy("naswot", statistics="batch"),
    "swap": create_proxy("swap"),
    "meco": create_proxy("meco"),
    "blocks": create_proxy("az_expressivity", statistics="image", inputs="data"),
    "repaired": create_proxy("naswot", repair="layer_norm"),
}


def inputs(space):
    shape = (3, PIXELS, PIXELS) if space.inputs == "images" and space.any_size else None
    return space.example_inputs(4, input_shape=shape)


def measurer(space, together, precision="float32"):
    conditions = Conditions.of(space, Batch(inputs(space)), device="cpu", precision=precision, backend="eager")
    one = Measurer(conditions)
    one.together = together
    return one


def genotypes(space, count):
    rng = np.random.default_rng(5)
    return [space.representative(space.key(space.encoding.sample(rng))) for _ in range(count)]


def served(space, proxies):
    """Returns the scores that the space has."""
    found = {}
    for name, proxy in proxies.items():
        try:
            proxy.check(space)
        except ConfigError:
            continue
        found[name] = proxy.for_space(space)
    return found


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in SPACES.names()])
def test_32_candidates_in_one_call_are_ordered_as_alone(name):
    space = create_space(name, **FORMS.get(name, {}))
    proxies = served(space, SCORES)
    requests = [(genotype, proxies) for genotype in genotypes(space, 32)]
    one = measurer(space, together=False)
    alone = [one.measure([request])[0] for request in requests]
    together = measurer(space, together=True).measure(requests)
    for proxy in proxies:
        there = [i for i in range(32) if proxy in alone[i].statistics]
        assert there == [i for i in range(32) if proxy in together[i].statistics]
        pairs = [score_block(proxies[proxy], [found[i].statistics[proxy] for i in there]) for found in (alone, together)]
        scores = [[six_digits(score) for score in row if not isinstance(score, str)] for row in pairs]
        if len(set(scores[0])) > 1:
            assert kendalltau(*scores).statistic >= 0.999


@pytest.mark.parametrize("name", [name for name in SPACES.names() if name not in {"toy", "family", "models", "choices"}])
def test_statistics_of_candidates_side_by_side_equal_those_alone_in_double_precision(name):
    space = create_space(name, **FORMS.get(name, {}))
    proxies = served(space, MORE)
    requests = [(genotype, proxies) for genotype in genotypes(space, 4)]
    one = measurer(space, together=False, precision="float64")
    together = measurer(space, together=True, precision="float64").measure(requests)
    for request, found in zip(requests, together, strict=True):
        alone = one.measure([request])[0]
        assert found.failures == alone.failures
        assert found.statistics.keys() == alone.statistics.keys()
        for proxy, statistics in alone.statistics.items():
            for part, array in statistics.items():
                scale = np.nanmax(np.abs(array), initial=0.0)
                np.testing.assert_allclose(found.statistics[proxy][part], array, rtol=1e-7, atol=1e-9 * scale)


def test_networks_of_every_space_but_a_few_are_chains_that_run_side_by_side():
    with torch.device("meta"):
        spaces = {name: create_space(name, **FORMS.get(name, {})) for name in SPACES.names()}
        there = {name for name, space in spaces.items() if stackable(space.build(genotypes(space, 1)[0]))}
    assert set(SPACES.names()) - there == PLANNED | NO_CHAINS


@pytest.mark.parametrize("name", sorted(set(SPACES.names()) - PLANNED - NO_CHAINS))
def test_forwards_of_chains_are_served_side_by_side_but_for_those_of_repairs(name):
    space = create_space(name, **FORMS[name])
    proxies = served(space, MORE)
    one, tile, observed = measurer(space, together=True), [(genotype, proxies) for genotype in genotypes(space, 2)], [{}, {}]
    one._run_stacked(tile, observed, {i: one._subject(*request, {}) for i, request in enumerate(tile)})
    assert [set(found) for found in observed] == [{name for name, proxy in proxies.items() if proxy.repair is None}] * 2


class Built(NasBenchMacroSpace):
    """A space that counts the networks that it builds."""

    count = 0

    def build(self, genotype):
        self.count += 1
        return super().build(genotype)


def test_a_network_is_built_once_for_scores_that_share_a_forward_and_scores_with_passes_of_their_own():
    space = Built(Built.Parameters(channels=4))
    proxies = {name: create_proxy(name) for name in ("naswot", "synflow", "meco")}
    requests = [(genotype, proxies) for genotype in genotypes(space, 5)]
    together = measurer(space, together=True).measure(requests)
    assert space.count == 5
    for request, found in zip(requests, together, strict=True):
        alone = measurer(space, together=False).measure([request])[0]
        assert found.failures == alone.failures
        for part, array in alone.statistics["synflow"].items():
            np.testing.assert_array_equal(found.statistics["synflow"][part], array)


def images():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype("float32"))


def test_each_stage_runs_once_for_all_candidates_that_wait_for_it_with_inputs_in_common_computed_once():
    ran: list[int] = []

    class Noting(Counting):
        """Notes the number of images of each stage."""

        def as_stages(self):
            def noting(stage):
                def run(x):
                    ran.append(len(x) // 4)
                    return stage.run(x)

                return Stage(stage.identity, run)

            return [noting(stage) for stage in super().as_stages()]

    codes = ["aaa", "aab", "aba", "bbb"]
    networks = []
    for code in codes:
        network = Noting(code, [])
        network.load_state_dict(counted(code, []).state_dict())
        networks.append(network)
    seen = [create_proxy("naswot").observer() for _ in codes]
    runs = StackedForward(images()).run(networks, [network.classifier for network in networks], [[one] for one in seen])
    # 0_a and 0_b read the images, 1_a and 1_b the maps of the two candidates before, 2_a those of 1_a and of 1_b, ...
    assert runs == len(ran) == 7
    assert ran == [1, 1, 1, 2, 2, 2, 4]
    for code, observer in zip(codes, seen, strict=True):
        network, alone = counted(code, []), create_proxy("naswot").observer()
        run_observed(network, images(), [alone], network.classifier)
        np.testing.assert_array_equal(observer.finish()["matches"], alone.finish()["matches"])


def test_candidates_of_other_depths_wait_for_each_other():
    space = create_space("nds_resnet", depths=[1, 3], widths=[8])
    networks = [build_initialised(space, genotype, WeightParameters()) for genotype in genotypes(space, 12)]
    distinct = {stage.identity for network in networks for stage in chain_of(network)}
    seen = [[create_proxy("naswot").observer()] for _ in networks]
    runs = StackedForward(images()).run(networks, [space.classifier(network) for network in networks], seen)
    assert runs == len(distinct) < sum(len(chain_of(network)) for network in networks)


class Plain(nn.Module):
    """One convolution, whose output the network changes or hides from the classifier."""

    def __init__(self, fault="none"):
        super().__init__()
        self.fault = fault
        self.convolution, self.classifier = nn.Conv2d(3, 3, 3), nn.Linear(3, 2)

    def as_stages(self):
        if self.fault == "in place":
            return [Stage(self.fault, lambda x: x.mul_(2)), Stage("head", self.head)]
        return [Stage("convolution", self.convolution), Stage(("head", self.fault), self.head)]

    def head(self, x):
        means = torch.relu(x).mean((2, 3))
        return means if self.fault == "no classifier" else self.classifier(means)

    def forward(self, x):
        return run_chain(self.as_stages(), x)


def run_plain(*faults):
    networks = [Plain(fault) for fault in faults]
    seen = [[create_proxy("naswot").observer()] for _ in networks]
    return StackedForward(images()).run(networks, [network.classifier for network in networks], seen)


def test_a_network_that_never_calls_its_classifier_fails():
    with pytest.raises(CandidateFailed, match="the classifier was never called in the forward"):
        run_plain("none", "no classifier")


def test_a_stage_that_changes_what_others_read_is_an_error():
    with pytest.raises(ConfigError, match="stage 'in place' changes its input in place; return a new tensor"):
        run_plain("in place", "none")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", SPACES.names())
def test_a_card_orders_candidates_as_the_processor_does(name):
    space = create_space(name, **FORMS.get(name, {}))
    proxies = served(space, SCORES)
    requests = [(genotype, proxies) for genotype in genotypes(space, 16)]
    batch = Batch(inputs(space))
    found = [Measurer(Conditions.of(space, batch, device=device)).measure(requests) for device in ("cpu", "cuda")]
    for proxy in proxies:
        there = [i for i in range(16) if all(proxy in results[i].statistics for results in found)]
        scores = [score_block(proxies[proxy], [results[i].statistics[proxy] for i in there]) for results in found]
        np.testing.assert_allclose(*np.array(scores, float), rtol=1e-2)
