"""Every registered score says what it is, never raises, changes nothing, and gives a network one number."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fitness import PROXIES, create_proxy
from fitness.batches import create_batch
from fitness.evaluator import Evaluator
from fitness.forward import run_observed
from fitness.initialise import WeightParameters
from fitness.proxy import CandidateFailed
from fitness.subject import Subject
from spaces import create_space

ROOT = Path(__file__).parents[2]
# Random cells, then one without a path from input to output and one without weights.
CELLS = 18
DEAD, SKIPS = (0,) * 6, (1,) * 6


@cache
def space():
    return create_space("nats_tss", channels=4, cells=1)


@cache
def batch():
    return create_batch("noise", shape=[3, 16, 16], n=8)


def cells():
    rng = np.random.default_rng(11)
    return [*(space().encoding.sample(rng) for _ in range(CELLS)), DEAD, SKIPS]


def evaluated(name, genotypes):
    """(score or None, reason or None) of each genotype, by the evaluator."""
    with Evaluator(space(), {name: create_proxy(name)}, batch(), workers=1) as evaluator:
        return [(e.scores.get(name), e.failures.get(name)) for e in evaluator.evaluate(genotypes)]


def measured(name, subject):
    """The statistics of one network, or the reason why there are none, on `subject.network` itself."""
    proxy = create_proxy(name)
    try:
        if proxy.needs == "network":
            return {key: np.asarray(value) for key, value in proxy.measure(subject).items()}
        observer = proxy.observer()
        run_observed(subject.network, subject.images, [observer], subject.classifier, proxy.statistics_of, proxy.layers)
        return observer.finish()
    except CandidateFailed as failed:
        return {"failed": np.array(str(failed))}


def subject_of(genotype):
    return Subject(space(), genotype, batch().images, batch().labels, WeightParameters())


def global_states():
    return random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state().tolist()


@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_says_what_it_is_and_which_way_is_better(name):
    proxy = PROXIES.get(name)
    assert proxy.name == name
    assert proxy.description and "\n" not in proxy.description
    assert proxy.cost in ("data-free", "forward", "backward")
    assert proxy.needs in ("forward", "network")
    assert "higher is better" in (proxy.__doc__ or "")


@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_is_a_finite_number_or_a_reason_for_every_cell(name):
    genotypes = cells()
    for genotype, (score, failure) in zip(genotypes, evaluated(name, genotypes), strict=True):
        if failure is None:
            assert isinstance(score, float) and math.isfinite(score), genotype
        else:
            assert score is None and failure.strip(), genotype


@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_changes_no_weight_buffer_mode_gradient_or_global_generator(name):
    subject = subject_of(space().at(9930))
    network = subject.network.train()
    network.norm.eval()
    tensors = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    wanting = [parameter.requires_grad for parameter in network.parameters()]
    images, states = subject.images.clone(), global_states()
    assert "failed" not in measured(name, subject)
    assert global_states() == states
    assert torch.equal(subject.images, images)
    assert subject.network is network
    assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert wanting == [parameter.requires_grad for parameter in network.parameters()]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("name", PROXIES.names())
def test_a_network_has_one_set_of_statistics_whenever_it_is_measured(name):
    genotype = space().representative(space().key(space().at(9930)))
    measured(name, subject_of(space().at(0)))
    first, second = measured(name, subject_of(genotype)), measured(name, subject_of(genotype))
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def all_scores():
    """Six-digit scores or reasons of three cells by every score, as JSON data."""
    return {name: evaluated(name, [space().at(9930), space().at(0), DEAD]) for name in PROXIES.names()}


@pytest.mark.slow
def test_another_process_with_another_hash_seed_gives_the_same_scores():
    program = "import json; from test_score_contract import all_scores; print(json.dumps(all_scores()))"
    environment = {**os.environ, "PYTHONHASHSEED": "4321", "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == json.loads(json.dumps(all_scores()))
