"""Chains of inverted residual blocks as data, and what they cost by arithmetic on their shapes, without building them.

Costs are those of the built network, module by module, as torch's flop counter has them halved; tests hold them against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rbflex_evo.spaces.families.counting import CountedConvolution, count, halved, image_size, with_classifier
from rbflex_evo.spaces.space import Costs


@dataclass(frozen=True)
class InvertedResidualBlock:
    """One inverted residual block, or a skip.

    Attributes:
        name: of its weights within the network.
        expansion: hidden channels a channel of the input; 1 has no expanding convolution, 0 is a skip (projected where the
            shapes differ).
    """

    name: str
    inputs: int
    outputs: int
    stride: int
    kernel: int
    expansion: int


@dataclass(frozen=True)
class MobileNetLayout:
    """A network: stem, blocks, a last 1 x 1 convolution, classifier.

    Attributes:
        stem: output channels of the first convolution, 3 x 3.
        stride: of the first convolution.
        blocks: each with the output channels of the one before as its input channels.
        head: output channels of the last convolution.
        classes: outputs of the classifier.
    """

    stem: int
    stride: int
    blocks: tuple[InvertedResidualBlock, ...]
    head: int
    classes: int


def mobilenet_costs(layout: MobileNetLayout, input_shape: Sequence[int]) -> Costs:
    """Returns the parameters and multiply-accumulates of a network on one image.

    Args:
        input_shape: [3, height, width] of one image.

    Raises:
        ConfigError: if the network takes no such images.
    """
    size = image_size(input_shape)
    convolutions: list[CountedConvolution] = []
    for weights, outputs, stride in _convolutions(layout):
        size = halved(size, stride - 1)
        convolutions.append(CountedConvolution(weights, outputs, size))
    return with_classifier(*count(convolutions), layout.head, layout.classes)


def _convolutions(layout: MobileNetLayout) -> Iterator[tuple[int, int, int]]:
    """Yields weights, output channels and stride of every convolution, each followed by a batch normalisation."""
    yield 27 * layout.stem, layout.stem, layout.stride
    for block in layout.blocks:
        hidden = block.inputs * block.expansion
        if block.expansion > 1:
            yield block.inputs * hidden, hidden, 1
        if block.expansion:
            yield hidden * block.kernel**2, hidden, block.stride
            yield hidden * block.outputs, block.outputs, 1
        elif block.stride != 1 or block.inputs != block.outputs:
            yield block.inputs * block.outputs, block.outputs, block.stride
    yield layout.blocks[-1].outputs * layout.head, layout.head, 1
