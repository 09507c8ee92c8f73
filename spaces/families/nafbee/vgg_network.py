"""VGG networks (Simonyan & Zisserman 2015) with batch normalisation, one activation for each convolution, and one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain


class VggNetwork(nn.Module):
    """Stages of convolutions, each followed by 2 x 2 max-pooling, then a linear classifier.

    An image of 32 x 32 pixels is reduced to one pixel. For other sizes, halving rounds up and the last map is averaged.

    Args:
        stages: Output channels of each convolution, stage by stage.
        activations: Names of activation modules in `torch.nn`, one for each convolution.
        classes: Outputs of the classifier.
    """

    def __init__(self, stages: Sequence[Sequence[int]], activations: Sequence[str], classes: int) -> None:
        super().__init__()
        self.activations = tuple(activations)
        self.layers = nn.ModuleList()
        names = iter(activations)
        inputs = 3
        for stage in stages:
            for position, outputs in enumerate(stage):
                layer = nn.Sequential()
                layer.add_module("convolution", nn.Conv2d(inputs, outputs, 3, padding=1))
                layer.add_module("norm", nn.BatchNorm2d(outputs))
                layer.add_module("activation", getattr(nn, next(names))())
                if position == len(stage) - 1:
                    layer.add_module("pool", nn.MaxPool2d(2, ceil_mode=True))
                self.layers.append(layer)
                inputs = outputs
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, classes)

    def as_stages(self) -> list[Stage]:
        """Returns the layers and the classifier; a layer is identified by its position and activation."""
        layers = [Stage(pair, layer) for pair, layer in zip(enumerate(self.activations), self.layers, strict=True)]
        return [*layers, Stage("classifier", lambda x: self.classifier(torch.flatten(self.pool(x), 1)))]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        return run_chain(self.as_stages(), images)
