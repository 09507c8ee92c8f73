"""A forward draws nothing: functional dropout is switched off, every other draw is refused, and no generator is moved."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import CandidateFailed, create_proxy, rbflex_score
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.graph import traced
from rbflex_evo.spaces import Parameters, SearchSpace, VectorEncoding
from rbflex_evo.spaces.isolation.random_state import RandomState, global_generators, own_random_state


class Network(nn.Module):
    """A network that passes its first map through `between`."""

    def __init__(self, between):
        super().__init__()
        self.between = between
        self.first, self.second, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def forward(self, x):
        x = self.between(functional.relu(self.first(x)))
        return self.last(functional.relu(self.second(x)).mean((2, 3)))


class OneNetwork(SearchSpace):
    name, description, encoding, input_shape, Parameters = "one_network", "", VectorEncoding([2]), (3, 12, 12), Parameters

    def __init__(self, between):
        super().__init__()
        self.between = between

    def build(self, genotype):
        return Network(self.between)

    def notation(self, genotype):
        return str(genotype[0])

    def parse(self, text):
        return (int(text),)


def network(between):
    with own_random_state(0):
        return Network(between)


IMAGES = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 3, 12, 12)).astype("float32"))


def attended(x):
    rows = x.flatten(2).transpose(1, 2)
    return functional.scaled_dot_product_attention(rows, rows, rows, dropout_p=0.5).transpose(1, 2).reshape(x.shape)


def attended_by_layer(x):
    rows, size = x.flatten(2).permute(2, 0, 1), x.shape[1]
    weight = torch.eye(size).repeat(3, 1)
    found, _ = functional.multi_head_attention_forward(
        rows, rows, rows, size, 2, weight, None, None, None, False, 0.5, torch.eye(size), None
    )
    return found.permute(1, 2, 0).reshape(x.shape)


SWITCHED_OFF = {
    "dropout": functional.dropout,
    "dropout in place": lambda x: functional.dropout(x, 0.3, True, True),
    "dropout1d": lambda x: functional.dropout1d(x.flatten(2), 0.3).view(x.shape),
    "dropout2d": functional.dropout2d,
    "dropout3d": lambda x: functional.dropout3d(x[:, :, None], p=0.3)[:, :, 0],
    "alpha_dropout": lambda x: functional.alpha_dropout(x, 0.3, training=True),
    "feature_alpha_dropout": lambda x: functional.feature_alpha_dropout(x, 0.3, training=True),
    "torch.dropout": lambda x: torch.dropout(x, 0.3, True),
    "torch.native_dropout": lambda x: torch.native_dropout(x, 0.3, True)[0],
    "a new module": lambda x: nn.Dropout(0.3)(x),
    "a module in training mode": lambda x: nn.Dropout(0.3).train()(x),
    "attention": attended,
    "an attention layer": attended_by_layer,
    "rrelu": lambda x: functional.rrelu(x, training=True),
}


@pytest.mark.parametrize("how", SWITCHED_OFF)
def test_functional_dropout_of_every_kind_is_switched_off(how):
    before = RandomState.of(global_generators())
    model = network(SWITCHED_OFF[how])
    assert len({rbflex_score(model, IMAGES) for _ in range(3)}) == 1
    assert not before.moved()


def test_a_network_with_functional_dropout_scores_as_without_it():
    assert rbflex_score(network(functional.dropout), IMAGES) == rbflex_score(network(nn.Identity()), IMAGES)


def drop_path(x):
    return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(0.7)


def path_by_chance(x):
    return x if random.random() < 0.5 else 2 * x


DRAWS = {
    "drop path of torch.rand": (lambda x: x * (torch.rand(len(x), 1, 1, 1) > 0.3), "torch"),
    "drop path of bernoulli_": (drop_path, "torch"),
    "noise": (lambda x: x + 0.1 * torch.randn_like(x), "torch"),
    "Gumbel softmax": (lambda x: functional.gumbel_softmax(x, dim=1), "torch"),
    "fractional pooling": (lambda x: functional.fractional_max_pool2d(x, 2, output_ratio=(0.8, 0.8)), "torch"),
    "numpy": (lambda x: x * float(np.random.rand()), "numpy.random"),
    "python": (path_by_chance, "python's random"),
}


@pytest.mark.parametrize("how", DRAWS)
def test_every_other_draw_is_refused_and_no_generator_is_moved(how):
    between, generator = DRAWS[how]
    before = RandomState.of(global_generators())
    model = network(between).train()
    with pytest.raises(CandidateFailed, match=rf"^the forward draws random numbers from the global generator of {generator}, so"):
        rbflex_score(model, IMAGES)
    assert not before.moved()
    assert model.training
    assert not model.last._forward_pre_hooks


@pytest.mark.parametrize(
    ("generator", "draw"),
    [
        (torch.Generator(), lambda rng, x: torch.rand(len(x), 1, 1, 1, generator=rng)),
        (np.random.default_rng(0), lambda rng, x: rng.random()),
        (np.random.RandomState(0), lambda rng, x: rng.rand()),
        (random.Random(0), lambda rng, x: rng.random()),
    ],
)
def test_a_draw_from_a_generator_that_the_network_holds_is_refused_by_its_name(generator, draw):
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.rng = generator

        def forward(self, x):
            return x * draw(self.rng, x)

    for _ in range(2):
        with pytest.raises(CandidateFailed, match=r"from its own generator 'between\.rng'"):
            rbflex_score(network(Noise()), IMAGES)


PASSES = ["rbflex", "naswot", "synflow", "zen", "grad_norm", "jacob_cov", "ntk_cond", "vkdnw", "ni", "az_expressivity", "depth"]


@pytest.mark.parametrize("name", PASSES)
def test_every_kind_of_pass_switches_dropout_off_and_refuses_noise(name):
    before = RandomState.of(global_generators())
    proxies = {name: create_proxy(name)}
    found = []
    for between in (functional.dropout, nn.Identity(), lambda x: x + torch.randn_like(x)):
        measurer = Measurer(Conditions.of(OneNetwork(between), Batch(IMAGES, torch.arange(6) % 5), device="cpu"))
        found += measurer.measure([((0,), proxies)])
    dropped, plain, noisy = found
    assert not dropped.failures
    np.testing.assert_equal(dropped.statistics[name], plain.statistics[name])
    assert "draws random numbers from the global generator of torch" in noisy.failures[name]
    assert not before.moved()


def test_operations_of_a_network_are_not_traced_through_a_draw():
    with pytest.raises(CandidateFailed, match="draws random numbers"):
        traced(OneNetwork(path_by_chance), (0,), (3, 12, 12))


def test_an_error_in_a_forward_restores_the_generators():
    def failing(x):
        torch.rand(1)
        raise ZeroDivisionError

    before = RandomState.of(global_generators())
    with pytest.raises(ZeroDivisionError):
        rbflex_score(network(failing), IMAGES)
    assert not before.moved()
