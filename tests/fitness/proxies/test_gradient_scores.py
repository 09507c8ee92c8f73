"""Scores that take gradients equal literal forms of their papers, share passes, and leave networks alone."""

from __future__ import annotations

import copy
import random
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import PROXIES, CandidateFailed, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.proxies import ntk
from rbflex_evo.spaces import ConfigError, create_space
from tests.support import gradient_references

NAMES = (
    "grad_norm", "snip", "grasp", "fisher", "gradsign", "jacob_cov", "zico", "ntk_cond", "vkdnw", "logsynflow",
)  # fmt: skip
CELLS = [(3, 2, 4, 1, 3, 2), (1, 0, 3, 1, 4, 2), (0, 3, 3, 4, 1, 3)]
SPACE = create_space("nats_tss", channels=4, cells=1)


@cache
def images(n=6, size=8):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((n, 3, size, size)))


def subject_of(genotype, batch, labels=None, network=None):
    subject = Subject(SPACE, genotype, batch, labels)
    if network is not None:
        subject.network = network
    return subject


def score(name, subject, **values):
    proxy = create_proxy(name, **values)
    return proxy.score({key: np.asarray(value) for key, value in proxy.measure(subject).items()})


def labels_of(subject):
    return subject.labels(torch.empty(len(subject.images), 10))


# The reference differentiates grasp by differences; all else differs by rounding alone, which zico divides by small differences.
@pytest.mark.parametrize("genotype", CELLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_score_equals_its_literal_form(name, genotype):
    subject = subject_of(genotype, images())
    expected = getattr(gradient_references, name)(subject.network, images(), labels_of(subject))
    tolerance = {"grasp": 1e-5, "zico": 1e-7}.get(name, 1e-9)
    assert score(name, subject) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_near_float64(name):
    found = [score(name, subject_of(CELLS[0], images().to(dtype))) for dtype in (torch.float32, torch.float64)]
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if PROXIES.get(name).uses_labels])
def test_the_datas_labels_are_used(name):
    labels = torch.tensor([1, 0, 3, 3, 9, 2])
    subject = subject_of(CELLS[0], images(), labels)
    expected = getattr(gradient_references, name)(subject.network, images(), labels)
    assert score(name, subject) == pytest.approx(expected, rel=1e-5)
    assert score(name, subject) != score(name, subject_of(CELLS[0], images()))


@pytest.mark.parametrize("name", [name for name in NAMES if not PROXIES.get(name).uses_labels])
def test_what_uses_no_labels_does_not_depend_on_them(name):
    found = [score(name, subject_of(CELLS[0], images(), labels)) for labels in (None, torch.arange(6))]
    assert found[0] == found[1]


def test_an_image_has_the_same_target_in_any_part_of_the_batch():
    subject = subject_of(CELLS[0], images())
    whole = labels_of(subject)
    parts = [subject.labels(torch.empty(1, 10), slice(n, n + 1)) for n in range(6)]
    assert torch.equal(torch.cat(parts), whole)
    assert len(set(whole.tolist())) > 1


def test_gradients_of_one_loss_take_one_pass_and_are_the_same_in_a_group():
    alone = {name: score(name, subject_of(CELLS[1], images())) for name in ("grad_norm", "snip", "fisher")}
    subject = subject_of(CELLS[1], images())
    calls = []
    subject.lean.register_forward_hook(lambda *_: calls.append(1))
    assert {name: score(name, subject) for name in alone} == alone
    assert len(calls) == 1


def test_synflow_and_logsynflow_read_one_flow():
    subject = subject_of(CELLS[1], images())
    alone = score("logsynflow", subject_of(CELLS[1], images()))
    score("synflow", subject)
    subject.network = None  # whatever is left to run would fail
    assert score("logsynflow", subject) == alone


class Small(nn.Module):
    """Depthwise and grouped convolutions, a shared layer, a bias, activations that overwrite what they read or do not."""

    def __init__(self, inplace):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, stride=2, padding=2, dilation=2, groups=4)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1, bias=False)
        self.relu = nn.ReLU(inplace=inplace)
        self.classifier = nn.Linear(4, 10)

    def forward(self, x):
        x = self.relu(self.norm(self.depthwise(self.relu(self.first(x)))))
        x = self.relu(self.shared(self.relu(self.shared(x))))
        return self.classifier(x.mean(dim=(2, 3)))


def small(inplace):
    network = Small(inplace).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return network


