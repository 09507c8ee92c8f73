"""The comparison of models with a literal reference, on small models that are written here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.scores import models


class Folding(nn.Module):
    """MobileViT's way: the pixels of patches become rows."""

    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.SiLU(), nn.Linear(12, 8))

    def forward(self, x):
        n, c, h, w = x.shape
        rows = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 2, 4, 1).reshape(n * 4, -1, c)
        return x + self.mlp(rows).reshape(n, 2, 2, h // 2, w // 2, c).permute(0, 5, 3, 1, 4, 2).reshape(x.shape)


class Excitation(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.gate(functional.hardswish(x.mean((2, 3), keepdim=True))))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class PooledBranch(nn.Module):
    """A branch of small maps, of which the pooling makes constants."""

    def __init__(self):
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Upsample(size=8), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x):
        return x + self.pool(x)


class Sequencer(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.LSTM(8, 8, batch_first=True)

    def forward(self, x):
        n, c, h, w = x.shape
        return x + self.rows(x.permute(0, 2, 3, 1).reshape(n * h, w, c))[0].reshape(n, h, w, c).permute(0, 3, 1, 2)


def model(body):
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
    return nn.Sequential(*stem, body, nn.Conv2d(8, 24, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 4))


BODIES = {
    "folding": (Folding, {"regrouped": 1, "read": 2}),
    "excitation": (Excitation, {"read": 4}),
    "quick gelu": (QuickGELU, {"read": 3}),
    "constant map": (PooledBranch, {"read": 3}),
    "recurrent": (Sequencer, {"read": 2}),
}


@pytest.mark.parametrize("name", BODIES)
def test_account_and_score_equal_an_independent_count_and_a_literal_reference(name, monkeypatch):
    body, expected = BODIES[name]
    monkeypatch.setattr(models, "build", lambda name: (model(BODIES[name][0]()), 16))
    result = models.examine(name, 6)
    assert result["calls"] == sum(expected.values())
    assert {kind: count for kind, count in result["account"].items() if count} == expected
    assert result["difference"] < 1e-4
    assert body is not None
    assert np.isfinite(result["score"])
    assert models.summary([result]).startswith("1 models: 1 accounts equal the calls seen, 0 refused, 1 scores within")


def test_a_model_that_cannot_be_observed_is_refused_by_name(monkeypatch):
    class Mixing(nn.Module):
        def forward(self, x):
            return x * torch.sigmoid(x.mean(0))

    monkeypatch.setattr(models, "build", lambda name: (model(Mixing()), 16))
    assert "layer 'sigmoid 1' mixes images" in models.row(models.examine("mixing", 6))[4]


def test_the_list_names_fifty_models_once():
    assert len(models.MODELS) == len(set(models.MODELS)) == 50
