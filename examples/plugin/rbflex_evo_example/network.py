"""The torch modules, apart from the space, so that naming the space does not import torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn


class Residual(nn.Module):
    """Adds to its input what its layers make of it."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def residual_network(kinds: Sequence[str], width: int, stages: int, classes: int) -> nn.Sequential:
    """Returns a stem, a residual block for each stage with half the resolution and twice the channels of the last, and a head."""
    network = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, width, 3, padding=1, bias=False)))
    for stage in range(stages):
        if stage:
            narrower = nn.Conv2d(width, 2 * width, 1, bias=False)
            network.add_module(f"reduction{stage}", nn.Sequential(nn.AvgPool2d(2), narrower))
            width *= 2
        # Weights are drawn by name: a name must mean one shape, and equal networks must have equal names.
        layers = OrderedDict((f"{place}_{kind}", _layer(kind, width)) for place, kind in enumerate(kinds))
        network.add_module(f"block{stage}", Residual(nn.Sequential(layers)))
    network.add_module("head", nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)))
    return network


def _layer(kind: str, width: int) -> nn.Module:
    if kind == "norm":
        return nn.BatchNorm2d(width)
    if kind == "relu":
        return nn.ReLU()
    kernel = int(kind.removeprefix("conv"))
    return nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
