"""The decoders of the tasks of TransNAS-Bench-101; the last layer of each is its `classifier`.

    classes, numbers, permutations    global average pooling, linear
    segmentation                      seven layers, some of which double the map, and a convolution to the classes
    pictures (pix2pix generator)      thirteen layers, some of which double the map, a convolution to the colours, tanh

A layer is a 3 x 3 convolution, or a transposed one of stride 2, batch normalisation and a leaky ReLU. The number of layers that
double the map equals the number of halvings in the encoder, including two in the stem, so that the output has the size of the image
if the halvings leave no remainder.
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
        # The name contains the number of inputs, which differs between networks of a space.
        self.classifier = nn.Sequential()
        self.classifier.add_module(f"linear_{inputs}", nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map [N, inputs, height, width] to [N, outputs]."""
        output: Tensor = self.classifier(torch.flatten(self.pool(x), 1))
        return output


class PixelDecoder(nn.Module):
    """A chain of layers and a last convolution.

    Args:
        inputs: Input channels.
        layers: Channels of each layer, and whether it doubles the map.
        outputs: Output channels.
        activation: Activation after the last convolution, or None.
    """

    def __init__(self, inputs: int, layers: Sequence[tuple[int, bool]], outputs: int, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for i, (width, doubles) in enumerate(layers, start=1):
            name = f"layer{i}_{'up' if doubles else 'same'}_{inputs}to{width}"
            self.layers.add_module(name, layer(inputs, width, doubles))
            inputs = width
        # Registered before the classifier, because the published code reads the input of the module registered last.
        self.activation = activation or nn.Identity()
        self.classifier = nn.Sequential()
        self.classifier.add_module(f"conv_{inputs}", nn.Conv2d(inputs, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map [N, inputs, height, width] to an output map [N, outputs, ...]."""
        output: Tensor = self.activation(self.classifier(self.layers(x)))
        return output


def layer(inputs: int, outputs: int, doubles: bool) -> nn.Sequential:
    """Returns a normalised and activated 3 x 3 convolution, transposed if it doubles the map."""
    convolution: nn.Module = (
        nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        if doubles
        else nn.Conv2d(inputs, outputs, 3, padding=1)
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


def create_decoder(task: Task, channels: int, modules: Sequence[EncoderModule]) -> nn.Module:
    """Returns the decoder of a task for an encoder with `channels` channels in its stem and the given modules."""
    inputs = modules[-1].outputs
    layers = decoder_layers(task, channels, modules)
    if layers is None:
        return PooledDecoder(inputs * (PIECES if task.decoder == "pieces" else 1), task.outputs)
    return PixelDecoder(inputs, layers, task.outputs, nn.Tanh() if task.decoder == "picture" else None)
