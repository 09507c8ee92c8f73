"""The networks of the toy space: stem, stages of two parallel edges, global pooling, linear classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Convolution(nn.Module):
    """ReLU, convolution without bias, batch normalisation; keeps the shape."""

    def __init__(self, channels: int, kernel: int, groups: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.norm(self.conv(self.relu(x)))
        return output


class NotANumber(nn.Module):
    """Returns NaN for every input, like a network that overflows."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        return x * float("nan")


def operation(name: str, channels: int) -> nn.Module | None:
    """Returns the module of one edge, or None for ``zero``."""
    if name == "zero":
        return None
    if name == "skip":
        return nn.Identity()
    if name == "nan":
        return NotANumber()
    if name == "average":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    if name == "maximum":
        return nn.MaxPool2d(3, stride=1, padding=1)
    if name == "depthwise":
        return Convolution(channels, 3, groups=channels)
    if name == "dilated":
        return Convolution(channels, 3, dilation=2)
    return Convolution(channels, {"conv1": 1, "conv3": 3}[name])


class ToyStage(nn.Module):
    """The sum of parallel edges, zero if every edge is ``zero``.

    Args:
        operations: Names of the operations of the edges.
        channels: Number of channels.
    """

    def __init__(self, operations: Sequence[str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        for position, name in enumerate(operations):
            module = operation(name, channels)
            if module is not None:
                # The name contains the operation, so that two operations of one edge never share weights.
                self.edges[f"{position}_{name}"] = module

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        total = torch.zeros_like(x)
        for edge in self.edges.values():
            total = total + edge(x)
        return total


class ToyNetwork(nn.Module):
    """Stem, stages, last activation, global average pooling, classifier.

    Args:
        stages: Names of the operations of each stage.
        channels: Width of every stage.
        classes: Outputs of the classifier.
    """

    def __init__(self, stages: Sequence[Sequence[str]], channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.stages = nn.ModuleList(ToyStage(operations, channels) for operations in stages)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        output: Tensor = self.classifier(torch.flatten(self.pool(self.relu(x)), 1))
        return output
