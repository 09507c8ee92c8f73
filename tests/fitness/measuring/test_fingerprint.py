"""A statistic of a space or a score that is not of this package is never answered for code that has changed."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import CacheWarning
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import SearchSpace, VectorEncoding, create_space
from tests.fitness.measuring import users_code

BATCH = create_batch("noise", shape=[3, 12, 12], n=6)
GENOTYPES = [(0, 0), (1, 0), (2, 1)]


class Mine(SearchSpace):
    """Two convolutions; genes are the width and the kernel."""

    name = "mine"
    encoding = VectorEncoding([3, 2])

    def build(self, genotype):
        width, kernel = users_code.WIDTHS[genotype[0]], (3, 5)[genotype[1]]
        layers = [nn.Conv2d(3, width, kernel, 2), *(make() for make in users_code.STEM), users_code.Scaled(), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))

    def notation(self, genotype):
        return "-".join(map(str, genotype))

    def parse(self, text):
        return tuple(map(int, text.split("-")))


class Spread(Proxy):
    """Spread of the outputs, as a user would write it."""

    name = "spread"
    needs = "network"

    def measure(self, subject):
        with torch.no_grad():
            return {"value": users_code.spread(subject.network(subject.images)).numpy()}

    def score(self, statistics):
        return float(statistics["value"])


def measured(cache, space=None, proxy=None, batch=BATCH, workers=1):
    """Returns the scores, and how many candidates were measured for them."""
    proxies = {"naswot": create_proxy("naswot"), "other": proxy or Spread()}
    with Evaluator(Conditions.of(space or Mine(), batch, device="cpu"), proxies, workers=workers, cache=cache) as evaluator:
        scores = [(dict(one.scores), dict(one.failures)) for one in evaluator.evaluate(keyed(evaluator, GENOTYPES))]
        return scores, evaluator.counts["measured"]


class Other(nn.Module):
    def forward(self, x):
        return x - 1


CHANGES = {
    "a global that build reads": lambda patch: patch.setattr(users_code, "STEM", [nn.Tanh]),
    "widths that build reads": lambda patch: patch.setattr(users_code, "WIDTHS", (4, 8, 20)),
    "a global that the forward of a layer reads": lambda patch: patch.setattr(users_code, "FACTOR", 3.0),
    "the forward of a layer": lambda patch: patch.setattr(users_code.Scaled, "forward", lambda self, x: x - users_code.FACTOR),
    "a setting of a layer": lambda patch: patch.setattr(users_code, "SLOPE", 0.3),
    "a layer of the same name": lambda patch: patch.setattr(users_code, "Scaled", type("Scaled", (Other,), {})),
    "a lambda": lambda patch: patch.setattr(users_code, "STEM", [lambda: users_code.Applied(lambda x: x.clamp(min=0.5))]),
    "a partial": lambda patch: patch.setattr(users_code, "STEM", [functools.partial(nn.LeakyReLU, 0.3)]),
    "a helper of the score": lambda patch: patch.setattr(users_code, "spread", lambda output: output.amax()),
    "a default of the score's helper": lambda patch: patch.setattr(users_code.spread, "__defaults__", (2.0,)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_code_is_measured_again(tmp_path, monkeypatch, change):
    before, first = measured(tmp_path / "one.sqlite")
    assert first == len(GENOTYPES)
    assert measured(tmp_path / "one.sqlite") == (before, 0)
    CHANGES[change](monkeypatch)
    after, again = measured(tmp_path / "one.sqlite")
    assert again == len(GENOTYPES)
    assert after != before
    assert after == measured(None)[0]
    monkeypatch.undo()
    assert measured(tmp_path / "one.sqlite") == (before, 0)


def test_workers_give_networks_the_same_fingerprints(tmp_path):
    before, _ = measured(tmp_path / "one.sqlite")
    assert measured(tmp_path / "one.sqlite", workers=2) == (before, 0)


class Planned(Mine):
    """Plans the forwards of another network than it builds."""

    planned = 0

    def plan(self, genotype, input_shape):
        small = create_space("nats_tss", channels=2, cells=1)
        return small.plan((3, 0, self.planned, 3, 0, 3), input_shape)


def test_another_plan_of_the_same_network_is_measured_again(tmp_path, monkeypatch):
    before, _ = measured(tmp_path / "one.sqlite", Planned())
    monkeypatch.setattr(Planned, "planned", 3)
    after, again = measured(tmp_path / "one.sqlite", Planned())
    assert again == len(GENOTYPES)
    assert [scores["naswot"] for scores, _ in after] != [scores["naswot"] for scores, _ in before]


class Labelled(Spread):
    def measure(self, subject):
        return {"value": subject.labels(torch.zeros(len(subject.images), 10)).double().mean().numpy()}


def test_a_score_that_does_not_declare_its_labels_is_measured_again_for_others(tmp_path):
    batches = [Batch(BATCH.images, torch.full((6,), label), "noise") for label in (1, 2)]
    found = [measured(tmp_path / "one.sqlite", proxy=Labelled(), batch=batch) for batch in batches]
    assert [[scores["other"] for scores, _ in one] for one, _ in found] == [[1.0] * 3, [2.0] * 3]


class Opaque(Mine):
    def __init__(self):
        super().__init__()
        self.opened = (number for number in range(3))


class OpaqueLayer(Mine):
    def build(self, genotype):
        network = super().build(genotype)
        network[1].opened = (number for number in range(3))
        return network


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (Opaque, "space 'mine': an object of builtins.generator has no state"),
        (OpaqueLayer, "network '0-0' of space 'mine': an object of builtins.generator has no state"),
    ],
)
def test_what_cannot_be_identified_is_measured_each_time_and_said_once(tmp_path, space, reason):
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, count = measured(tmp_path / "one.sqlite", space())
        assert count == len(GENOTYPES)
        assert [str(one.message) for one in caught if issubclass(one.category, CacheWarning)] == [
            f"statistics are measured anew and not kept: {reason} that can be read"
        ]


def test_keys_of_this_package_hold_no_fingerprint():
    conditions = Conditions.of(create_space("toy"), BATCH, device="cpu")
    assert "code" not in conditions.identity(create_proxy("naswot"))
    assert set(conditions.identity(Spread())["code"]) == {"score"}
    mine = Conditions.of(Mine(), BATCH, device="cpu")
    assert set(mine.identity(create_proxy("naswot"))["code"]) == {"space", "weights"}


def test_known_weights_of_another_package_are_in_the_key():
    values = [np.zeros(3), np.ones(3)]

    class Known(Mine):
        def known_weights(self):
            return {"0.bias": torch.from_numpy(values[0])}

    first = Conditions.of(Known(), BATCH, device="cpu").identity(create_proxy("naswot"))
    values.reverse()
    assert Conditions.of(Known(), BATCH, device="cpu").identity(create_proxy("naswot")) != first
