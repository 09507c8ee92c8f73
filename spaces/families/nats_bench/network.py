"""The networks of NATS-Bench (Dong et al. 2021; NAS-Bench-201, Dong & Yang 2020): stem, stages of cells, reductions.

The class name `ReLUConvBN` follows the benchmark because a score depends on it: the published RBFleX code observes every module
whose class name contains "ReLU", which includes the output of `ReLUConvBN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .cell import EDGES, KERNELS, NODES


class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.norm(self.conv(self.relu(x)))
        return output


class SkipProjection(nn.Module):
    """A skip connection between different numbers of channels: a normalised 1 x 1 convolution without activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.norm(self.conv(x))
        return output


def operation(name: str, inputs: int, outputs: int, stride: int = 1) -> nn.Module | None:
    """Returns the module of one edge, or None for ``none``; the edges of NATS-Bench have stride 1."""
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity() if inputs == outputs else SkipProjection(inputs, outputs)
    if name == "avg_pool_3x3":
        pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        return pool if inputs == outputs else nn.Sequential(ReLUConvBN(inputs, outputs, 1), pool)
    return ReLUConvBN(inputs, outputs, KERNELS[name])


class NatsCell(nn.Module):
    """Four nodes, each the sum of its incoming edges; node 0 is the input and node 3 the output.

    Args:
        operations: Names of the operations, in the order of `EDGES`.
        inputs: Input channels.
        outputs: Output channels.
        stride: Stride of the edges that read the input.
        edge: Returns the module of one edge, as `operation` does.
    """

    def __init__(
        self,
        operations: Sequence[str],
        inputs: int,
        outputs: int,
        stride: int = 1,
        edge: Callable[[str, int, int, int], nn.Module | None] = operation,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.stride = stride
        self.edges = nn.ModuleDict()
        self.incoming: list[list[tuple[int, str]]] = [[] for _ in range(NODES)]
        for (source, target), name in zip(EDGES, operations, strict=True):
            module = edge(name, inputs, outputs, stride) if source == 0 else edge(name, outputs, outputs, 1)
            if module is not None:
                # The name contains the operation, so that two operations of one edge never share weights.
                place = f"{source}>{target}_{name}"
                self.edges[place] = module
                self.incoming[target].append((source, place))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        nodes = [x]
        for incoming in self.incoming[1:]:
            if incoming:
                nodes.append(sum_of([self.edges[place](nodes[source]) for source, place in incoming]))
            else:
                size = [-(-side // self.stride) for side in x.shape[2:]]
                nodes.append(x.new_zeros(x.shape[0], self.outputs, *size))
        return nodes[-1]


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """Returns the sum of tensors, added in order."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


class Reduction(nn.Module):
    """A residual block of stride 2: two 3 x 3 convolutions, and a shortcut of average pooling and a 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.second = ReLUConvBN(outputs, outputs, 3)
        self.pool = nn.AvgPool2d(2, stride=2)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.shortcut(self.pool(x)) + self.second(self.first(x))
        return output


class NatsNetwork(nn.Module):
    """Stem, cells and two reductions, last activation, global average pooling, classifier.

    Args:
        operations: Operations of the cell, in the order of `EDGES`.
        stem: Output channels of the stem.
        widths: Output channels of each block after the stem.
        reductions: Whether each block is a reduction rather than a cell.
        classes: Outputs of the classifier.
    """

    def __init__(
        self, operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool], classes: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.blocks = nn.ModuleList()
        previous = stem
        for width, reduction in zip(widths, reductions, strict=True):
            self.blocks.append(Reduction(previous, width) if reduction else NatsCell(operations, previous, width))
            previous = width
        self.norm = nn.BatchNorm2d(previous)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(previous, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        x = self.pool(self.relu(self.norm(x)))
        output: Tensor = self.classifier(torch.flatten(x, 1))
        return output
