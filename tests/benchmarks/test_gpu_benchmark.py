"""The prepared measurement of a GPU keeps to its time, keeps what is finished, and compares equal networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.machine import gpu, gpu_parts
from benchmarks.machine.gpu_parts import Clock, Part
from rbflex_evo.spaces import create_space

CPU = torch.device("cpu")


def test_results_are_written_after_each_part_and_an_unfinished_one_loses_nothing_else(monkeypatch, tmp_path):
    def killed(device, clock):
        raise KeyboardInterrupt

    parts = {"first": gpu.Share("First", 1, lambda *_: Part([{"a": 1.0}], ["b"])), "second": gpu.Share("Second", 1, killed)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    with pytest.raises(KeyboardInterrupt):
        gpu.measured(CPU, 10.0, tmp_path, lambda text: None)
    assert json.loads((tmp_path / "gpu.json").read_text())["parts"]["first"]["rows"] == [{"a": 1.0}]
    text = (tmp_path / "gpu.md").read_text()
    assert "## First" in text and "Left out: b." in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]


@pytest.mark.parametrize("name", [name for name in gpu.PARTS if name != "tests"])
def test_a_part_without_time_says_what_it_left_out(name):
    part = gpu.PARTS[name].run(CPU, Clock(0.0))
    assert part.rows == [] and part.left_out


def test_tests_are_left_out_with_a_reason_where_there_is_no_card():
    assert gpu_parts.tests(CPU, Clock(10.0)).left_out == ["the tests, because the device is no CUDA device"]


def test_an_error_becomes_a_row():
    part = Part()
    with part.trying("nats_tss 4"):
        raise ValueError("no such thing")
    assert part.rows == [{"what": "nats_tss 4", "error": "ValueError: no such thing"}]


def test_numbers_of_candidates_a_call_are_compared_on_the_same_networks():
    space = create_space("nats_tss")
    few, many = ([genotype for genotype, _ in gpu_parts.requests_of(space, count)] for count in (16, 64))
    assert few == many[:16] and len(set(many)) == 64


@pytest.mark.parametrize("name", ["nats_tss", "darts"])
def test_networks_are_scored_with_what_their_space_has(name):
    space = create_space(name, **({"channels": 4, "cells": 1} if name == "nats_tss" else {"channels": 4, "layers": 4}))
    measurer = gpu_parts.measurer_of(space, space.example_inputs(4), "cpu")
    gpu_parts.in_calls(measurer, gpu_parts.requests_of(space, 3), 2)()


def test_scores_are_compared_over_the_candidates_that_both_scored():
    assert gpu_parts.compared(np.array([1.0, 2.0, np.nan]), np.array([1.0, 2.5, 3.0])) == (1.0, 0.2)
    assert gpu_parts.compared(np.array([2.0, 2.0]), np.array([2.0, 2.0])) == (1.0, 0.0)
    assert all(np.isnan(gpu_parts.compared(np.array([np.nan]), np.array([1.0]))))
