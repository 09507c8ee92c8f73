"""Scores of PiT and FlexiBERT networks: those that share a forward give numbers, and the others a reason."""

from __future__ import annotations

import numpy as np
import pytest

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, create_space
from tests.support.transformers import SMALL_TRANSFORMERS

NETWORKS = {"pit": "4r3: d2h1 d2h2 d1h4", "flexibert": "16: SA-WMA-4-16-3;LT-DFT-2-12-1;LT-DCT-4-12-1;DSC-5-2-16-3"}
ROBUST = PRESETS.get("rbflex_robust").proxies
SCORES = {**ROBUST, "rbflex": {"gamma": "flat"}, "naswot": {}, "swap": {}, "depth": {}, "synflow": {}, "grad_norm": {}}


def measured(space, text, scores):
    proxies = {name: create_proxy(name, **values).for_space(space) for name, values in scores.items()}
    measurer = Measurer(Conditions.of(space, Batch(space.example_inputs(6)), device="cpu"))
    found = measurer.measure([(space.parse(text), proxies)])[0]
    assert not found.failures
    return {name: proxy.score(found.statistics[name]) for name, proxy in proxies.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_finite_numbers(name):
    space = create_space(name, **SMALL_TRANSFORMERS[name])
    scores = measured(space, NETWORKS[name], SCORES)
    assert all(np.isfinite(value) for value in scores.values()), scores
    if name == "pit":
        assert scores["depth"] == 1 + 5 * 4 + 2 + 1  # patches, four linear layers a layer, two poolings, the classifier


@pytest.mark.parametrize("name", NETWORKS)
def test_the_activations_are_the_gelus(name):
    space = create_space(name, **SMALL_TRANSFORMERS[name])
    measurer = Measurer(Conditions.of(space, Batch(space.example_inputs(6)), device="cpu"))
    proxy = create_proxy("layered")
    found = measurer.measure([(space.parse(NETWORKS[name]), {"layered": proxy})])[0]
    layers = {"pit": 5, "flexibert": 3 + 1 + 1 + 3}
    assert len(found.statistics["layered"]["units"]) == layers[name]


@pytest.mark.parametrize("score", ["zen", "ni", "jacob_cov", "dextr"])
def test_scores_that_move_their_inputs_refuse_words(score):
    with pytest.raises(ConfigError, match="the inputs of flexibert are words"):
        create_proxy(score).check(create_space("flexibert"))
