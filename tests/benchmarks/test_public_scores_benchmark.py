"""The comparison with public code: both give the same scores, take turns, and are compared cell by cell."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.machine import convolution_calls, public_scores, speed_methods
from benchmarks.machine.public_forms import FORMS
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.spaces import create_space


@pytest.fixture(scope="module")
def space():
    return create_space("nats_tss", channels=4, cells=1)


@pytest.fixture(scope="module")
def cells(space):
    return speed_methods.networks(space, 2, seed=1)


def batch():
    return Batch(torch.from_numpy(speed_methods.noise(4, 16)), torch.tensor([0, 1, 2, 3]))


@pytest.mark.parametrize("name", [name for name in FORMS if name not in public_scores.OWN_DRAWS])
def test_the_public_form_of_a_score_has_its_value(space, cells, name):
    assert public_scores.differences(space, [name], cells, batch())[name] < 1e-6


def test_every_method_is_timed_on_every_cell_in_rounds_after_a_warm_up(space, cells):
    found = public_scores.seconds(space, ["zen", "gradsign"], cells, batch(), rounds=2)
    shapes = {(name, method): values.shape for name, methods in found.items() for method, values in methods.items()}
    assert shapes == {(name, method): (2, 2) for name in ("zen", "gradsign") for method in ("public", "public_raw", "ours")}


def test_the_ratio_is_the_median_over_cells_of_medians_over_rounds():
    def rounds(*cells):
        return np.array([cells, cells, [9.0] * len(cells)])

    taken = {"zico": {"public_raw": rounds(6, 6, 6), "public": rounds(2, 4, 6), "ours": rounds(1, 1, 2)}}
    alone = {"zico": {"torch": [1.0, 1.0, 1.0], "kernels": [0.5, 0.5, 0.5]}}
    (line,) = public_scores.rows(taken, alone, {"zico": 1e-9})
    assert line == ["zico", 6000.0, 4000.0, 1000.0, 3.0, "2.50 .. 3.50", 6.0, 4.0, 8.0, "50%", "1e-09"]


def test_the_needed_convolutions_are_those_of_the_network_in_its_order(space):
    (cell,) = [space.parse("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|")]
    calls = convolution_calls.calls_of(space.build(cell).eval(), batch().images)
    assert [call.weight for call in calls[:3]] == [(4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 1, 1)]
    assert [call.inner for call in calls[:2]] == [False, True]
    assert {(call.stride, call.padding) for call in calls} == {(1, 1), (1, 0), (2, 1)}
    assert calls[0].input == (3, 16, 16)


def test_every_score_has_needs_that_are_timed_by_torch_and_by_the_kernels(space, cells):
    assert set(convolution_calls.needs(4, 10)) == set(FORMS)
    found = public_scores.convolutions(space, list(FORMS), cells[:1], batch())
    assert all(len(seconds) == 1 and seconds[0] > 0 for kinds in found.values() for seconds in kinds.values())
    assert {tuple(kinds) for kinds in found.values()} == {("torch", "kernels")}


def test_a_network_without_a_score_is_no_fast_one(space):
    with pytest.raises(RuntimeError, match="gradsign: "):
        public_scores.methods(space, "gradsign", batch().images, batch().labels)["ours"]((0,) * 6)


def test_the_command_writes_a_table_and_the_seconds(tmp_path):
    public_scores.main(["--quick", "--scores", "logsynflow", "naswot", "--folder", str(tmp_path)])
    content = json.loads((tmp_path / "public_scores.json").read_text())
    assert set(content["seconds"]) == set(content["convolutions"]) == set(content["differences"]) == {"logsynflow", "naswot"}
    table = (tmp_path / "public_scores.md").read_text()
    assert "| logsynflow |" in table and "times as fast" in table
