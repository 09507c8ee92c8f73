"""What an edge of a cell may do, as data: operations of DARTS (Liu et al. 2019) and of the spaces of Radosavovic et al. (2019).

An operation keeps the number of channels; in a reduction cell those that read the cell's inputs have stride 2. Convolutions come in
units of a ReLU, one or more filters and a batch normalisation. Modules and costs are both made from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass

MapSize = tuple[int, int]


@dataclass(frozen=True)
class Filter:
    """One convolution without bias, padded so that stride 1 keeps the size.

    Attributes:
        kernel: height and width.
        strided: whether the operation's stride applies to height and to width.
        depthwise: each channel alone.
    """

    kernel: MapSize
    strided: tuple[bool, bool] = (False, False)
    depthwise: bool = False
    dilation: int = 1

    def size(self, size: MapSize, stride: int) -> MapSize:
        """Returns height and width of the output."""
        height, width = (ceil_half(n) if stride == 2 and strided else n for n, strided in zip(size, self.strided, strict=True))
        return height, width

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

# (whether it takes the maximum rather than the mean, window)
POOLINGS: dict[str, tuple[bool, int]] = {
    "avg_pool_3x3": (False, 3),
    "max_pool_3x3": (True, 3),
    "max_pool_5x5": (True, 5),
    "max_pool_7x7": (True, 7),
}

NONE, SKIP = "none", "skip_connect"


def ceil_half(length: int) -> int:
    """Returns a side of a map after stride 2."""
    return (length + 1) // 2


def operation_costs(name: str, channels: int, size: MapSize, stride: int) -> tuple[int, int]:
    """Returns parameters and multiply-accumulates of one edge; pooling and zeros multiply nothing.

    Args:
        size: height and width of what it reads.
    """
    if name == SKIP and stride == 2:
        return reduction_costs(channels, channels, size)
    params = flops = 0
    for unit in CONVOLUTIONS.get(name, ()):
        for part in unit:
            size = part.size(size, stride)
            weights = part.weights(channels)
            params += weights
            flops += weights * size[0] * size[1]
        params += 2 * channels
    return params, flops


def reduction_costs(inputs: int, outputs: int, size: MapSize) -> tuple[int, int]:
    """Returns the costs of a factorised reduction: two 1 x 1 convolutions of stride 2 that share the outputs."""
    weights = inputs * outputs
    return weights + 2 * outputs, weights * ceil_half(size[0]) * ceil_half(size[1])


def projection_costs(inputs: int, outputs: int, size: MapSize) -> tuple[int, int]:
    """Returns the costs of a normalised 1 x 1 convolution."""
    weights = inputs * outputs
    return weights + 2 * outputs, weights * size[0] * size[1]
