"""The dimension of a map's channels is followed through a forward, and a map that does not tell it is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import CandidateFailed
from rbflex_evo.fitness.passes.reductions.channels import Channels, arranged

IMAGES = torch.randn(2, 3, 8, 8)
CONVOLUTION = nn.Conv2d(3, 6, 3, padding=1)


def followed(forward, of_layers=False):
    channels = Channels(of_layers)
    with torch.no_grad(), channels:
        output = forward(IMAGES)
    return channels, output


def dimension(forward, of_layers=False):
    channels, output = followed(forward, of_layers)
    return channels.dimension(output, "block 0")


def as_tokens(images):
    return CONVOLUTION(images).flatten(2).transpose(1, 2)


def last(images):
    """Swin's maps [N, H, W, C]."""
    return functional.layer_norm(CONVOLUTION(images).permute(0, 2, 3, 1), (6,))


WINDOWED = nn.Linear(6, 6)


def windows(x):
    """A layer of windows of 4 x 4."""
    n, h, w, c = x.shape
    parts = x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
    parts = WINDOWED(parts)
    return parts.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)


def mixer(images):
    x = as_tokens(images)
    positions = nn.Linear(64, 64)
    return x + positions(functional.layer_norm(x, (6,)).transpose(1, 2)).transpose(1, 2)


FORWARDS = {
    "a convolution": (CONVOLUTION, 1),
    "an activation in place of a residual sum": (lambda x: functional.relu(CONVOLUTION(x) + 1, inplace=True), 1),
    "a permuted map": (lambda x: CONVOLUTION(x).permute(0, 2, 3, 1), 3),
    "a permuted map that was copied": (lambda x: CONVOLUTION(x).permute(0, 2, 3, 1).contiguous(), 3),
    "a linear layer on a permuted map, turned back": (
        lambda x: functional.gelu(WINDOWED(CONVOLUTION(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2),
        1,
    ),
    "tokens of a convolution": (as_tokens, 2),
    "a class token before the others": (lambda x: torch.cat([torch.zeros(2, 1, 6), as_tokens(x)], dim=1), 2),
    "a slice of every second pixel": (lambda x: last(x)[:, 0::2, 1::2, :], 3),
    "four slices beside each other": (lambda x: torch.cat([last(x)[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1), 3),
    "windows": (lambda x: windows(last(x)), 3),
    "a sum with what is unknown": (lambda x: last(x) + last(x) @ torch.eye(6), 3),
    "a shifted map": (lambda x: torch.roll(last(x), (-1, -1), (1, 2)), 3),
    "a mixer": (mixer, 2),
    "a layer of one dimension": (lambda x: nn.Conv1d(6, 6, 1)(CONVOLUTION(x).flatten(2)), 1),
    "a gate of the channels": (lambda x: CONVOLUTION(x) * torch.sigmoid(WINDOWED(CONVOLUTION(x).mean((2, 3)))).view(2, 6, 1, 1), 1),
    "what no layer made": (lambda x: torch.einsum("nchw->nhcw", x), 1),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_channels_are_followed(name):
    forward, expected = FORWARDS[name]
    assert dimension(forward) == expected


def test_the_units_of_a_layer_are_its_own_though_the_map_has_other_channels():
    tokens = nn.Linear(64, 32)
    assert dimension(lambda x: tokens(as_tokens(x).transpose(1, 2))) == 1
    assert dimension(lambda x: tokens(as_tokens(x).transpose(1, 2)), of_layers=True) == 2


@pytest.mark.parametrize(
    "forward", [lambda x: torch.einsum("nhwc,cd->nhwd", last(x), torch.eye(6)), lambda x: last(x) @ torch.eye(6)]
)
def test_a_map_whose_channels_cannot_be_told_is_refused_in_one_line(forward):
    channels, output = followed(forward)
    assert channels.known(output, "block 4") is None
    with pytest.raises(CandidateFailed, match=r"^block 4 gives \[2, 8, 8, 6\], and which dimension holds its channels cannot"):
        channels.dimension(output, "block 4")


def test_maps_that_disagree_are_unknown():
    square = nn.Conv2d(3, 8, 1)
    normalised = nn.LayerNorm(8)
    channels, output = followed(lambda x: square(x) + normalised(square(x).permute(0, 2, 3, 1)))
    assert channels.known(output, "block 0") is None


def test_channels_are_turned_to_their_convention():
    assert arranged(torch.zeros(2, 5, 7, 3), 3).shape == (2, 3, 5, 7)
    assert arranged(torch.zeros(2, 3, 9), 1).shape == (2, 9, 3)
    maps = torch.zeros(2, 3, 5, 7)
    assert arranged(maps, 1) is maps and arranged(maps, None) is maps
