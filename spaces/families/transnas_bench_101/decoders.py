"""The decoders of TransNAS-Bench-101's tasks, each a module whose last layer is `classifier`.

    classes, numbers, permutations    global average pooling, linear
    segmentation                      a convolution, six layers of which some double the map, a convolution to the classes
    pictures (pix2pix's generator)    thirteen layers of which some double the map, a convolution to the colours, tanh

A layer is a 3 x 3 convolution, or a transposed one of stride 2, batch normalisation and a leaky ReLU. As many layers double the
map as the encoder has halvings, its stem's two included, so that the output is as large as the image where that many halvings
leave no remainder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .tasks import PIECES, EncoderModule, Task, decoder_layers

SLOPE = 0.2


class PooledDecoder(nn.Module):
    """Global average pooling and a linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        # The inputs are part of the name, since networks of a space may differ in them.
        self.classifier = nn.Sequential()
        self.classifier.add_module(f"linear_{inputs}", nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map [N, inputs, height, width] to [N, outputs]."""
        output: Tensor = self.classifier(torch.flatten(self.pool(x), 1))
        return output


class PixelDecoder(nn.Module):
    """A chain of layers and a last convolution.

    Args:
        layers: channels of each layer, and whether it doubles the map.
        activation: after the last convolution, or None.
    """

    def __init__(self, inputs: int, layers: Sequence[tuple[int, bool]], outputs: int, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for i, (width, doubles) in enumerate(layers, start=1):
            name = f"layer{i}_{'up' if doubles else 'same'}_{inputs}to{width}"
            self.layers.add_module(name, layer(inputs, width, doubles))
            inputs = width
        # Registered first: the published code reads the input of the module that is registered last.
        self.activation = activation or nn.Identity()
        self.classifier = nn.Sequential()
        self.classifier.add_module(f"conv_{inputs}", nn.Conv2d(inputs, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map [N, inputs, height, width] to an output map [N, outputs, ...]."""
        output: Tensor = self.activation(self.classifier(self.layers(x)))
        return output


def layer(inputs: int, outputs: int, doubles: bool) -> nn.Sequential:
    """Returns a 3 x 3 convolution or, where it doubles the map, a transposed one, normalised and activated."""
    convolution: nn.Module = (
        nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        if doubles
        else nn.Conv2d(inputs, outputs, 3, padding=1)
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


def create_decoder(task: Task, channels: int, modules: Sequence[EncoderModule]) -> nn.Module:
    """Returns the decoder of `task` for an encoder of `channels` in its stem and those modules."""
    inputs = modules[-1].outputs
    layers = decoder_layers(task, channels, modules)
    if layers is None:
        return PooledDecoder(inputs * (PIECES if task.decoder == "pieces" else 1), task.outputs)
    return PixelDecoder(inputs, layers, task.outputs, nn.Tanh() if task.decoder == "picture" else None)
