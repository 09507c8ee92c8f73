"""RBFleX and its layered form on models of torchvision equal literal references that see every operation of a forward."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from benchmarks.scores.models import CONSTANT, log_determinant, reference_layers
from benchmarks.shared import literal_rbflex
from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.proxies.rbflex.layered import LayeredObserver
from rbflex_evo.fitness.proxies.rbflex.of_module import rbflex_score
from rbflex_evo.spaces.families.models.network import classifier_of
from tests.fitness.proxies.rbflex.test_layered import literal_score

# The size of the images, and what the constructor needs to know of it.
FAST = {
    "resnet18": (32, {}),
    "mobilenet_v3_small": (32, {}),
    "regnet_y_400mf": (32, {}),
}
SLOW = {
    "efficientnet_b0": (32, {}),
    "convnext_tiny": (32, {}),
    "vit_b_16": (32, {"image_size": 32}),
    "swin_t": (32, {}),
    "densenet121": (32, {}),
}
MODELS = {**FAST, **SLOW}
# The windows of maxvit_t fit no image of less than 224 pixels, so its literal form is that of a small one.
SMALL_MAXVIT = partial(
    models.MaxVit,
    input_size=(32, 32),
    stem_channels=8,
    partition_size=4,
    block_channels=[8, 16],
    block_layers=[1, 1],
    head_dim=4,
    stochastic_depth_prob=0.0,
    num_classes=5,
)


def settled(rows):
    """Returns rows without differences of round-off, which the literal formula would stretch to the full range."""
    return np.where(np.ptp(rows, axis=0) > CONSTANT, rows, 0.0)


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_scores_of_a_model_of_torchvision_equal_their_literal_forms(name):
    size, options = MODELS[name]
    torch.manual_seed(0)
    check_literal_forms(models.get_model(name, weights=None, **options), size)


def test_scores_of_a_small_maxvit_equal_their_literal_forms():
    torch.manual_seed(0)
    check_literal_forms(SMALL_MAXVIT(), 32)


@pytest.mark.slow
def test_a_maxvit_of_published_size_has_finite_scores():
    torch.manual_seed(0)
    network = models.maxvit_t().eval()
    observers = [create_proxy("rbflex", gamma="flat").observer(), LayeredObserver()]
    run_observed(network, torch.randn(2, 3, 224, 224), observers, classifier_of(network))
    for name, observer in zip(("rbflex", "layered"), observers, strict=True):
        proxy = create_proxy(name, **({"gamma": "flat"} if name == "rbflex" else {}))
        assert np.isfinite(proxy.score(observer.finish()))


def check_literal_forms(network, size):
    network = network.double().eval()
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    head = next(path for path, module in network.named_modules() if module is classifier_of(network))
    layers, features = reference_layers(network, images, head)
    layers, features = [settled(rows) for rows in layers], settled(features)
    x = np.concatenate(layers, axis=1)
    (_, gamma_k), (_, gamma_q) = log_determinant(x), log_determinant(features)
    expected = literal_rbflex.score(x, features, gamma_k, gamma_q)
    assert np.isfinite(expected)
    assert rbflex_score(network, images, gamma=[gamma_k, gamma_q]) == pytest.approx(expected, rel=1e-6)
    observer = LayeredObserver()
    account = run_observed(network, images, [observer], classifier_of(network))
    assert account.read == account.calls == len(layers)
    found = create_proxy("layered").score(observer.finish())
    assert found == pytest.approx(literal_score((layers, features)), rel=1e-6)


def test_a_model_that_mixes_images_says_why_it_has_no_score():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.fc = models.resnet18(num_classes=8), nn.Linear(8, 2)

        def forward(self, x):
            x = self.body(x)
            return self.fc(torch.relu(x - x.mean(0)))

    with pytest.raises(CandidateFailed, match=r"layer 'relu 1' .*mixes images"):
        rbflex_score(Mixing().eval(), torch.randn(4, 3, 16, 16))
