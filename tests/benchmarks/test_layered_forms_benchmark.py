"""Forms of layered RBFleX: the default is the score, figures are those of the protocol, and what was measured is only read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.transfer import forms, layered_forms, stored, transfer
from benchmarks.transfer.judged import families
from benchmarks.transfer.protocol import Bench, Candidate
from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.measuring.arrivals import Arrivals

TABLES = os.environ.get("RBFLEX_EVO_TABLES")


def statistics(seed, layers=5, n=6):
    rng = np.random.default_rng(seed)
    rows = rng.random((n, 40))
    distances = rng.random((layers, n - 1)).cumsum(axis=1)
    layered = {
        "eigenvalues": distances,
        "units": rng.integers(10, 99, layers),
        "q_eigenvalues": distances[0],
        "q_units": np.array(8),
    }
    return layered, {"k_gram": rows @ rows.T}


@pytest.mark.parametrize(
    ("form", "parameters"),
    [
        (forms.DEFAULT, {}),
        ("determinant, gamma e^-5, Q once", {"form": "determinant", "gamma": float(np.exp(-5)), "features": 1}),
        ("spectrum, gamma e^-6, without Q", {"features": 0}),
    ],
)
def test_a_form_is_the_score_with_these_parameters(form, parameters):
    for seed in range(3):
        layered, rbflex = statistics(seed)
        expected = create_proxy("layered", **parameters).score(layered)
        assert forms.FORMS[form](forms.layers_of(layered, rbflex)) == pytest.approx(expected)


@pytest.mark.parametrize("images", [6, 9])
def test_a_network_that_failed_has_no_score_in_any_form(images):
    networks = [forms.layers_of(*statistics(0, n=images)), None, forms.layers_of(*statistics(1, n=images))]
    scores = forms.scores_of(networks)
    assert tuple(scores) == forms.NAMES
    for values in scores.values():
        assert np.isfinite(values).tolist() == [True, False, True]


def test_taus_of_resamples_are_scipys_of_repeated_networks():
    rng = np.random.default_rng(0)
    scores, accuracies = rng.integers(5, size=20).astype(float), rng.integers(5, size=20).astype(float)
    drawn = rng.integers(20, size=(3, 20))
    found = layered_forms.weighted_taus(scores, accuracies, np.array([np.bincount(i, minlength=20) for i in drawn], dtype=float))
    assert found == pytest.approx([kendalltau(scores[i], accuracies[i]).statistic for i in drawn])
    assert layered_forms.weighted_taus(np.zeros(20), accuracies, np.ones((1, 20))) == 0


def test_figures_of_all_networks_are_those_of_the_protocol():
    rng = np.random.default_rng(0)
    settings = {}
    for name in ("a", "b", "c"):
        scores = np.round(rng.normal(size=(2, 15, 2)), 1)
        scores[:, :2, 1] = np.nan
        arrays = np.arange(15), np.arange(15).astype(str), scores, np.ones(15), np.ones(15), np.array(["t", "u"])
        settings[name] = stored.Measurements(*arrays, np.round(rng.normal(size=(2, 15)), 1), np.ones((2, 15), dtype=bool))
    facts = {"a": ("one", True), "b": ("one", True), "c": ("two", True)}
    document = {"settings": {name: {"family": family, "choosing": choosing} for name, (family, choosing) in facts.items()}}
    found = stored.Transfer(("first", "second"), (0, 1), settings, document)
    groups = families(found)
    expected = Bench(found, groups, found.scores, 15).figures([Candidate((name,)) for name in found.scores])
    drawn = layered_forms.drawn(found, groups, 4)
    assert drawn.families.shape == (5, 2, 2)
    assert drawn.families[0] == pytest.approx(expected)


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is not set")
def test_statistics_that_the_matrix_measured_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))
    options = [f"--benchdata={TABLES}", f"--folder={tmp_path}", "--quick", "--workers=1", "--networks=4"]
    names = ["--settings", "nds_darts", "nats_sss", "nasbench_macro"]
    transfer.main([*options, *names, "--scores", "layered", "rbflex"])
    submitted = []
    send = Arrivals.send

    def watched(self, call, positions, requests, take):
        submitted.extend(requests)
        send(self, call, positions, requests, take)

    monkeypatch.setattr(Arrivals, "send", watched)
    layered_forms.main([*options, *names, "--resamples=3"])
    assert not submitted
    matrix, found = (stored.read(tmp_path / name) for name in ("transfer.npz", "layered_forms.npz"))
    for name, one in found.settings.items():
        mine, theirs = one.scores[0, :, forms.NAMES.index(forms.DEFAULT)], matrix.settings[name].scores[0, :, 0]
        assert mine == pytest.approx(theirs, rel=1e-5, nan_ok=True)
    table = Path(tmp_path / "layered_forms.md").read_text()
    assert "4 images" in table and "family left out" in table
    assert len(json.loads((tmp_path / "layered_forms.json").read_text())["figures"][forms.DEFAULT]) == 3
