"""Networks of inverted residual blocks (MobileNetV2, Sandler et al. 2018), for NAS-Bench-Macro, FBNet and the MobileNet space.

Weights are drawn by parameter name, so the name of a block contains everything that its shapes depend on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain

from .costs import InvertedResidualBlock, MobileNetLayout


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activation: type[nn.Module] | None = None
) -> list[nn.Module]:
    """Returns a convolution without bias, its batch normalisation, and its activation if there is one."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return layers if activation is None else [*layers, activation()]


class InvertedResidual(nn.Module):
    """Expansion (1 x 1), depthwise convolution (k x k) and linear projection (1 x 1), residual if shapes allow.

    The channels of groups are shuffled before the depthwise convolution.
    """

    def __init__(self, block: InvertedResidualBlock, activation: type[nn.Module]) -> None:
        super().__init__()
        hidden, groups = block.hidden, block.groups
        layers = convolution(block.inputs, hidden, 1, groups=groups, activation=activation) if block.expands else []
        layers += [nn.ChannelShuffle(groups)] if groups > 1 else []
        layers += convolution(hidden, hidden, block.kernel, block.stride, groups=hidden, activation=activation)
        self.layers = nn.Sequential(*layers, *convolution(hidden, block.outputs, 1, groups=groups))
        self.residual = block.stride == 1 and block.inputs == block.outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = x + self.layers(x) if self.residual else self.layers(x)
        return output


def block_module(block: InvertedResidualBlock, activation: type[nn.Module]) -> nn.Module:
    """Returns the module of one block."""
    if block.expansion:
        return InvertedResidual(block, activation)
    if block.stride == 1 and block.inputs == block.outputs:
        return nn.Identity()
    return nn.Sequential(*convolution(block.inputs, block.outputs, 1, block.stride))


class MobileNetwork(nn.Module):
    """Stem, blocks, a last 1 x 1 convolution, global average pooling, linear classifier.

    Args:
        layout: The layers of the network.
        activation: Activation after every convolution except the projection of a block.
        dropout: Dropout probability before the classifier.
    """

    def __init__(self, layout: MobileNetLayout, activation: type[nn.Module], dropout: float = 0.0) -> None:
        super().__init__()
        self.layout = layout
        self.features = nn.Sequential()
        stem = convolution(3, layout.stem, 3, layout.stride, activation=activation)
        self.features.add_module(f"stem_{layout.stem}", nn.Sequential(*stem))
        for block in layout.blocks:
            self.features.add_module(block.name, block_module(block, activation))
        last = layout.blocks[-1].outputs
        head = convolution(last, layout.head, 1, activation=activation)
        self.features.add_module(f"head_{last}to{layout.head}", nn.Sequential(*head))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential()
        self.classifier.add_module("dropout", nn.Dropout(dropout))
        self.classifier.add_module(f"linear_{layout.head}", nn.Linear(layout.head, layout.classes))

    def as_stages(self) -> list[Stage]:
        """Returns stem, blocks and head; the identity of a block is its description, since a space has one activation."""
        stem, *blocks, head = self.features
        layout = self.layout
        return [
            Stage((layout.stem, layout.stride), stem),
            *(Stage(*pair) for pair in zip(layout.blocks, blocks, strict=True)),
            Stage((layout.head, layout.classes), lambda x: self.classifier(torch.flatten(self.pool(head(x)), 1))),
        ]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        return run_chain(self.as_stages(), images)
