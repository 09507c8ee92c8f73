"""Neural Spectral Capacity and counts of layers: literal references, graphs counted by hand, and a Transformer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.graph import live_operations, planned, traced
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.proxies.counts import operations
from rbflex_evo.fitness.proxies.layer_counts import mlp_ratios
from rbflex_evo.fitness.proxies.nsc import Matrix, capacity, matrices
from rbflex_evo.spaces import ConfigError, SearchSpace, VectorEncoding, create_space

COUNTS = ["log_channels", "depth_width", "early_depth", "late_depth", "nsc"]
CHAIN = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
BERT = {"layers": 2, "hidden": 12, "heads": 2, "length": 6, "vocabulary": 40}


def subject_of(space, genotype):
    return Subject(space, genotype, space.example_inputs(2))


def score(name, space, genotype):
    proxy = create_proxy(name)
    return proxy.score(proxy.measure(subject_of(space, genotype)))


def literal_capacity(rows, inputs, kernel):
    """The integral by quadrature."""
    integrate = pytest.importorskip("scipy.integrate")
    n, m = sorted((rows, inputs * kernel))
    y, variance = n / m, 2 / (inputs * kernel + rows * kernel)
    low, high = (1 - math.sqrt(y)) ** 2, (1 + math.sqrt(y)) ** 2

    def integrand(t):
        density = math.sqrt(max((high - t) * (t - low), 0)) / (2 * math.pi * y * t)
        return math.log(1 + m * variance * t) * density

    return n * integrate.quad(integrand, low, high, limit=500)[0]


@pytest.mark.parametrize("shape", [(64, 64, 1), (10, 64, 1), (64, 16, 9), (16, 64, 9), (1, 1, 25), (512, 512, 9), (768, 64, 1)])
def test_the_closed_form_is_the_integral_over_the_marchenko_pastur_law(shape):
    assert capacity(*shape) == pytest.approx(literal_capacity(*shape), rel=1e-9)


def test_the_capacity_of_a_layer_is_the_log_determinant_of_weights_that_xavier_draws():
    torch.manual_seed(0)
    for layer, shape in ((nn.Conv2d(16, 48, 3), (48, 16, 9)), (nn.Linear(200, 100), (100, 200, 1))):
        drawn = []
        for _ in range(20):
            matrix = nn.init.xavier_uniform_(layer.weight).detach().double().flatten(1)
            drawn.append(torch.logdet(torch.eye(len(matrix)) + matrix @ matrix.T).item())
        assert capacity(*shape) == pytest.approx(np.mean(drawn), rel=0.01)


def test_counts_of_a_chain_are_those_by_hand():
    space = create_space("nats_tss", channels=4, cells=1)
    chain = space.parse(CHAIN)
    # A stem, three cells of three, two reductions of two and a 1 x 1 shortcut, the classifier; 1024, 256 and 64 pixels.
    widths = [4] + 3 * [4] + 3 * [8] + 3 * [8] + 3 * [16] + 3 * [16] + [10]
    assert score("log_channels", space, chain) == pytest.approx(sum(map(math.log, widths)))
    assert score("depth_width", space, chain) == pytest.approx(15 * np.mean(widths))
    read = 5 * [1024] + 5 * [256] + 4 * [64] + [1]  # on the longest path; it has no shortcut
    assert score("early_depth", space, chain) == pytest.approx(sum(map(math.log, read)) / math.log(1024))
    assert score("late_depth", space, chain) == pytest.approx(15 - sum(map(math.log, read)) / math.log(1024))
    shapes = [(4, 3, 9)]
    for before, width in ((None, 4), (4, 8), (8, 16)):
        shapes += [] if before is None else [(width, before, 9), (width, width, 9), (width, before, 1)]
        shapes += [(width, width, 9), (width, width, 1), (width, width, 9)]
    shapes.append((10, 16, 1))
    assert score("nsc", space, chain) == pytest.approx(sum(literal_capacity(*shape) for shape in shapes), rel=1e-9)


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_a_plan_has_the_layers_of_the_built_network(name):
    space = create_space(name, **({"channels": 4, "cells": 1} if name == "nats_tss" else {}))
    rng = np.random.default_rng(0)
    for _ in range(6):
        genotype = space.representative(space.key(space.encoding.sample(rng)))
        plan = space.plan(genotype, (3, 16, 16))
        found = [
            sorted((o.weight, o.groups, o.positions) for o in live_operations(graph) if o.weighted)
            for graph in (planned(plan, 10), traced(space, genotype, (3, 16, 16)))
        ]
        assert found[0] == found[1]


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_without_a_path_fails(name):
    for space, dead in ((create_space("nats_tss"), (0,) * 6), (create_space("toy"), (3, 3, 0, 0, 3, 3))):
        with pytest.raises(CandidateFailed, match="no path"):
            score(name, space, dead)


def test_layers_of_bert_are_counted_by_hand():
    space = create_space("nafbee_bert", **BERT)
    genotype = space.parse("GELU")
    heads = 3 * [Matrix(6, 12, copies=2)] + [Matrix(12, 6, copies=2)]
    found = matrices(operations(subject_of(space, genotype)))
    assert found == 2 * [*heads, Matrix(48, 12), Matrix(12, 48)] + [Matrix(12, 12), Matrix(2, 12)]
    assert score("depth", space, genotype) == 2 * 4 + 2
    # The layers read six words each, the pooler and the classifier one.
    assert score("early_depth", space, genotype) == pytest.approx(8)
    assert score("late_depth", space, genotype) == pytest.approx(2)
    assert score("mlp_ratio", space, genotype) == pytest.approx(2 * 48 / 12)


class Block(nn.Module):
    """Attention of torch's fused function with one layer for queries, keys and values, before a stack of linear layers."""

    def __init__(self, heads, hidden):
        super().__init__()
        self.heads = heads
        self.mixed, self.out = nn.Linear(8, 8 * 3), nn.Linear(8, 8)
        self.stack = nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 8))

    def forward(self, x):
        parts = self.mixed(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
        return x + self.stack(x)


class Patches(nn.Module):
    """A small vision Transformer."""

    def __init__(self, heads, hidden):
        super().__init__()
        self.embed, self.groups = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.blocks, self.head = nn.Sequential(Block(heads, hidden), Block(heads, 8)), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.blocks(self.groups(self.embed(x)).flatten(2).mT).mean(dim=1))


