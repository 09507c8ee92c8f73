"""The benchmark of forms of layered RBFleX: its default is the score, and a form is judged on a space that did not choose it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scores import layered_forms
from benchmarks.shared.known_settings import darts_notation
from rbflex_evo.fitness import create_proxy
from rbflex_evo.spaces import create_space


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
        (layered_forms.DEFAULT, {}),
        ("log-determinant, c = -75", {"form": "determinant", "gamma": float(np.exp(-5)), "features": 1}),
        ("spectrum, c = -6, without Q", {"features": 0}),
    ],
)
def test_a_form_is_the_score_with_these_parameters(form, parameters):
    for seed in range(3):
        layered, rbflex = statistics(seed)
        expected = create_proxy("layered", **parameters).score(layered)
        assert layered_forms.FORMS[form](layered_forms.layers_of(layered, rbflex)) == pytest.approx(expected)


def test_a_space_that_is_left_out_has_no_say_in_the_choice():
    family = {"a 1": "a", "a 2": "a", "b": "b", "c": "c"}
    rows = {"best on a": {"a 1": 0.9, "a 2": 0.9, "b": 0.1, "c": 0.1}, "other": {"a 1": 0.2, "a 2": 0.4, "b": 0.5, "c": 0.5}}
    assert layered_forms.left_out(rows, family)[0] == ["a", "other", pytest.approx(0.3), "best on a", pytest.approx(0.9)]


def test_lists_of_naslib_are_networks_of_darts():
    cell = [(0, 0), (1, 5), (1, 1), (0, 1), (1, 3), (0, 3), (1, 3), (3, 2)]
    genotype = create_space("darts").parse(darts_notation(str([cell, cell])))
    assert "('dil_conv_3x3', 1)" in create_space("darts").notation(genotype)
