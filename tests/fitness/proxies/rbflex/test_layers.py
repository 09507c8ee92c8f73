"""Distances layer by layer, against a literal form and against the distances that the score reads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.layout import Account
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.rbflex.kernels import squared_distances
from rbflex_evo.fitness.proxies.rbflex.layers import layer_distances
from rbflex_evo.fitness.proxies.rbflex.score import Rbflex, RbflexParameters
from rbflex_evo.spaces import SearchSpace, create_space
from rbflex_evo.spaces.encodings.vector import VectorEncoding

IMAGES = torch.from_numpy(np.random.default_rng(5).standard_normal((5, 3, 8, 8), dtype=np.float32))
SMALL = {"toy": {"channels": 4}, "nats_tss": {"channels": 4, "cells": 1}}
ARCHITECTURES = [
    ("toy", "conv3+skip|conv1+conv3|skip+zero"),
    ("nats_tss", "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"),
]


def literal(network: nn.Module, images: torch.Tensor) -> list[tuple[str, int, float]]:
    """Each image alone through the network in training mode; every ReLU's output min-maxed, all pairs summed up."""
    outputs: dict[str, list[np.ndarray]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda m, i, o, name=name: outputs.setdefault(name, []).append(o.numpy().ravel()))
    network.train()
    with torch.no_grad():
        for image in images:
            network(image[None])
    found = []
    for name, rows in outputs.items():
        x = np.stack(rows)
        width = x.max(axis=0) - x.min(axis=0)
        x = np.where(width > 0, (x - x.min(axis=0)) / np.where(width > 0, width, 1), 0)
        found.append((name, x.shape[1], sum(((x[i] - x[j]) ** 2).sum() for i, j in itertools.combinations(range(len(x)), 2))))
    return found


@pytest.mark.parametrize(("name", "notation"), ARCHITECTURES)
def test_each_layer_has_the_distances_of_its_normalised_outputs(name: str, notation: str) -> None:
    space = create_space(name, **SMALL[name])
    weights = WeightParameters(seed=3)
    layers, features, account = layer_distances(space, space.parse(notation), IMAGES, weights, precision="float64")
    expected = literal(build_initialised(space, space.parse(notation), weights).double(), IMAGES.double())
    assert [(layer.name, layer.units) for layer in layers] == [(module, units) for module, units, _ in expected]
    assert account == Account(read=len(expected))
    assert [layer.distance for layer in layers] == pytest.approx([distance for *_, distance in expected], rel=1e-9)
    assert features.units == space.classifier(space.build(space.parse(notation))).in_features  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["standard", "published"])
@pytest.mark.parametrize(("name", "notation"), ARCHITECTURES)
def test_layers_add_up_to_the_distances_that_the_score_reads(name: str, notation: str, mode: str) -> None:
    space = create_space(name, **SMALL[name])
    proxy = Rbflex(RbflexParameters(mode=mode))
    genotype = space.parse(notation)
    measurer = Measurer(Conditions.of(space, Batch(IMAGES), device="cpu"))
    (measured,) = measurer.measure([(genotype, {"rbflex": proxy})])
    statistics = measured.statistics["rbflex"]
    layers, features, _ = layer_distances(space, genotype, IMAGES, layers=proxy.layers)
    for parts, part in ((layers, "k"), ([features], "q")):
        total = squared_distances(statistics[f"{part}_gram"]).sum() / 2
        assert sum(layer.distance for layer in parts) == pytest.approx(total, rel=1e-4)
        assert sum(layer.units for layer in parts) == statistics[f"{part}_length"]
        assert sum(layer.live for layer in parts) == statistics[f"{part}_live"]


def test_a_layer_belongs_to_the_block_around_it_or_else_to_the_one_before() -> None:
    space = create_space("toy", channels=4)
    layers, _, _ = layer_distances(space, space.parse("conv3+skip|conv1+conv3|skip+zero"), IMAGES)
    places = [(layer.name, layer.block) for layer in layers]
    assert places == [
        ("stages.0.edges.0_conv3.relu", "stages.0"),
        ("stages.1.edges.0_conv1.relu", "stages.1"),
        ("stages.1.edges.1_conv3.relu", "stages.1"),
        ("relu", "stages.2"),
    ]


class Functional(nn.Module):
    """Activations that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.second(functional.relu(self.first(torch.tanh(x)))))
        return self.last(x.mean(dim=(2, 3)))


class FunctionalSpace(SearchSpace):
    name = "functional"
    encoding = VectorEncoding([2])
    input_shape = (3, 8, 8)

    def build(self, genotype):
        return Functional()

    def notation(self, genotype):
        return str(genotype[0])

    def parse(self, text):
        return (int(text),)


def test_functional_activations_have_a_name_and_a_block() -> None:
    layers, _, _ = layer_distances(FunctionalSpace(), (0,), IMAGES)
    places = [(layer.name, layer.block) for layer in layers]
    assert places == [("tanh 1", "input"), ("relu 2", "first"), ("relu 3", "second")]
