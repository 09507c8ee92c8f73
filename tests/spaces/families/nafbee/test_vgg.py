"""NAFBee's VGG networks are the published ones; images lie apart in their features; CELU and ELU are one architecture."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers, vgg11, vgg19

from rbflex_evo.fitness import WeightParameters, create_batch
from rbflex_evo.fitness.passes.weights import build_initialised
from rbflex_evo.fitness.proxies.rbflex.layers import layer_distances
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.conformance.check_space import check_space
from rbflex_evo.spaces.families.nafbee.activations import ACTIVATIONS
from rbflex_evo.spaces.space import SearchSpace

NAMES = ("nafbee_vgg19", "nafbee_vgg11")
TORCHVISION = {"nafbee_vgg19": (vgg19, cfgs["E"]), "nafbee_vgg11": (vgg11, cfgs["A"])}


@cache
def noise():
    return create_batch("noise", shape=[3, 32, 32], n=8).images


@pytest.mark.parametrize(("name", "params"), [("nafbee_vgg19", 143_667_240), ("nafbee_vgg11", 132_863_336)])
def test_parameters_are_those_of_the_published_convolutions_with_normalisation_and_one_linear_layer(name, params):
    make, _ = TORCHVISION[name]
    with torch.device("meta"):
        official = make()
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())  # noqa: E731
    assert count(official) == params
    space = create_space(name)
    channels = sum(layer.out_channels for layer in official.features if isinstance(layer, nn.Conv2d))
    assert space.costs((0,)).params == count(official.features) + 2 * channels + 513 * 10


@pytest.mark.parametrize("name", NAMES)
def test_with_relu_the_network_computes_what_torchvisions_does(name):
    space = create_space(name, channels=64)
    network = build_initialised(space, space.parse("ReLU"), WeightParameters()).eval()
    with torch.device("meta"):
        official = make_layers(TORCHVISION[name][1], batch_norm=True)
    weights = dict(zip(official.state_dict(), network.layers.state_dict().values(), strict=True))
    official.load_state_dict(weights, assign=True)
    with torch.no_grad():
        features = official.eval()(noise()[:2])
        assert features.shape == (2, 512, 1, 1)
        torch.testing.assert_close(network(noise()[:2]), network.classifier(features.flatten(1)), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_every_convolution_has_its_activation_and_the_head_has_none(name):
    space = create_space(name, per_layer=True, channels=1)
    genotype = tuple(np.random.default_rng(0).permutation(11))
    genotype = (*genotype, *genotype)[: space.genes.layers]
    with torch.device("meta"):
        network = space.build(genotype)
    found = [type(module).__name__ for module in network.modules() if type(module).__name__ in ACTIVATIONS]
    assert found == [ACTIVATIONS[gene] for gene in genotype]
    kinds = [type(module).__name__ for module in network.modules() if not list(module.children())]
    assert kinds[-2:] == ["AdaptiveAvgPool2d", "Linear"]
    assert len(space.blocks(network)) == space.genes.layers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("per_layer", [False, True])
def test_both_forms_keep_the_contract(name, per_layer):
    check_space(create_space(name, per_layer=per_layer, channels=4), samples=4)


@pytest.mark.parametrize("name", NAMES)
def test_costs_equal_those_of_the_built_network(name):
    space = create_space(name, channels=3, classes=7, per_layer=True)
    genotype = space.encoding.sample(np.random.default_rng(0))
    for shape in ((3, 32, 32), (3, 37, 50), (3, 16, 16)):
        assert space.costs(genotype, shape) == SearchSpace.costs(space, genotype, shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_images_lie_apart_in_the_features_by_far_more_than_round_off(name, activation):
    """Y is what the space says: float32 finds the distances of float64, and nearly every column is live."""
    space = create_space(name, channels=16)
    assert space.features == "per_image"
    found = [
        layer_distances(space, space.parse(activation), noise(), precision=precision)[1] for precision in ("float32", "float64")
    ]
    single, double = found
    assert single.units == 128
    assert single.live == double.live > 64
    assert single.distance == pytest.approx(double.distance, rel=1e-3)


def test_celu_and_elu_are_one_architecture():
    space = create_space("nafbee_vgg11", channels=4)
    assert space.key(space.parse("CELU")) == space.key(space.parse("ELU")) == "ELU"
    assert sorted(space.keys()) == sorted(set(ACTIVATIONS) - {"CELU"})
    networks = [build_initialised(space, space.parse(name), WeightParameters()).eval() for name in ("CELU", "ELU")]
    with torch.no_grad():
        assert torch.equal(networks[0](noise()), networks[1](noise()))
    layered = create_space("nafbee_vgg11", per_layer=True)
    assert layered.key(layered.parse("ReLU-CELU-ELU-Mish-CELU-GELU-GELU-CELU")) == "ReLU-ELU-ELU-Mish-ELU-GELU-GELU-ELU"


def test_weights_are_the_same_whatever_the_activations():
    space = create_space("nafbee_vgg11", channels=2, per_layer=True)
    first, second = (build_initialised(space, space.parse(name), WeightParameters()).state_dict() for name in ("ReLU", "SELU"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
