"""rbflex_score takes any module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import literal_rbflex
from fitness import rbflex_score
from spaces import ConfigError


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 10)).double()


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((6, 3, 12, 12)))


def test_it_equals_the_literal_paper(model, images):
    x, y = literal_rbflex.raw_vectors(model, images, model[7], [model[2], model[6]])
    assert rbflex_score(model, images, gamma=[1e-4, 1e-2]) == pytest.approx(literal_rbflex.score(x, y, 1e-4, 1e-2), rel=1e-8)
    gammas = [literal_rbflex.gamma([rows]) for rows in (x, y)]
    assert rbflex_score(model, images, gamma="hda") == pytest.approx(literal_rbflex.score(x, y, *gammas), rel=1e-6)


def test_the_classifier_can_be_named(model, images):
    assert rbflex_score(model, images, classifier="5") != rbflex_score(model, images)
    assert rbflex_score(model, images, classifier=model[7]) == rbflex_score(model, images)


def test_flat_ranks_models_as_small_gammas_do(images):
    models = []
    for width in (8, 16, 32):
        torch.manual_seed(width)
        models.append(nn.Sequential(nn.Flatten(), nn.Linear(432, width), nn.ReLU(), nn.Linear(width, 4)).double())
    flat = [rbflex_score(m, images, gamma="flat") for m in models]
    small = [rbflex_score(m, images, gamma=[1e-9, 1e-9]) for m in models]
    np.testing.assert_allclose(np.diff(flat), np.diff(small), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "head"}, "no module 'head'"),
        ({"gamma": "fla"}, "gamma"),
        ({"gamma": [1e-3, 0.0]}, "gamma"),
        ({"kernel": "rbff"}, "kernel"),
    ],
)
def test_wrong_arguments_are_one_line_errors(model, images, options, message):
    with pytest.raises(ConfigError, match=message):
        rbflex_score(model, images, **options)


def test_a_model_without_a_linear_layer_needs_a_named_classifier(images):
    with pytest.raises(ConfigError, match="pass classifier="):
        rbflex_score(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double(), images)
