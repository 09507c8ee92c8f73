"""InTrain and L-SWAG equal literal forms of their papers, on cells, words and Transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters, initialise
from rbflex_evo.fitness.proxies.intrain import RatioObserver
from rbflex_evo.spaces import ConfigError, create_space
from tests.support import gradient_references

CELLS = [(3, 2, 4, 1, 3, 2), (1, 0, 3, 1, 4, 2), (0, 3, 3, 4, 1, 3)]
SPACE = create_space("nats_tss", channels=4, cells=1)
WORDS = create_space("nafbee_bert", layers=2, hidden=12, heads=2, length=6, vocabulary=40)


def images(n=6, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 3, 8, 8)))


def measured(name, subject, **values):
    proxy = create_proxy(name, **values)
    return {key: np.asarray(value) for key, value in proxy.measure(subject).items()}


def score(name, subject, **values):
    return create_proxy(name, **values).score(measured(name, subject, **values))


def vit(depth=2):
    network = VisionTransformer(8, 4, depth, 2, 8, 16, num_classes=10).double()
    initialise(network, WeightParameters())
    return network


@pytest.mark.parametrize("band", [(0, 100), (20, 70)])
@pytest.mark.parametrize("genotype", CELLS)
def test_l_swag_equals_its_literal_form(genotype, band):
    subject = Subject(SPACE, genotype, images())
    labels = subject.labels(torch.empty(6, 10))
    start, end = band
    expected = gradient_references.l_swag(subject.network, images(), labels, 3, start, end)
    assert score("l_swag", subject, batches=3, start=start, end=end) == pytest.approx(expected, rel=1e-7)


def test_a_band_of_depths_costs_no_pass():
    subject = Subject(SPACE, CELLS[0], images())
    statistics = measured("l_swag", subject)
    identities = {str(create_proxy("l_swag", end=end).identity) for end in (40, 100)}
    assert len(identities) == 1
    scores = [create_proxy("l_swag", end=end).score(statistics) for end in (40, 100)]
    assert 0 < scores[0] < scores[1]


def test_l_swag_of_few_images_takes_fewer_batches():
    statistics = [measured("l_swag", Subject(SPACE, CELLS[0], images(5)), batches=batches) for batches in (2, 4)]
    np.testing.assert_array_equal(statistics[0]["evenness"], statistics[1]["evenness"])
    with pytest.raises(ConfigError, match="there are 3 images; take at least 4"):
        measured("l_swag", Subject(SPACE, CELLS[0], images(3)))


def test_a_band_without_layers_fails_with_its_way_out():
    statistics = {"evenness": np.array([2.0, 3.0]), "patterns": np.array([4, 6])}
    with pytest.raises(CandidateFailed, match="between 60 and 70 % of the depth has a gradient that varies; widen the band"):
        create_proxy("l_swag", start=60, end=70).score(statistics)
    with pytest.raises(ConfigError, match="start must be below end, but they are 50 and 50"):
        create_proxy("l_swag", start=50, end=50)


@pytest.mark.parametrize("n", [6, 20])
def test_patterns_are_counted_from_layer_to_layer(n):
    from rbflex_evo.fitness.proxies.l_swag import PatternsSoFar

    layers = [torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1, 0)]
    observer = PatternsSoFar()
    for layer in layers:
        observer.activation("layer", layer)
    assert observer.finish()["patterns"].tolist() == [3, 6, 6]


@pytest.mark.parametrize("genotype", CELLS)
def test_intrain_equals_its_literal_form(genotype):
    subject = Subject(SPACE, genotype, images())
    noise = subject.random_inputs("intrain/images", 5)
    uniform = subject.uniform("intrain/labels", (5,))
    labels = ((uniform + 1) / 2 * 10).long()
    expected = gradient_references.intrain(subject.network, noise, labels)
    assert score("intrain", subject, images=5) == pytest.approx(expected, rel=1e-9)


def test_intrain_reads_neither_images_nor_labels():
    scores = [
        score("intrain", Subject(SPACE, CELLS[0], images(6, seed), labels)) for seed, labels in ((0, None), (1, torch.arange(6)))
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("shape", [(4, 5, 3, 3), (4, 3, 7), (3, 9)])
def test_a_participation_ratio_is_that_of_the_covariance_of_the_channels(shape):
    layer = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    observer = RatioObserver()
    observer.activation("layer", layer, multiplicity=2)
    rows = layer.numpy() if len(shape) < 4 else np.moveaxis(layer.numpy(), 1, -1)
    eigenvalues = np.linalg.eigvalsh(np.cov(rows.reshape(-1, rows.shape[-1]).T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    np.testing.assert_allclose(observer.finish()["ratios"], [expected, expected])


def test_a_layer_of_constant_channels_has_a_ratio_of_one_and_a_network_of_them_fails():
    observer = RatioObserver()
    observer.activation("dead", torch.zeros(4, 3, 2, 2))
    with pytest.raises(CandidateFailed, match="constant: the signal died"):
        observer.finish()
    observer.activation("alive", torch.randn(4, 3, 2, 2))
    assert observer.finish()["ratios"][0] == 1


@pytest.mark.parametrize("name", ["intrain", "l_swag"])
def test_a_dead_network_fails(name):
    with pytest.raises(CandidateFailed):
        score(name, Subject(SPACE, (0,) * 6, images()))


@pytest.mark.parametrize("name", ["intrain", "l_swag"])
def test_words_and_transformers_are_scored(name):
    assert np.isfinite(score(name, Subject(WORDS, WORDS.parse("GELU"), WORDS.example_inputs(6))))
    scores = []
    for depth in (2, 4):
        subject = Subject(SPACE, CELLS[0], images())
        subject.network = vit(depth)
        subject.classifier = subject.network.heads[-1]
        scores.append(score(name, subject))
    assert scores[0] < scores[1]


def test_intrain_of_a_map_has_random_targets():
    class Map(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.relu, self.classifier = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.classifier(self.relu(self.first(x)))

    subject = Subject(SPACE, CELLS[0], images())
    subject.network = Map().double()
    subject.classifier = subject.network.classifier
    assert score("intrain", subject) > 0
