"""Networks of inverted residual blocks as data, and their parameters and multiply-accumulates, counted from their shapes.

The counts equal half of those of torch's flop counter for the built network; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rbflex_evo.spaces.families.counting import CountedConvolution, count, halved, image_size, with_classifier
from rbflex_evo.spaces.space import Costs


@dataclass(frozen=True)
class InvertedResidualBlock:
    """One inverted residual block (MobileNetV2, Sandler et al. 2018), or a skip connection.

    Attributes:
        name: Name of the block in the network, and so of its parameters.
        inputs: Input channels.
        outputs: Output channels.
        stride: Stride of the depthwise convolution.
        kernel: Side of the kernel of the depthwise convolution.
        expansion: Ratio of hidden to input channels; 0 is a skip connection, which is projected if the shapes differ.
        groups: Groups of both 1 x 1 convolutions; channels are shuffled between the first and the depthwise one if there are two.
        always_expands: Whether an expansion of 1 has the first 1 x 1 convolution, too.
    """

    name: str
    inputs: int
    outputs: int
    stride: int
    kernel: int
    expansion: int
    groups: int = 1
    always_expands: bool = False

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.inputs * self.expansion

    @property
    def expands(self) -> bool:
        """Whether the block begins with a 1 x 1 convolution."""
        return self.expansion > 1 or (self.always_expands and self.expansion == 1)


@dataclass(frozen=True)
class MobileNetLayout:
    """The layers of a network: stem, blocks, a last 1 x 1 convolution and classifier.

    Attributes:
        stem: Output channels of the first convolution, 3 x 3.
        stride: Stride of the first convolution.
        blocks: The blocks in order; the output channels of each are the input channels of the next one.
        head: Output channels of the last convolution.
        classes: Outputs of the classifier.
    """

    stem: int
    stride: int
    blocks: tuple[InvertedResidualBlock, ...]
    head: int
    classes: int


def mobilenet_costs(layout: MobileNetLayout, input_shape: Sequence[int]) -> Costs:
    """Returns the parameters and multiply-accumulates of a network on one image.

    Args:
        layout: The layers of the network.
        input_shape: Shape [3, height, width] of one image.

    Raises:
        ConfigError: If the network cannot process images of that shape.
    """
    size = image_size(input_shape)
    convolutions: list[CountedConvolution] = []
    for weights, outputs, stride in _convolutions(layout):
        size = halved(size, stride - 1)
        convolutions.append(CountedConvolution(weights, outputs, size))
    return with_classifier(*count(convolutions), layout.head, layout.classes)


def _convolutions(layout: MobileNetLayout) -> Iterator[tuple[int, int, int]]:
    """Yields the weights, output channels and stride of every convolution, each followed by batch normalisation."""
    yield 27 * layout.stem, layout.stem, layout.stride
    for block in layout.blocks:
        hidden = block.hidden
        if block.expands:
            yield block.inputs * hidden // block.groups, hidden, 1
        if block.expansion:
            yield hidden * block.kernel**2, hidden, block.stride
            yield hidden * block.outputs // block.groups, block.outputs, 1
        elif block.stride != 1 or block.inputs != block.outputs:
            yield block.inputs * block.outputs, block.outputs, block.stride
    yield layout.blocks[-1].outputs * layout.head, layout.head, 1
