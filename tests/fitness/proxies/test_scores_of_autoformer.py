"""Scores of AutoFormer networks: most give a number, and the others a reason."""

from __future__ import annotations

import numpy as np
import pytest

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, create_space
from tests.support.transformers import SMALL_AUTOFORMERS

NUMBERS = ["layered", "naswot", "swap", "synflow", "zico", "grad_norm", "az_expressivity", "params", "flops", "depth", "n_conv"]


@pytest.fixture(scope="module")
def space():
    return create_space("autoformer_tiny", **SMALL_AUTOFORMERS["autoformer_tiny"])


def measured(space, proxies, text="24: h2r4 h1r3.5"):
    measurer = Measurer(Conditions.of(space, Batch(space.example_inputs(6)), device="cpu"))
    return measurer.measure([(space.parse(text), proxies)])[0]


def test_scores_are_finite_numbers(space):
    proxies = {name: create_proxy(name).for_space(space) for name in NUMBERS} | {"rbflex": create_proxy("rbflex", gamma="flat")}
    found = measured(space, proxies)
    assert not found.failures
    scores = {name: proxy.score(found.statistics[name]) for name, proxy in proxies.items()}
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["depth"] == 2 + 2 * 4  # the patch embedding and the classifier, and four linear layers a layer
    assert scores["n_conv"] == 0  # that of the patches is 16 x 16


def test_the_activations_are_the_gelus_of_all_layers(space):
    network = space.build(space.parse("24: h2r4 h1r3.5 h1r4"))
    seen = []
    for layer in network.layers:
        layer.activation.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))
    network(space.example_inputs(2))
    assert seen == [(2, 5, 96), (2, 5, 84), (2, 5, 96)]
    proxy = create_proxy("layered")
    scores = [
        proxy.score(measured(space, {"layered": proxy}, text).statistics["layered"])
        for text in ("24: h2r4 h1r4", "24: h2r4 h1r4 h1r4")
    ]
    assert scores[0] < scores[1]


def test_meco_gives_a_reason_because_there_are_more_channels_than_tokens(space):
    proxy = create_proxy("meco")
    found = measured(space, {"meco": proxy})
    with pytest.raises(CandidateFailed, match="linearly independent channels"):
        proxy.score(found.statistics["meco"])


@pytest.mark.parametrize("name", ["nn_mass", "nn_degree", "linear_regions"])
def test_scores_of_cells_and_thin_networks_refuse_the_space(space, name):
    with pytest.raises(ConfigError, match="autoformer_tiny"):
        create_proxy(name).check(space)
