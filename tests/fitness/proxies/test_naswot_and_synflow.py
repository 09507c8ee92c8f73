"""NASWOT and SynFlow equal literal forms of their papers, and leave networks alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.naswot import NaswotObserver
from rbflex_evo.spaces import create_space


@pytest.fixture(scope="module")
def space():
    return create_space("nats_tss", channels=8, cells=1)


def images(n=8, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 3, 16, 16)).astype("float32"))


def network_of(space, index):
    return build_initialised(space, space.at(index), WeightParameters())


def subject_of(network, batch):
    """Returns a subject of a network that is there already."""
    subject = Subject(create_space("nats_tss", channels=8, cells=1), (0,) * 6, batch)
    subject.network = network
    return subject


def literal_naswot(network, batch, one_by_one):
    """codes of every ReLU in training mode; K_H[i, j] = number of units - hamming distance; log|K_H|."""
    codes = []
    layers = [m for m in network.modules() if isinstance(m, nn.ReLU)]
    handles = [m.register_forward_hook(lambda m, i, o: codes.append((o > 0).flatten(1))) for m in layers]
    rows = []
    network.train()
    with torch.no_grad():
        for part in batch.split(1) if one_by_one else [batch]:
            codes.clear()
            network(part)
            rows.append(torch.cat(codes, dim=1))
    for handle in handles:
        handle.remove()
    code = torch.cat(rows).numpy()
    n, units = code.shape
    kernel = [[units - int((code[i] != code[j]).sum()) for j in range(n)] for i in range(n)]
    return np.linalg.slogdet(np.array(kernel, dtype=float))[1]


@pytest.mark.parametrize("statistics", ["image", "batch"])
@pytest.mark.parametrize("index", [0, 11, 284, 9930])
def test_naswot_equals_its_literal_form(space, statistics, index):
    proxy = create_proxy("naswot", statistics=statistics)
    network = network_of(space, index)
    observer = proxy.observer()
    run_observed(network, images(), [observer], network.classifier, proxy.statistics_of, proxy.layers)
    expected = literal_naswot(copy.deepcopy(network).double(), images().double(), statistics == "image")
    # float32 may switch a unit that is zero to rounding; a handful among 10^5 units moves the score in the sixth digit.
    assert proxy.score(observer.finish()) == pytest.approx(expected, rel=1e-4)


def test_published_naswot_observes_raw_cells_by_the_statistics_of_the_batch(space):
    proxy = create_proxy("naswot", mode="published")
    assert (proxy.statistics_of, proxy.layers) == ("batch", "published")
    network = network_of(space, 11)
    observer = proxy.observer()
    run_observed(network, images(), [observer], network.classifier, proxy.statistics_of, proxy.layers)
    codes = []
    for module in network.modules():
        if "ReLU" in type(module).__name__:
            module.register_forward_hook(lambda m, i, o: codes.append((o > 0).flatten(1)))
    network.double().train()(images().double())
    code = torch.cat(codes, dim=1)
    expected = [[float((one == other).sum()) for other in code] for one in code]
    np.testing.assert_allclose(observer.finish()["matches"], expected, rtol=1e-4)


def test_naswot_counts_exactly():
    observer = NaswotObserver()
    layer = torch.randn(6, 70000, generator=torch.Generator().manual_seed(0))
    observer.activation("layer", layer)
    code = (layer > 0).numpy()
    expected = [[int((code[i] == code[j]).sum()) for j in range(6)] for i in range(6)]
    np.testing.assert_array_equal(observer.finish()["matches"], expected)


def test_naswot_of_equal_codes_fails():
    observer = NaswotObserver()
    observer.activation("layer", torch.ones(4, 10))
    with pytest.raises(CandidateFailed, match="equal activation codes"):
        create_proxy("naswot").score(observer.finish())


def test_naswot_of_nan_fails():
    observer = NaswotObserver()
    observer.activation("layer", torch.full((4, 10), float("nan")))
    with pytest.raises(CandidateFailed, match="NaN"):
        observer.finish()


def literal_synflow(network):
    """|w| everywhere, no batch normalisation, ones in, sum out; sum of |w| dR/d|w| over convolutions and the classifier."""
    network = copy.deepcopy(network).double()
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()
    network(torch.ones(1, 3, 16, 16, dtype=torch.float64)).sum().backward()
    total = 0.0
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.grad is not None:
            total += float((module.weight.detach() * module.weight.grad).sum())
    return np.log(total)


@pytest.mark.parametrize("index", [0, 11, 284, 9930])
def test_synflow_equals_its_literal_form(space, index):
    network = network_of(space, index)
    proxy = create_proxy("synflow")
    assert proxy.score(proxy.measure(subject_of(network, images()))) == pytest.approx(literal_synflow(network), rel=1e-10)


def test_synflow_does_not_depend_on_the_images(space):
    proxy = create_proxy("synflow")
    flows = [proxy.measure(subject_of(network_of(space, 0), images(n, seed)))["flow"] for n, seed in ((2, 0), (8, 1))]
    assert flows[0] == flows[1]


def test_synflow_of_a_network_without_a_path_fails(space):
    network = build_initialised(space, (0,) * 6, WeightParameters())
    proxy = create_proxy("synflow")
    statistics = proxy.measure(subject_of(network, images()))
    with torch.no_grad():
        network.classifier.bias.zero_()
    # Only the classifier's weights are left, and they carry nothing: the features are zero.
    with pytest.raises(CandidateFailed, match="no path"):
        proxy.score(statistics)


@pytest.mark.parametrize("name", ["rbflex", "naswot", "synflow"])
def test_no_score_changes_weights_buffers_or_modes(space, name):
    network = network_of(space, 9930).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    proxy = create_proxy(name)
    if proxy.needs == "forward":
        run_observed(network, images(), [proxy.observer()], network.classifier, proxy.statistics_of)
    else:
        proxy.measure(subject_of(network, images()))
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(parameter.grad is not None for parameter in network.parameters())


def test_a_negative_flow_fails_with_its_reason():
    with pytest.raises(CandidateFailed, match="below zero: an operation on the way changes signs"):
        create_proxy("synflow").score({"flow": np.array(-2.5)})


@pytest.mark.parametrize(("scale", "reason"), [(-2.0, "changes signs"), (1e300, "sums beyond float64")])
@pytest.mark.parametrize("name", ["synflow", "logsynflow"])
def test_a_flow_without_a_logarithm_fails_with_its_reason(name, scale, reason):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.second(scale * self.first(x.mean((2, 3))))

    network = Scaled().double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1e10)
    proxy = create_proxy(name)
    with pytest.raises(CandidateFailed, match=reason):
        proxy.score(proxy.measure(subject_of(network, images())))
