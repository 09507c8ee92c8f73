"""Every registered score keeps the contract, says which way is better, and gives a network one number in any process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from rbflex_evo.fitness import PROXIES, create_proxy
from rbflex_evo.fitness.conformance.check_proxy import check_proxy
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import create_space

# What the slow ones are checked with; elsewhere each runs as it is.
QUICK = {
    "eproxy": {"steps": 2, "channels": 16},
    "linear_regions": {"inputs": 50, "batches": 1, "initialisations": 1},
    "vkdnw": {"layers": 8},
}
# Scores of Transformers, which are checked on one; elsewhere they are refused.
TRANSFORMERS = {"mlp_ratio"}
BERT = {"layers": 2, "hidden": 12, "heads": 2, "length": 6, "vocabulary": 40, "per_layer": True}
# No path from input to output.
DEAD = (0,) * 6


@cache
def space():
    return create_space("nats_tss", channels=4, cells=1)


@cache
def batch():
    return create_batch("noise", shape=[3, 16, 16], n=8)


def evaluated(name, genotypes):
    """(score or None, reason or None) of each genotype, by the evaluator."""
    with Evaluator(Conditions.of(space(), batch()), {name: create_proxy(name)}, workers=1) as evaluator:
        return [(e.scores.get(name), e.failures.get(name)) for e in evaluator.evaluate(keyed(evaluator, genotypes))]


@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_says_which_way_is_better(name):
    proxy = PROXIES.get(name)
    assert proxy.name == name
    assert "higher is better" in (proxy.__doc__ or "")


@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_keeps_the_contract(name):
    spaces = [create_space("nafbee_bert", **BERT)] if name in TRANSFORMERS else None
    check_proxy(create_proxy(name, **QUICK.get(name, {})), spaces)


def all_scores():
    """Six-digit scores or reasons of three cells by every score, as JSON data."""
    return {name: evaluated(name, [space().at(9930), space().at(0), DEAD]) for name in PROXIES.names() if name not in TRANSFORMERS}


@pytest.mark.slow
def test_another_process_with_another_hash_seed_gives_the_same_scores():
    program = "import json; from tests.fitness.proxies.test_score_contract import all_scores; print(json.dumps(all_scores()))"
    environment = {**os.environ, "PYTHONHASHSEED": "4321", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == json.loads(json.dumps(all_scores()))
