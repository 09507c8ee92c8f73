"""The operations of an edge as data: those of DARTS (Liu et al. 2019) and of the spaces of Radosavovic et al. (2019).

An operation keeps the number of channels. In a reduction cell, operations on the inputs of the cell have stride 2. Convolutions are
sequences of units: a ReLU, one or more filters and a batch normalisation. Modules and costs are both derived from these tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rbflex_evo.spaces.families.counting import CountedConvolution, MapSize, halved


@dataclass(frozen=True)
class Filter:
    """One convolution without bias, padded so that stride 1 keeps the size.

    Attributes:
        kernel: Height and width of the kernel.
        strided: Whether the stride of the operation applies to the height and to the width.
        depthwise: Whether each channel is convolved separately.
        dilation: Dilation of the kernel.
    """

    kernel: MapSize
    strided: tuple[bool, bool] = (False, False)
    depthwise: bool = False
    dilation: int = 1

    def size(self, size: MapSize, stride: int) -> MapSize:
        """Returns the height and width of the output."""
        smaller = halved(size, stride - 1)
        return smaller[0] if self.strided[0] else size[0], smaller[1] if self.strided[1] else size[1]

    def weights(self, channels: int) -> int:
        """Returns the number of weights."""
        return self.kernel[0] * self.kernel[1] * channels * (1 if self.depthwise else channels)


BOTH = (True, True)
POINT = Filter((1, 1))

Unit = tuple[Filter, ...]


def _spatial(kernel: int, strided: bool, dilation: int = 1) -> Unit:
    return Filter((kernel, kernel), (strided, strided), depthwise=True, dilation=dilation), POINT


def _separable(kernel: int, dilation: int = 1) -> tuple[Unit, ...]:
    return _spatial(kernel, True, dilation), _spatial(kernel, False, dilation)


def _asymmetric(kernel: int) -> tuple[Unit, ...]:
    wide, tall = Filter((1, kernel), (False, True)), Filter((kernel, 1), (True, False))
    return ((wide, tall),)


CONVOLUTIONS: dict[str, tuple[Unit, ...]] = {
    "conv_1x1": ((Filter((1, 1), BOTH),),),
    "conv_3x3": ((Filter((3, 3), BOTH),),),
    "conv_3x1_1x3": _asymmetric(3),
    "conv_7x1_1x7": _asymmetric(7),
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": (_spatial(3, True, 2),),
    "dil_conv_5x5": (_spatial(5, True, 2),),
    "dil_sep_conv_3x3": _separable(3, 2),
}

# Whether it is max-pooling rather than average pooling, and the side of its window.
POOLINGS: dict[str, tuple[bool, int]] = {
    "avg_pool_3x3": (False, 3),
    "max_pool_3x3": (True, 3),
    "max_pool_5x5": (True, 5),
    "max_pool_7x7": (True, 7),
}

NONE, SKIP = "none", "skip_connect"


def counted_operation(name: str, channels: int, size: MapSize, stride: int) -> Iterator[CountedConvolution]:
    """Yields the convolutions of the operation of one edge; pooling, zeros and identities have none.

    Args:
        name: Name of the operation.
        channels: Channels of its input and its output.
        size: Height and width of its input.
        stride: Stride of the operation, 1 or 2.
    """
    if name == SKIP and stride == 2:
        yield counted_projection(channels, channels, halved(size))
    for unit in CONVOLUTIONS.get(name, ()):
        for position, part in enumerate(unit, start=1):
            size = part.size(size, stride)
            yield CountedConvolution(part.weights(channels), channels if position == len(unit) else 0, size)


def counted_projection(inputs: int, outputs: int, size: MapSize) -> CountedConvolution:
    """Returns a normalised 1 x 1 convolution, or a factorised reduction, whose two convolutions share the outputs.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        size: Height and width of the output.
    """
    return CountedConvolution(inputs * outputs, outputs, size)