@pytest.mark.parametrize("name", NAMES)
def test_activations_in_place_and_grouped_or_shared_layers_change_nothing(name):
    found = [score(name, subject_of(CELLS[0], images(), network=small(inplace))) for inplace in (False, True)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    subject = subject_of(CELLS[0], images(), network=small(False))
    expected = getattr(gradient_references, name)(subject.network, images(), labels_of(subject))
    assert found[0] == pytest.approx(expected, rel=1e-5)


def test_the_tangent_kernel_is_the_same_in_chunks_of_parameters(monkeypatch):
    whole = create_proxy("ntk_cond").measure(subject_of(CELLS[0], images()))["kernel"]
    monkeypatch.setattr(ntk, "HELD", 6 * 100)
    monkeypatch.setattr(ntk, "TILE", 7)
    np.testing.assert_allclose(create_proxy("ntk_cond").measure(subject_of(CELLS[0], images()))["kernel"], whole, rtol=1e-12)


def test_a_singular_tangent_kernel_fails():
    kernel = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(CandidateFailed, match="smallest eigenvalue"):
        create_proxy("ntk_cond").score({"kernel": kernel, "rounding": np.float64(1e-7)})
    spread = {"kernel": np.diag([4.0, 2.0, 1.0]), "rounding": np.float64(1e-7)}
    assert create_proxy("ntk_cond").score(spread) == -4


def test_jacob_cov_is_highest_where_images_do_not_correlate():
    proxy = create_proxy("jacob_cov")
    best = -4 * (np.log(1 + 1e-5) + 1 / (1 + 1e-5))
    assert proxy.score({"covariances": np.diag([1.0, 4.0, 9.0, 16.0])}) == pytest.approx(best, rel=1e-12)
    assert proxy.score({"covariances": np.full((4, 4), 2.0)}) < best - 1e5


def test_zico_leaves_out_weights_that_do_not_deviate():
    network = small(False)
    twice = torch.cat([images()[:3], images()[:3]])
    subject = subject_of(CELLS[0], twice, torch.tensor([1, 2, 3, 1, 2, 3]), network)
    with pytest.raises(CandidateFailed, match="zero"):
        score("zico", subject)


def test_vkdnw_forms_differ_by_the_number_of_layers():
    subject = subject_of(CELLS[0], images())
    entropy = score("vkdnw", subject, form="entropy")
    layers = sum(bool(list(m.parameters(recurse=False))) for m in subject.network.modules())
    assert score("vkdnw", subject) == pytest.approx(layers + entropy, rel=1e-12)
    assert 0 < entropy <= np.log(9)


def test_vkdnw_covers_as_many_layers_as_asked():
    subject = subject_of(CELLS[0], images())
    proxy = create_proxy("vkdnw", layers=5)
    assert len(proxy.measure(subject)["eigenvalues"]) == 5
    expected = gradient_references.vkdnw(subject.network, images(), None, most=5)
    assert score("vkdnw", subject, layers=5) == pytest.approx(expected, rel=1e-9)
    assert proxy.identity != create_proxy("vkdnw").identity


def test_vkdnw_is_the_entropy_of_the_deciles():
    proxy = create_proxy("vkdnw", form="entropy")
    equal = {"eigenvalues": np.full(100, 3.0), "layers": np.int64(7)}
    assert proxy.score(equal) == pytest.approx(np.log(9), rel=1e-12)
    # Four deciles of 0, one between two values, four of 3.
    halved = {"eigenvalues": np.repeat([0.0, 3.0], 50), "layers": np.int64(7)}
    assert proxy.score(halved) == pytest.approx(np.log(9) / 9 + 8 / 9 * np.log(9 / 2), rel=1e-12)
    with pytest.raises(CandidateFailed, match="a tenth"):
        proxy.score({"eigenvalues": np.repeat([0.0, 3.0], [95, 5]), "layers": np.int64(7)})


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("name", [*NAMES, "synflow"])
def test_a_score_changes_neither_network_nor_inputs_nor_random_state(name):
    batch = images(4).clone()
    subject = subject_of(CELLS[0], batch, torch.tensor([0, 1, 2, 3]))
    network = subject.network.train()
    network.blocks[1].eval()
    modes = [module.training for module in network.modules()]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random_states = states()
    score(name, subject)
    assert states() == random_states
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(batch, images(4))
    assert batch.grad is None
    assert not batch.requires_grad


# No path to the output; one path without a convolution; nothing but pooling or skipping.
WITHOUT_PATH = [(0,) * 6, (1, 0, 0, 0, 0, 0), (0, 3, 0, 0, 0, 0)]
BARE = [(0, 0, 0, 4, 0, 0), (0, 0, 0, 1, 0, 0), (4,) * 6, (1,) * 6]


def measured(genotypes):
    # As little as a batch and a classifier may have: each costs every cell passes.
    space = create_space("nats_tss", channels=4, cells=1, classes=3)
    proxies = {name: create_proxy(name) for name in NAMES}
    batch = images(2).float()
    measurer = Measurer(Conditions.of(space, Batch(batch), device="cpu"))
    for result in measurer.measure([(g, proxies) for g in genotypes]):
        outcome = dict(result.failures)
        for name, statistics in result.statistics.items():
            try:
                outcome[name] = proxies[name].score(statistics)
            except CandidateFailed as failed:
                outcome[name] = str(failed)
        yield outcome


@pytest.mark.parametrize("part", range(4))
def test_every_cell_has_a_finite_score_or_a_reason(part):
    indices = np.random.default_rng(7).choice(15625, 60, replace=False)[part::4]
    for outcome in measured([*BARE[part : part + 1], *(SPACE.at(int(index)) for index in indices)]):
        assert outcome.keys() == set(NAMES)
        for found in outcome.values():
            assert found if isinstance(found, str) else np.isfinite(found)


def test_a_network_without_a_path_fails_in_every_score_and_says_why():
    for outcome in measured(WITHOUT_PATH):
        assert outcome.keys() == set(NAMES)
        assert all(isinstance(found, str) and len(found) > 10 for found in outcome.values()), outcome


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_fail(name, value):
    subject = subject_of(CELLS[0], images())
    network = copy.deepcopy(subject.network)
    with torch.no_grad():
        network.classifier.weight[0, 0] = value
    subject.network = network
    with pytest.raises(CandidateFailed):
        score(name, subject)


class Regression(type(create_space("toy"))):
    loss = "mean_squared_error"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vkdnw"])
def test_a_regression_is_scored_by_its_squared_error(name):
    space = Regression()
    batch = torch.from_numpy(np.random.default_rng(1).standard_normal((4, *space.input_shape)))
    genotype = space.encoding.sample(np.random.default_rng(0))
    assert np.isfinite(score(name, Subject(space, genotype, batch)))


def test_vkdnw_of_a_regression_says_that_there_is_none():
    space = Regression()
    batch = torch.from_numpy(np.random.default_rng(1).standard_normal((4, *space.input_shape)))
    with pytest.raises(ConfigError, match="classifiers"):
        score("vkdnw", Subject(space, space.encoding.sample(np.random.default_rng(0)), batch))
