"""Scores that count: costs, depth and convolutions of a network's graph, NN-Mass and NN-Degree of its cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.graph import depth, live_operations, operations_of, planned, traced
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.spaces import ConfigError, SearchSpace, VectorEncoding, create_space

COUNTS = [
    "params", "flops", "depth", "n_conv", "nn_mass", "nn_degree", "nsc", "log_channels", "depth_width", "early_depth", "late_depth",
]  # fmt: skip


def subject_of(space, genotype, size=None):
    shape = (space.input_shape[0], *(size or space.input_shape[1:]))
    return Subject(space, genotype, torch.zeros(2, *shape))


def score(name, space, genotype, size=None, **values):
    proxy = create_proxy(name, **values)
    return proxy.score(proxy.measure(subject_of(space, genotype, size)))


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("space", ["nats_tss", "nats_sss"])
def test_counting_builds_no_network_where_the_space_has_plans(name, space):
    space = create_space(space)
    subject = subject_of(space, space.representative(space.key(space.at(9930))))
    assert create_proxy(name).measure(subject)
    assert "network" not in vars(subject)


def test_params_and_flops_are_the_costs_of_the_network_that_is_scored():
    space = create_space("nats_tss", channels=4, cells=1)
    raw = space.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|")
    pruned = space.representative(space.key(raw))
    assert score("params", space, pruned) == space.costs(pruned).params < space.costs(raw).params
    assert score("flops", space, pruned, (16, 16)) == space.costs(pruned, (3, 16, 16)).flops < space.costs(raw, (3, 16, 16)).flops


def test_depth_and_convolutions_are_counted_by_hand():
    space = create_space("nats_tss", channels=4, cells=1)
    chain = space.parse("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    # A stem, three cells of three, two reductions of two, the classifier.
    assert score("depth", space, chain) == 1 + 3 * 3 + 2 * 2 + 1
    assert score("n_conv", space, chain) == 1 + 3 * 2 + 2 * 2
    # Each reduction has a 1 x 1 shortcut.
    assert score("n_conv", space, chain, kernel=1) == 3 + 2
    assert score("n_conv", space, chain, kernel="spatial") == 1 + 3 * 2 + 2 * 2
    assert score("n_conv", space, chain, kernel="all") == 1 + 3 * 3 + 2 * 3
    parallel = space.parse("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
    assert score("depth", space, parallel) == 1 + 3 * 1 + 2 * 2 + 1
    toy = create_space("toy", choices=8)
    genotype = toy.parse("conv3+conv1|skip+average|depthwise+dilated")
    assert score("depth", toy, genotype) == 4
    assert score("n_conv", toy, genotype) == 4


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_a_plan_and_a_run_of_the_built_network_give_one_graph(name):
    space = create_space(name, **({"channels": 4, "cells": 1} if name == "nats_tss" else {}))
    rng = np.random.default_rng(0)
    shape = (3, 16, 16)
    genotypes = [space.representative(space.key(space.encoding.sample(rng))) for _ in range(8)]
    for genotype in [*genotypes, *([(0,) * 6, (1,) * 6] if name == "nats_tss" else [])]:
        plan, run = planned(space.plan(genotype, shape), 10), traced(space, genotype, shape)
        assert depth(plan) == depth(run)
        kernels = [sorted(o.kernel for o in live_operations(operations) if o.kernel) for operations in (plan, run)]
        assert kernels[0] == kernels[1]


def test_a_network_without_a_path_has_no_depth_and_no_live_convolution():
    for space, dead in ((create_space("nats_tss"), (0,) * 6), (create_space("toy"), (3, 3, 0, 0, 3, 3))):
        assert score("n_conv", space, dead) == 0
        for name in ("depth", "nn_mass", "nn_degree"):
            with pytest.raises(CandidateFailed, match="no path"):
                score(name, space, dead)


class Tangled(nn.Module):
    """In-place operations, views, a product without weights, a branch that reaches nothing and one that comes from nothing."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, padding=2)
        self.dead = nn.Conv2d(8, 8, 3, padding=1)
        self.blind = nn.Conv2d(8, 8, 3, padding=1)
        self.uneven = nn.Conv2d(8, 8, (1, 3), padding=(0, 1))
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.first(x).relu_()
        self.dead(x)
        x = x + self.blind(torch.ones_like(x))
        x = self.uneven(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.softmax(tokens @ tokens.transpose(1, 2), dim=2) @ self.mix(tokens)
        pooled = torch.zeros(len(x), 8)
        pooled[:, :] = tokens.mean(dim=1)
        return self.head(pooled)


class TangledSpace(SearchSpace):
    name = "tangled"
    encoding = VectorEncoding([2])
    input_shape = (3, 8, 8)

    def build(self, genotype):
        return Tangled()

    def notation(self, genotype):
        return str(genotype[0])

    def parse(self, text):
        return (int(text),)


def test_any_network_is_a_graph():
    operations = operations_of(TangledSpace(), (0,), (3, 8, 8))
    assert sorted(operation.kernel for operation in live_operations(operations) if operation.kernel) == [(1, 3), (5, 5)]
    assert depth(operations) == 4
    assert score("n_conv", TangledSpace(), (0,), kernel=5) == 1
    assert score("n_conv", TangledSpace(), (0,), kernel="spatial") == 2


def test_a_graph_leaves_global_random_state():
    state = torch.random.get_rng_state()
    operations_of(TangledSpace(), (0,), (3, 8, 8))
    assert torch.equal(state, torch.random.get_rng_state())


def test_nn_mass_and_nn_degree_equal_the_surveys_equations():
    space = create_space("nats_tss", channels=4, cells=1)
    chain = space.parse("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    # (density, width, depth, skip connections a channel of input) of three cells and two reductions
    cells = [(1 / 6, w, 3, w / (3 * w)) for w in (4, 8, 16)]
    reductions = [(1 / 3, w, 2, w / (w / 2 + w)) for w in (8, 16)]
    assert score("nn_mass", space, chain) == pytest.approx(sum(rho * w * d for rho, w, d, _ in cells + reductions))
    assert score("nn_degree", space, chain) == pytest.approx(sum(w + skips for _, w, _, skips in cells + reductions))


@pytest.mark.parametrize("name", ["nn_mass", "nn_degree"])
def test_a_space_that_says_nothing_of_its_cells_is_refused_before_anything_is_measured(name):
    with pytest.raises(ConfigError, match=f"{name} needs the cells of a network, and tangled says nothing of them"):
        Evaluator(Conditions.of(TangledSpace(), create_batch("noise", shape=[3, 8, 8])), {name: create_proxy(name)})
