"""What is observed in a forward, and that nothing of the network is changed by watching it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import CandidateFailed, rbflex_score
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.watch import image_norm, run_observed


class Recorder(Observer):
    def __init__(self):
        self.layers = []
        self.seen = None
        self.magnitude = None

    def activation(self, name, output, multiplicity=1):
        self.layers.append((name, output.clone()))

    def features(self, output, magnitude):
        self.seen, self.magnitude = output.clone(), magnitude

    def finish(self):
        return {}


class Mixed(nn.Module):
    """Modules, in-place modules, functional calls, tensor methods, a custom activation and a gate, on purpose."""

    class NewGELUActivation(nn.Module):
        def forward(self, x):
            return 0.5 * x * (1 + torch.tanh(x))

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.first = nn.ReLU(inplace=True)
        self.own = self.NewGELUActivation()
        self.drop = nn.Dropout(0.9)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = self.first(self.norm(self.conv(x)))
        x = functional.silu(x)
        x = torch.relu(x)
        x = self.own(x)
        x = x.sigmoid()
        x = self.drop(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return functional.softmax(self.head(x), dim=1)


@pytest.fixture
def images():
    return torch.randn(5, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def observe(network, images, classifier=None, **options):
    recorder = Recorder()
    run_observed(network, images, [recorder], classifier or network.head, **options)
    return recorder


def test_modules_functions_and_methods_are_each_seen_once(images):
    names = [name for name, _ in observe(Mixed(), images).layers]
    assert names == ["first", "silu 1", "relu 2", "own", "sigmoid 3"]


def test_an_image_gives_the_same_maps_in_a_batch_as_alone_in_training_mode(images):
    network = Mixed()
    network.drop.p = 0.0
    together = observe(network, images)
    alone = []
    handle = network.head.register_forward_pre_hook(lambda m, i: alone.append(i[0].detach()))
    network.train()
    for image in images:
        network(image[None])
    handle.remove()
    torch.testing.assert_close(together.seen, torch.cat(alone))


def test_batch_statistics_are_those_of_training_mode(images):
    network = Mixed()
    network.drop.p = 0.0
    batch = observe(network, images, statistics_of="batch")
    expected = []
    network.train()
    handle = network.head.register_forward_pre_hook(lambda m, i: expected.append(i[0].detach()))
    network(images)
    handle.remove()
    torch.testing.assert_close(batch.seen, expected[0])


def test_weights_buffers_and_modes_stay(images):
    network = Mixed().train()
    network.norm.eval()
    before = copy.deepcopy(network.state_dict())
    observe(network, images)
    observe(network, images, statistics_of="batch")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
    assert not network.norm.training
    assert not network.norm._forward_hooks
    assert not network.head._forward_pre_hooks


def test_hooks_are_gone_after_a_forward_that_raises(images):
    network = Mixed()
    with pytest.raises(RuntimeError):
        observe(network, images[:, :2])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_group_of_one_value_passes_through_its_affine_terms():
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    x = torch.randn(4, 3, 1, 1)
    expected = x * norm.weight.view(1, 3, 1, 1) + norm.bias.view(1, 3, 1, 1)
    torch.testing.assert_close(image_norm(x, None, None, norm.weight, norm.bias), expected)
    torch.testing.assert_close(image_norm(x[:, :, 0, 0], None, None, norm.weight, norm.bias), expected[:, :, 0, 0])


def test_magnitude_is_that_of_the_map_before_pooling(images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    recorder = observe(network, images, network[-1])
    assert recorder.seen.abs().max() < 1e-5
    assert recorder.magnitude > 1


def test_published_layers_are_all_whose_class_name_holds_relu(images):
    class ReLUBlock(nn.Sequential):
        pass

    network = nn.Sequential(ReLUBlock(nn.Conv2d(3, 4, 3), nn.ReLU6()), nn.GELU(), nn.Flatten(), nn.Linear(196, 2))
    recorder = observe(network, images, network[-1], layers="published")
    assert sorted(name for name, _ in recorder.layers) == ["0", "0.1"]


def test_a_classifier_that_is_never_called_fails_with_that_reason(images):
    with pytest.raises(CandidateFailed, match="classifier was never called"):
        observe(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), images, nn.Linear(1, 1))


class Pooled(nn.Module):
    """A branch that is constant over each image, if there is one, and then a normalisation."""

    def __init__(self, norm, branch):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 2)
        self.branch = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Upsample(scale_factor=8), nn.Conv2d(6, 12, 1), norm(), nn.ReLU())
        self.used = branch

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.head((x + (0 * self.branch(x).sum() if self.used else 0)).mean((2, 3)))


NORMS = {
    "batch": lambda: nn.BatchNorm2d(12),
    "instance": lambda: nn.InstanceNorm2d(12, affine=True),
    "group": lambda: nn.GroupNorm(12, 12),
    "layer": lambda: nn.LayerNorm((8, 8)),
}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", NORMS)
def test_a_map_that_is_constant_over_each_image_is_exactly_its_bias_after_normalisation(norm, dtype, scale):
    network = Pooled(NORMS[norm], True).to(dtype)
    x = scale * torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    bias = network.branch[3].bias
    with torch.no_grad():
        bias.copy_(torch.linspace(-1, 1, bias.numel()).view(bias.shape))
    maps = dict(observe(network, x).layers)["branch.4"]
    expected = (bias if norm == "layer" else bias[:, None, None]).relu().expand_as(maps)
    assert torch.equal(maps, expected.detach())


@pytest.mark.parametrize("norm", NORMS)
def test_a_constant_branch_tells_nothing(norm):
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one, other = (rbflex_score(Pooled(NORMS[norm], branch), x, gamma=[1e-3, 1e-3]) for branch in (True, False))
    assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_any_other_map_is_normalised_as_torch_does(norm):
    """Deviations of a thousandth, which float32 holds, are no round-off."""
    module = NORMS[norm]().train()
    x = 3 + 1e-3 * torch.randn(1, 12, 8, 8, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(module, nn.ReLU(), nn.Flatten(), nn.Linear(768, 2))
    ((_, found),) = observe(network, x.expand(3, 12, 8, 8).contiguous(), network[-1]).layers
    assert torch.equal(found[:1], module(x).relu().detach())
