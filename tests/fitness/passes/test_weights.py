"""Weights are a pure function of seed and name."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised, draw, initialise
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.families.toy.space import ToySpace

SCRIPT = """
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.families.toy.space import ToySpace
space = create_space("nats_sss")
network = build_initialised(space, (1, 2, 3, 4, 5), WeightParameters(seed=7))
print(sum(float(p.double().abs().sum()) for p in network.parameters()).hex())
"""


def test_another_process_with_another_hash_seed_draws_the_same():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_no_global_random_state_is_read_or_changed():
    space = create_space("nats_sss")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_initialised(space, (0, 1, 2, 3, 4), WeightParameters())
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second = build_initialised(space, (0, 1, 2, 3, 4), WeightParameters())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_smaller_widths_are_slices_of_larger_ones():
    space = create_space("nats_sss")
    small, large = (build_initialised(space, (w,) * 5, WeightParameters()) for w in (1, 7))
    name = "blocks.0.edges.0>1_nor_conv_3x3.conv.weight"
    a, b = small.get_parameter(name), large.get_parameter(name)
    torch.testing.assert_close(a * 4 * np.sqrt(1 / 4), b[:16, :16] * 4, rtol=1e-6, atol=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_default_has_the_bounds_of_torch_defaults(seed):
    conv = nn.Conv2d(8, 16, 3)
    initialise(conv, WeightParameters(seed=seed))
    bound = 1 / np.sqrt(72)
    for values in (conv.weight, conv.bias):
        assert values.detach().abs().max() <= bound
    assert conv.weight.detach().std().item() == pytest.approx(bound / np.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("distribution", "deviation"),
    [
        ("kaiming_normal", np.sqrt(2 / 72)),
        ("kaiming_uniform", np.sqrt(2 / 72)),
        ("xavier_normal", np.sqrt(2 / (72 + 144))),
        ("xavier_uniform", np.sqrt(2 / (72 + 144))),
        ("normal", 0.02),
    ],
)
def test_other_distributions_have_their_deviation_and_no_bias(distribution, deviation):
    conv = nn.Conv2d(8, 16, 3)
    initialise(conv, WeightParameters(distribution=distribution))
    assert conv.weight.detach().std().item() == pytest.approx(deviation, rel=0.1)
    assert not conv.bias.any()


def test_names_and_seeds_give_different_draws():
    values = [draw(seed, name, (4,), False) for seed in (0, 1) for name in ("a", "b")]
    assert len({v.tobytes() for v in values}) == 4
    assert np.array_equal(values[0], draw(0, "a", (4,), False))


def test_vectors_of_other_layers_stay_as_they_were_built():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.PReLU(), nn.LayerNorm(4))
    before = [p.clone() for p in network.parameters()]
    initialise(network, WeightParameters())
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


class Drawing(nn.Module):
    """Draws matrices that are set afterwards, and a vector and a table that are not."""

    def __init__(self):
        super().__init__()
        before = torch.get_rng_state()
        self.linear = nn.Linear(4, 3, bias=False)
        self.words = nn.Embedding(5, 4)
        self.matrices_drew = not torch.equal(before, torch.get_rng_state())
        self.scale = nn.Parameter(torch.empty(6))
        nn.init.normal_(self.scale)
        self.register_buffer("table", torch.empty(2, 3).uniform_(1, 2))


def test_building_draws_what_is_not_set_afterwards_and_nothing_else():
    space = type("Space", (ToySpace,), {"build": lambda self, genotype: Drawing()})()
    first, second = (build_initialised(space, (0,) * 6, WeightParameters(seed=seed)) for seed in (4, 5))
    again = build_initialised(space, (0,) * 6, WeightParameters(seed=4))
    assert not first.matrices_drew
    assert first.table.min() >= 1
    assert first.scale.abs().max() > 0
    for name in ("scale", "table"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(second, name))


def test_a_space_may_know_weights_that_are_not_drawn():
    known = {"classifier.bias": torch.arange(10.0)}
    space = type("Space", (ToySpace,), {"known_weights": lambda self: known})()
    found, drawn = (build_initialised(s, (3,) * 6, WeightParameters()).state_dict() for s in (space, ToySpace()))
    assert torch.equal(found["classifier.bias"], known["classifier.bias"])
    assert all(torch.equal(found[name], drawn[name]) for name in drawn if name != "classifier.bias")
