"""Every registered score gives a number, or a reason, for networks that pool, take pieces or put out pixels."""

from __future__ import annotations

import math

import pytest

from rbflex_evo.fitness import PROXIES, create_proxy
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import ConfigError, create_space

# What would take most of the time, in the smallest form that is one.
SMALL = {"linear_regions": {"inputs": 16, "batches": 1, "initialisations": 1}, "rbflex": {"gamma": "flat"}, "eproxy": {"steps": 1}}
NAMES = {"transnas_micro": ["64-41414-1_02_333", "64-41414-0_00_000"], "transnas_macro": ["64-2134-basic"]}
POOLED, PIECES, PIXELS = ("transnas_micro", "class_object"), ("transnas_micro", "jigsaw"), ("transnas_macro", "segmentsemantic")
# Scores that cannot be had of a form, and why; of all forms, those of Transformers.
TRANSFORMERS = {"mlp_ratio": "Transformer blocks"}
REFUSED = {("transnas_macro", "room_layout"): {"vkdnw": "is defined for classifiers"}}
FAILED = {
    PIECES: dict.fromkeys(("az_expressivity", "az_progressivity", "az_trainability"), "compares at least 2 blocks"),
    PIXELS: {"ni": "no pooling layer", "vkdnw": "wants one vector of logits an image"},
}


@pytest.mark.parametrize("form", [POOLED, PIECES, PIXELS, *REFUSED])
def test_every_score_is_a_finite_number_or_a_reason(form):
    name, task = form
    space = create_space(name, task=task, channels=2, size=32)
    proxies, refused = {}, {}
    for score in PROXIES.names():
        if form == PIECES and score in ("vkdnw", "eproxy"):  # a backward for each of the 1,000 permutations; a training
            continue
        proxy = create_proxy(score, **SMALL.get(score, {})).for_space(space)
        try:
            proxy.check(space)
            proxies[score] = proxy
        except ConfigError as error:
            refused[score] = str(error)
    reasons = REFUSED.get(form, {}) | TRANSFORMERS
    assert refused.keys() == reasons.keys()
    assert all(part in refused[score] for score, part in reasons.items())
    with Evaluator(Conditions.of(space, create_batch("noise", shape=[3, 32, 32], n=4)), proxies, workers=1) as evaluator:
        alive, *dead = evaluator.evaluate(keyed(evaluator, [space.parse(text) for text in NAMES[name]]))
    expected = FAILED.get(form, {})
    assert {score for score in proxies if score not in alive.scores} - {"ntk_cond"} == expected.keys()
    assert all(part in alive.failures[score] for score, part in expected.items())
    assert all(math.isfinite(value) for value in alive.scores.values())
    for evaluation in dead:  # no path from input to output
        assert "rbflex" in evaluation.failures
        assert all(math.isfinite(value) for value in evaluation.scores.values())