class PatchSpace(SearchSpace):
    name = "patches"
    encoding = VectorEncoding([2, 3])
    input_shape = (3, 16, 16)

    def build(self, genotype):
        return Patches((1, 4)[genotype[0]], (8, 12, 16)[genotype[1]])

    def notation(self, genotype):
        return f"{genotype[0]} {genotype[1]}"

    def parse(self, text):
        return tuple(map(int, text.split()))


def test_heads_groups_and_mlps_of_a_vision_transformer_are_found():
    space = PatchSpace()
    attention = [Matrix(2, 8, copies=12), Matrix(8, 2, copies=4)]
    found = matrices(operations(subject_of(space, (1, 2))))
    assert found[:2] == [Matrix(8, 3, 16), Matrix(2, 2, 9, 4)]
    assert found[2:4] == attention
    assert found[4:7] == [Matrix(16, 8), Matrix(16, 16), Matrix(8, 16)]
    assert score("nsc", space, (0, 2)) != score("nsc", space, (1, 2))  # equal sizes, other heads
    assert score("mlp_ratio", space, (1, 1)) == pytest.approx(12 / 8 + 1)
    assert score("early_depth", space, (1, 1)) == pytest.approx(1 + 11 * math.log(16) / math.log(256))


def test_spaces_without_transformer_blocks_are_refused_in_one_line():
    proxy = create_proxy("mlp_ratio")
    proxy.check(PatchSpace())
    for name in ("nats_tss", "toy"):
        with pytest.raises(ConfigError, match=f"a network of {name} has none; leave mlp_ratio out"):
            proxy.check(create_space(name))
    toy = create_space("toy")
    assert mlp_ratios(operations(subject_of(toy, (0,) * 6))) == []
