"""The primary blocks of a network are its chain of parts: the space's own word, or read off how it is registered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.architecture.blocks import primary_blocks


@pytest.mark.parametrize(("name", "count"), [("nats_tss", 18), ("nats_sss", 6), ("toy", None)])
def test_blocks_run_once_each_in_order(name, count):
    space = create_space(name)
    network = space.build(space.encoding.sample(np.random.default_rng(0)))
    blocks = space.blocks(network)
    ran = []
    for block in blocks:
        block.register_forward_hook(lambda module, inputs, output: ran.append(module))
    with torch.no_grad():
        network.eval()(torch.zeros(2, *space.input_shape))
    assert ran == list(blocks)
    assert len(blocks) == (count or 1 + len(network.stages))
    assert space.classifier(network) not in blocks


def test_the_members_of_torchvisions_stages_are_blocks():
    network = models.resnet18()
    stages = [block for stage in (network.layer1, network.layer2, network.layer3, network.layer4) for block in stage]
    assert primary_blocks(network, network.fc) == [network.conv1, *stages]


def test_every_weighted_layer_of_a_plain_chain_is_a_block():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    assert primary_blocks(nn.Sequential(network), network[5]) == [network[0], network[3]]


def test_a_part_that_holds_the_classifier_is_no_block():
    network = nn.Module()
    network.stem = nn.Conv2d(3, 4, 3)
    network.body = nn.ModuleList([nn.Identity(), nn.Conv2d(4, 4, 3)])
    network.head = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert primary_blocks(network, network.head[1]) == [network.stem, *network.body]


def small_vit():
    return models.VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32)


def test_the_layers_of_a_transformers_trunk_are_blocks():
    network = small_vit()
    assert primary_blocks(network, network.heads.head) == [network.conv_proj, *network.encoder.layers]


def test_a_wrapper_of_a_network_has_the_blocks_of_the_network():
    network = nn.Module()
    network.inner = models.resnet18()
    network.inner.fc = nn.Identity()
    network.head = nn.Linear(512, 2)
    assert primary_blocks(network, network.head) == primary_blocks(network.inner, network.inner.fc)


def test_blocks_with_sequences_of_their_own_are_not_divided():
    network = models.mobilenet_v2(width_mult=0.1)
    assert primary_blocks(network, network.classifier[1]) == list(network.features)
