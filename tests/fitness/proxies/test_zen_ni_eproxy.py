"""Zen-score, noise immunity and Eproxy equal literal forms of their papers; every score with passes leaves all as it was."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import PROXIES, CandidateFailed, create_batch, create_proxy, six_digits
from rbflex_evo.fitness.conformance.variants import other_values
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.last_map import last_map
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import create_space

PARAMETERS = {"eproxy": {"steps": 2, "channels": 4}}
NAMES = ("az_expressivity", "az_progressivity", "az_trainability", "zen", "ni", "eproxy")
INDICES = [11, 284, 6111, 9930]
DEAD, SKIP_ALONE = (0,) * 6, (0, 0, 0, 1, 0, 0)


@pytest.fixture(scope="module")
def space():
    return create_space("nats_tss", channels=4, cells=1)


def images(n=5, size=12):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((n, 3, size, size)).astype("float32"))


def subject_of(space, genotype):
    return Subject(space, genotype, images())


def proxy_of(name):
    return create_proxy(name, **PARAMETERS.get(name, {}))


def score_of(name, subject):
    proxy = proxy_of(name)
    return proxy.score(proxy.measure(subject))


def before_pooling(network, x):
    """The map that global pooling takes on this benchmark."""
    x = network.stem(x)
    for block in network.blocks:
        x = block(x)
    return network.relu(network.norm(x))


def doubled(network):
    return copy.deepcopy(network).double().train()


@pytest.mark.parametrize("index", INDICES)
def test_zen_equals_its_literal_form(space, index):
    subject = subject_of(space, space.at(index))
    network = doubled(build_initialised(space, space.at(index), WeightParameters(distribution="standard_normal")))
    shape = (16, 3, 12, 12)
    noise, perturbation = (subject.normal(f"zen/{name}", shape).double() for name in ("images", "perturbation"))
    scales = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda m, x, y: scales.append(x[0].var(dim=(0, 2, 3), correction=0).mean().sqrt()))
    with torch.no_grad():
        clean = before_pooling(network, noise)
        layers = len(scales)
        changed = before_pooling(network, noise + 0.01 * perturbation)
    change = np.mean([float((clean[i] - changed[i]).norm()) for i in range(16)])
    expected = np.log(change) + sum(float(scale.log()) for scale in scales[:layers])
    # A change of a hundredth, from float32 maps.
    assert score_of("zen", subject) == pytest.approx(expected, rel=1e-5)


def test_the_weights_of_zen_are_normal_whatever_is_configured(space):
    scores = {
        distribution: score_of("zen", Subject(space, space.at(9930), images(), None, WeightParameters(distribution=distribution)))
        for distribution in ("pytorch", "kaiming_normal", "standard_normal")
    }
    assert len(set(scores.values())) == 1


@pytest.mark.parametrize("index", INDICES)
def test_noise_immunity_equals_its_literal_form(space, index):
    subject = subject_of(space, space.at(index))
    network = doubled(subject.network)
    taken = []
    for module in network.modules():
        if isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda m, x, y: taken.append(x[0].numpy()))
    with torch.no_grad():
        network(images().double())
        layers = len(taken)
        network(images().double() + subject.normal("ni/noise", (5, 3, 12, 12)).double())
    changes = [((taken[k] - taken[k + layers]) ** 2).sum() / taken[k].size for k in range(layers)]
    # Two reductions, the global pooling, and whatever cells pool.
    assert layers >= 3
    assert score_of("ni", subject) == pytest.approx(-sum(changes), rel=1e-5)


def test_more_noise_changes_more(space):
    subject = subject_of(space, space.at(9930))
    scores = []
    for sigma in (0.1, 0.5, 2.0):
        proxy = create_proxy("ni", sigma=sigma)
        scores.append(proxy.score(proxy.measure(subject)))
    assert scores == sorted(scores, reverse=True)


def test_noise_immunity_of_a_network_without_pooling_fails():
    proxy = create_proxy("ni")
    with pytest.raises(CandidateFailed, match="no pooling layer"):
        proxy.score({"changes": np.array([])})


def literal_eproxy(subject, steps, channels, rate, momentum=0.9, decay=4e-5):
    """Ten lines of training by hand in float64: v = m v + (g + decay w), w -= rate v."""
    network = doubled(subject.network)
    inputs = subject.network.classifier.in_features
    head = nn.Sequential(nn.Conv2d(inputs, channels, 1), nn.ReLU(), nn.BatchNorm2d(channels)).double()
    barrier = nn.Conv2d(channels, channels, 3, padding=1).double()
    for name, layer in (("head", head[0]), ("barrier", barrier)):
        bound = layer.weight[0].numel() ** -0.5
        for part in ("weight", "bias"):
            parameter = getattr(layer, part)
            parameter.data = subject.uniform(f"eproxy/{name}.{part}", tuple(parameter.shape)).double() * bound
    frequency, phase, along = (subject.uniform("eproxy/waves", (3, 5, channels, 1, 1)).double().numpy() + 1) / 2
    target = np.zeros((5, channels, 3, 3))
    for n, c, i, j in np.ndindex(target.shape):
        place = i if along[n, c] < 0.5 else j
        target[n, c, i, j] = np.sin(2 * np.pi * (0.5 * frequency[n, c, 0, 0] * place + phase[n, c, 0, 0]))
    weights = [*network.parameters(), *head.parameters()]
    velocities = [torch.zeros_like(weight) for weight in weights]
    for _ in range(steps):
        loss = ((barrier(head(before_pooling(network, images().double()))) - torch.from_numpy(target)) ** 2).mean()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
            if gradient is not None:
                velocity.mul_(momentum).add_(gradient + decay * weight.data)
                weight.data -= rate * velocity
    return -float(loss.detach())


@pytest.mark.parametrize(("index", "rate"), [(11, 0.1), (6111, 0.1), (9930, 0.1), (9930, 1.2)])
def test_eproxy_equals_its_literal_form(space, index, rate):
    subject = subject_of(space, space.at(index))
    proxy = create_proxy("eproxy", steps=4, channels=6, learning_rate=rate)
    expected = literal_eproxy(subject, 4, 6, rate)
    # Rounding of float32 grows from step to step, the more the larger the rate.
    assert proxy.score(proxy.measure(subject)) == pytest.approx(expected, rel=2e-3 if rate > 1 else 1e-4)


def test_training_lowers_the_loss(space):
    statistics = create_proxy("eproxy", steps=30, channels=16, learning_rate=0.3).measure(subject_of(space, space.at(9930)))
    assert statistics["losses"][-1] < 0.8 * statistics["losses"][0]


def test_training_that_breaks_fails(space):
    with pytest.raises(CandidateFailed, match="training broke in step"):
        create_proxy("eproxy", learning_rate=1e30).measure(subject_of(space, space.at(9930)))


def test_the_last_map_is_the_pooled_one_or_the_features_themselves(space):
    network = subject_of(space, space.at(9930)).network
    pooled = last_map(network, network.classifier, images())
    torch.testing.assert_close(pooled, before_pooling(doubled(network), images().double()).float(), rtol=1e-4, atol=1e-4)
    plain = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(108, 4), nn.ReLU(), nn.Linear(4, 2))
    assert last_map(plain, plain[4], images()).shape == (5, 4)


def test_a_classifier_that_is_never_called_fails(space):
    network = subject_of(space, space.at(9930)).network
    with pytest.raises(CandidateFailed, match="never called"):
        last_map(network, nn.Linear(1, 1), images())


@pytest.mark.parametrize("name", NAMES)
def test_a_network_without_a_path_fails(space, name):
    with pytest.raises(CandidateFailed, match="signal died"):
        score_of(name, subject_of(space, DEAD))


@pytest.mark.parametrize("name", NAMES)
def test_maps_of_nan_fail(space, name):
    # A dead edge, so that the network has no lean form and its weights can be changed.
    subject = subject_of(space, space.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|none~2|"))
    for network in (subject.network, subject.initialised("standard_normal")):
        with torch.no_grad():
            network.stem[0].weight.fill_(float("nan"))
    with pytest.raises(CandidateFailed, match="NaN or infinity"):
        score_of(name, subject)


@pytest.fixture(scope="module")
def sampled(space):
    """60 random cells, and two that cannot all be scored."""
    rng = np.random.default_rng(0)
    genotypes = [space.encoding.sample(rng) for _ in range(60)] + [DEAD, SKIP_ALONE]
    return [Subject(space, genotype, images(4, 8)) for genotype in genotypes]


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_gets_a_finite_score_or_a_reason(sampled, name):
    scores, reasons = [], []
    for subject in sampled:
        try:
            scores.append(score_of(name, subject))
        except CandidateFailed as failed:
            reasons.append(str(failed))
    assert all(reasons)
    assert all(isinstance(score, float) for score in scores)
    assert np.isfinite(scores).all()
    # All cells have a score except those without a path, and those of one skip connection.
    assert 50 <= len(scores) < 62


def random_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_score_leaves_weights_buffers_modes_gradients_hooks_and_random_states_alone(space, name, training):
    subject = subject_of(space, space.at(9930))
    network = subject.network.train(training)
    network.classifier.weight.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    states = random_states()
    first = score_of(name, subject)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(module.training is training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [key for key, p in network.named_parameters() if not p.requires_grad] == ["classifier.weight"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert random_states() == states
    assert score_of(name, subject_of(space, space.at(9930))) == first


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_changes_the_statistics_is_part_of_the_caches_key(name):
    identities = {create_proxy(name).identity.__repr__()}
    for parameter, field in PROXIES.get(name).Parameters.model_fields.items():
        other = next(value for value in other_values(field.annotation, field.default))
        identities.add(create_proxy(name, **{parameter: other}).identity.__repr__())
    assert len(identities) == 1 + len(PROXIES.get(name).Parameters.model_fields)


def test_an_evaluator_reports_the_same_scores(space):
    genotypes = [space.representative(space.key(space.at(index))) for index in (284, 9930)]
    batch = create_batch("noise", shape=[3, 12, 12], n=5, seed=0)
    conditions = Conditions.of(space, batch, device="cpu", backend="eager")
    with Evaluator(conditions, {name: proxy_of(name) for name in NAMES}, workers=1) as evaluator:
        for genotype, evaluation in zip(genotypes, evaluator.evaluate(keyed(evaluator, genotypes)), strict=True):
            subject = Subject(space, genotype, batch.images)
            assert dict(evaluation.scores) == {name: six_digits(score_of(name, subject)) for name in NAMES}
