"""Residual networks of basic blocks (He et al. 2016) as Radosavovic et al. (2019) sample them: stem and three stages for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain


class BasicBlock(nn.Module):
    """Two normalised 3 x 3 convolutions and a shortcut, which is a normalised 1 x 1 convolution if the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.relu(self.shortcut(x) + self.residual(x))
        return output


class ResNet(nn.Module):
    """Stem, stages of blocks, global average pooling, classifier.

    Args:
        stem: Channels of the stem.
        depths: Number of blocks of each stage.
        widths: Channels of each stage.
        strides: Stride of the first block of each stage.
        classes: Outputs of the classifier.
    """

    def __init__(self, stem: int, depths: Sequence[int], widths: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.blocks = nn.ModuleDict()
        before = stem
        for stage, (depth, width, stride) in enumerate(zip(depths, widths, strides, strict=True), start=1):
            for position in range(depth):
                # The name contains the shape, so that equal names mean equal shapes in all networks.
                name = f"{stage}_{position}_{before}x{width}"
                self.blocks[name] = BasicBlock(before, width, 1 if position else stride)
                before = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before, classes)

    def as_stages(self) -> list[Stage]:
        """Returns stem, blocks and classifier; the name of a block contains its stage, position and shape."""
        blocks = [Stage(name, block) for name, block in self.blocks.items()]
        last = Stage("classifier", lambda x: self.classifier(torch.flatten(self.pool(x), 1)))
        return [Stage("stem", self.stem), *blocks, last]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        return run_chain(self.as_stages(), images)
