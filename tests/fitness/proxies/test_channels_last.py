"""Scores that read channels read those of Swin's maps [N, H, W, C], and refuse maps whose channels cannot be told."""

from __future__ import annotations

import copy
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import draw_signs
from rbflex_evo.spaces import SearchSpace, VectorEncoding
from tests.fitness.proxies.test_az_nas import literal_entropy, literal_gain

SWIN = partial(SwinTransformer, patch_size=[2, 2], embed_dim=8, depths=[2, 1], num_heads=[2, 2], window_size=[4, 4], num_classes=3)
CONVNEXT = partial(ConvNeXt, [CNBlockConfig(6, 8, 1), CNBlockConfig(8, None, 2)], num_classes=3)
VIT = partial(VisionTransformer, image_size=16, patch_size=4, num_layers=3, num_heads=2, hidden_dim=12, mlp_dim=16, num_classes=3)
NETWORKS = {"swin": SWIN, "convnext": CONVNEXT, "vit": VIT}


class Fixed(SearchSpace):
    """One network, on images of 16 pixels."""

    name = "fixed"
    input_shape = (3, 16, 16)

    def __init__(self, make):
        super().__init__()
        self.encoding = VectorEncoding([1])
        self.make = make

    def build(self, genotype):
        return self.make()

    def notation(self, genotype):
        return "0"

    def parse(self, text):
        return (0,)


def subject_of(make):
    return Subject(Fixed(make), (0,), torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


def literal_maps(subject, images):
    """The outputs of the blocks in float64 with their channels in dimension 1, tokens [N, C, T, 1], and the blocks."""
    network = copy.deepcopy(subject.network).double().eval()
    blocks, maps = subject.space.blocks(network), []
    for block in blocks:
        block.register_forward_hook(lambda module, inputs, output: maps.append(output))
    network(images.double())
    return [with_channels_first(type(network).__name__, one) for one in maps], blocks, maps


def with_channels_first(kind, output):
    if output.dim() == 3:
        return output.mT[:, :, :, None]
    return output.permute(0, 3, 1, 2) if kind == "SwinTransformer" else output


@pytest.mark.parametrize("name", NETWORKS)
def test_entropies_are_those_of_the_channels(name):
    subject = subject_of(NETWORKS[name])
    noise = subject.normal("az_nas/images", (4, 3, 16, 16))
    maps, blocks, _ = literal_maps(subject, noise)
    assert len(maps) == len(blocks) > 3
    entropies = [literal_entropy(one.detach().numpy()) for one in maps]
    expected = {"az_expressivity": sum(entropies), "az_progressivity": min(b - a for a, b in pairwise(entropies))}
    for score, value in expected.items():
        proxy = create_proxy(score, images=4)
        assert proxy.score(proxy.measure(subject)) == pytest.approx(value, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["swin", "convnext"])
def test_gains_are_those_of_the_channels(name):
    subject = subject_of(NETWORKS[name])
    noise = subject.normal("az_nas/images", (4, 3, 16, 16))
    _, blocks, raw = literal_maps(subject, noise)
    kind = type(subject.network).__name__
    gains = []
    for position, (before, block) in enumerate(zip(raw, blocks[1:], strict=False)):
        first = with_channels_first(kind, before).detach().requires_grad_()
        after = with_channels_first(kind, block(first.permute(0, 2, 3, 1) if kind == "SwinTransformer" else first))
        rows = len(after) * after.shape[2] * after.shape[3]
        gains.append(literal_gain(first, after, draw_signs(0, f"signs/az_nas/{position}", (rows, after.shape[1]))))
    found = create_proxy("az_trainability", images=4).measure(subject)["gains"]
    np.testing.assert_allclose(found, gains, rtol=1e-4)


def test_the_forward_of_the_run_reads_the_same_channels_as_a_forward_of_its_own():
    space = Fixed(SWIN)
    noise = subject_of(SWIN).normal("az_nas/images", (4, 3, 16, 16))
    shared = create_proxy("az_expressivity", statistics="image", inputs="data")
    (measured,) = Measurer(Conditions.of(space, Batch(noise), device="cpu")).measure([((0,), {"shared": shared})])
    own = create_proxy("az_expressivity", images=4, statistics="image")
    alone = own.score(own.measure(subject_of(SWIN)))
    assert shared.score(measured.statistics["shared"]) == pytest.approx(alone, rel=1e-5)


def literal_ratio(rows):
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
    return values.sum() ** 2 / (values**2).sum()


def test_the_activations_of_a_layer_of_swin_are_read_by_their_units():
    subject = subject_of(SWIN)
    ratios = create_proxy("intrain", images=4).measure(subject)["ratios"]
    network, maps = copy.deepcopy(subject.network).double().eval(), []
    for module in network.modules():
        if isinstance(module, nn.GELU):
            module.register_forward_hook(lambda module, inputs, output: maps.append(output.detach().numpy()))
    network(subject.normal("intrain/images", (4, 3, 16, 16)).double())
    np.testing.assert_allclose(ratios, [literal_ratio(one.reshape(-1, one.shape[-1])) for one in maps], rtol=1e-4)


class Mixed(nn.Module):
    """Its second block computes on channels in the last dimension by a product that tells nothing of them."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, 6, 3, padding=1), Product(), Product()])
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.blocks[0](x).permute(0, 2, 3, 1)
        for block in self.blocks[1:]:
            x = block(x)
        return self.head(torch.relu(x).mean((1, 2)))


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.matrix = nn.LayerNorm(6), nn.Parameter(torch.zeros(6, 6))

    def forward(self, x):
        return self.norm(x) @ self.matrix


def test_blocks_that_do_not_tell_their_channels_fail_alone():
    proxies = {
        "naswot": create_proxy("naswot"),
        "az_expressivity": create_proxy("az_expressivity"),
        "az_trainability": create_proxy("az_trainability"),
        "shared": create_proxy("az_expressivity", statistics="image", inputs="data"),
    }
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (measured,) = Measurer(Conditions.of(Fixed(Mixed), Batch(images), device="cpu")).measure([((0,), proxies)])
    assert list(measured.statistics) == ["naswot"]
    for name in ("az_expressivity", "az_trainability", "shared"):
        assert measured.failures[name].startswith("block 1 gives [") and "\n" not in measured.failures[name]
    with pytest.raises(CandidateFailed, match="which dimension holds its channels cannot be told"):
        create_proxy("near").measure(subject_of(Mixed))
