"""Watching a forward needs hardly more memory than the forward: what torch has allocated at its peak is counted, byte by byte."""

from __future__ import annotations

import json
import weakref

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.proxies.naswot import NaswotObserver
from rbflex_evo.fitness.proxies.rbflex.score import RbflexObserver

OBSERVERS = [RbflexObserver, NaswotObserver]


@pytest.fixture
def peak_of(tmp_path):
    """A function that returns how many bytes a call allocates at most on top of what there was before it."""

    def peak(call):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            call()
        trace = tmp_path / "trace.json"
        profiled.export_chrome_trace(str(trace))
        events = [e for e in json.loads(trace.read_text())["traceEvents"] if e["name"] == "[memory]"]
        assert events
        live = most = 0
        for event in sorted(events, key=lambda e: e["ts"]):
            live += event["args"]["Bytes"]
            most = max(most, live)
        return most

    return peak


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def pyramid():
    """A large map, then maps of a quarter of its size: a network that has room for one that somebody still holds."""
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(4)]
    for width in (16, 64, 64):
        layers += [nn.Conv2d(width, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))


@pytest.mark.parametrize("kind", OBSERVERS)
def test_a_layer_is_reduced_in_the_same_memory_whatever_its_size(kind, peak_of):
    peaks = []
    for size in (96, 192):
        observer, output = kind(), noise(4, 16, size, size)
        peaks.append(peak_of(lambda: observer.activation("layer", output)))  # noqa: B023 (called before the next one)
    assert peaks[1] <= 1.01 * peaks[0] < noise(4, 16, 96, 96).nbytes


def test_a_scored_forward_needs_little_more_memory_than_a_plain_one(peak_of):
    network, images = pyramid().eval(), noise(8, 3, 128, 128)

    @torch.no_grad()
    def plain():
        network(images)

    def scored():
        run_observed(network, images, [kind() for kind in OBSERVERS], network[-1])

    largest = 8 * 16 * 128 * 128 * 4
    assert 2 * largest <= peak_of(plain) <= peak_of(scored) < 1.25 * peak_of(plain)


def test_a_map_that_was_pooled_is_given_back_before_the_forward_ends():
    network = pyramid().eval()
    pooled, alive = [], []
    network[3].register_forward_pre_hook(lambda module, inputs: pooled.append(weakref.ref(inputs[0])))
    network[4].register_forward_hook(lambda module, inputs, output: alive.append(pooled[-1]() is not None))
    run_observed(network, noise(2, 3, 16, 16), [], network[-1])
    # In the forward of a few images, which is evidence of the layout, and in that of all.
    assert alive == [False, False]
