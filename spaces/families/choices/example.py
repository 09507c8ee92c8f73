"""The builder of the space ``choices`` where none is named: a small convolutional network, as a user would write it."""

from __future__ import annotations

from typing import Any

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
# The parameters of the space, as a configuration gives them.
EXAMPLE: dict[str, Any] = {
    "build": f"{__name__}:build",
    "input_shape": [3, 16, 16],
    "choices": {"depth": [1, 2, 3], "width": [8, 16, 24], "kernel": [3, 5], "last_kernel": [1, 3], "act": [*ACTIVATIONS]},
    "conditions": {"last_kernel": "depth >= 3"},
    "forbidden": ["width == 24 and kernel == 5"],
}


def build(depth: int, width: int, kernel: int, act: str, last_kernel: int | None = None, classes: int = 10) -> nn.Module:
    """Builds `depth` convolutions of one width; the kernel of the third one is a choice of its own."""
    layers: list[nn.Module] = []
    channels = 3
    for i in range(depth):
        size = last_kernel if i == 2 and last_kernel is not None else kernel
        layers += [nn.Conv2d(channels, width, size, padding=size // 2), nn.BatchNorm2d(width), ACTIVATIONS[act]()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
