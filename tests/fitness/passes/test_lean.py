"""Lean networks: the same function and parameters as the built network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import WeightParameters
from rbflex_evo.fitness.passes.backward import gradients, image_signs, training, weights_of
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.watch import batch_norm, image_norm
from rbflex_evo.fitness.passes.weights import build_initialised, build_lean
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.architecture.lean import LeanNetwork

SPACES = [("nats_tss", {"channels": 4, "cells": 1}), ("nats_sss", {})]


def pairs(name, parameters, weights=None, count=6):
    """Yields lean and built networks of random representatives, in float64."""
    space, weights = create_space(name, **parameters), weights or WeightParameters()
    rng = np.random.default_rng(0)
    for _ in range(count):
        genotype = space.representative(space.key(space.encoding.sample(rng)))
        lean = build_lean(space, genotype, weights, torch.device("cpu"), torch.float64)
        if lean is not None:
            yield lean, build_initialised(space, genotype, weights).double()


@pytest.mark.parametrize(("name", "parameters"), SPACES)
@pytest.mark.parametrize("norm", [batch_norm, image_norm])
def test_a_lean_network_has_the_logits_and_gradients_of_the_built_network(name, parameters, norm):
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = 0
    for lean, built in pairs(name, parameters):
        found += 1
        results = []
        for network in (lean, built):
            with training(network, norm):
                logits = network(images)
            results.append([logits, *gradients(logits.square().sum(), list(network.parameters()))])
        for ours, expected in zip(*results, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    assert found > 2


@pytest.mark.parametrize(("name", "parameters"), SPACES)
@pytest.mark.parametrize("distribution", ["pytorch", "xavier_normal", "standard_normal"])
def test_a_lean_network_has_the_parameters_of_the_built_network_in_its_order(name, parameters, distribution):
    for lean, built in pairs(name, parameters, WeightParameters(seed=3, distribution=distribution)):
        ours, expected = list(lean.named_parameters()), list(built.named_parameters())
        assert [name for name, _ in ours] == [name for name, _ in expected]
        for (_, one), (_, other) in zip(ours, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert len(weights_of(lean)) == len(weights_of(built))


def test_a_lean_network_in_evaluation_mode_uses_the_initial_running_statistics():
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    for lean, built in pairs(*SPACES[0]):
        torch.testing.assert_close(lean.eval()(images), built.eval()(images))


def test_cells_with_dead_edges_or_without_a_path_have_no_lean_form_and_are_built():
    space = create_space("nats_tss", channels=4, cells=1)
    dead = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert space.lean(dead) is None
    assert space.lean((0,) * 6) is None
    subject = Subject(space, dead, torch.zeros(2, 3, 8, 8))
    assert subject.lean is subject.network


def test_a_space_without_a_lean_form_gives_the_built_network():
    space = create_space("nasbench_macro")
    subject = Subject(space, space.encoding.sample(np.random.default_rng(0)), torch.zeros(2, 3, 32, 32))
    assert subject.lean is subject.network
    assert not isinstance(subject.lean, LeanNetwork)


class Changing(torch.nn.Module):
    """A network whose activation changes the output of a convolution, or the input of one, in place."""

    def __init__(self, what):
        super().__init__()
        self.what = what
        self.first = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(4, 4, (1, 3))
        self.classifier = torch.nn.Linear(4, 3)

    def forward(self, images):
        x = self.first(images)
        x = x.relu_() if self.what == "output" else x * 1
        y = self.second(x)
        if self.what == "input":
            y = y + x.mul_(2).mean()
        return self.classifier(y.mean(dim=(2, 3)))


@pytest.mark.parametrize("what", ["nothing", "output"])
def test_signs_of_images_are_those_of_each_image_alone(what):
    network = Changing(what).double()
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    weights = weights_of(network)

    def loss(output, part):
        return output.square().mean()

    expected = [torch.zeros_like(w) for w in weights]
    for image in images:
        alone = torch.autograd.grad(network(image[None]).square().mean(), weights)
        for total, gradient in zip(expected, alone, strict=True):
            total += gradient.sign()
    for ours, total in zip(image_signs(network, images, loss, weights, image_norm), expected, strict=True):
        torch.testing.assert_close(ours.reshape(total.shape), total.detach())


def test_an_input_that_is_changed_after_its_layer_is_an_error_as_in_torch():
    network = Changing("input").double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        image_signs(network, images, lambda output, part: output.sum(), weights_of(network), image_norm)
