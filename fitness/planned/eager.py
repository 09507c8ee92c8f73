"""The eager backend of planned forwards: plain torch, on any device.

A backend has four primitives for maps [images, C, H, W] in channels_last memory: prepare a weight, convolve, combine and reduce.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rbflex_evo.fitness.passes.reductions.reducer import Reducer
from rbflex_evo.spaces.architecture.plan import EPSILON, Convolve


class Combined(NamedTuple):
    """Result of a combine step.

    Attributes:
        value: Sum of the terms, [images, C, H, W], None if it is not needed.
        active: ReLU of the sum, None if it is not needed.
        magnitude: Largest values of the ReLU, [images], None if they are unknown.
    """

    value: Tensor | None
    active: Tensor | None
    magnitude: Tensor | None = None


class Postponed(NamedTuple):
    """Convolution that has not been computed yet.

    Attributes:
        source: Map that is convolved, [images, C, H, W].
        weight: Weight that the backend has prepared for the step.
        step: Step of the plan.
    """

    source: Tensor
    weight: Any
    step: Convolve


class Backend(Reducer):
    """Backend of plain torch for every device and precision, the reference for other backends.

    Args:
        convolutions: Precision of convolutions; maps keep their own precision.
    """

    name: Literal["eager", "compiled"] = "eager"

    def __init__(self, convolutions: torch.dtype) -> None:
        self.convolutions = convolutions

    def functions(self, lean: bool) -> AbstractContextManager[Any]:
        """Returns a context in which scores with passes of their own run, with this backend's forms of torch's operations.

        Args:
            lean: Whether the space has lean networks.
        """
        return nullcontext()

    def prepare(self, weight: Tensor, step: Convolve) -> Any:
        """Returns a weight [outputs, inputs, height, width] in the form that `convolve` takes for the step, with ``nbytes``."""
        if step.pooled > 1:
            weight = weight.expand(*step.shape[:2], step.pooled, step.pooled) / step.pooled**2
        return weight.to(self.convolutions).contiguous(memory_format=torch.channels_last)

    def convolve(self, x: Tensor, weight: Any, step: Convolve) -> Tensor:
        """Returns a convolution without bias, by a weight from `prepare`."""
        return torch.conv2d(x.to(self.convolutions), weight, None, step.stride, step.padding).to(x.dtype)

    def postpone(self, x: Tensor, weight: Any, step: Convolve) -> Tensor | Postponed:
        """Returns a convolution that may be postponed to the `combine` that reads it; this backend computes it at once."""
        return self.convolve(x, weight, step)

    def made(self, x: Tensor | Postponed) -> Tensor:
        """Returns the map, computed now if it was postponed."""
        return self.convolve(x.source, x.weight, x.step) if isinstance(x, Postponed) else x

    def combine(
        self,
        kinds: Sequence[str],
        inputs: Sequence[Tensor | Postponed],
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        *,
        value: bool,
        active: bool,
        together: int = 1,
    ) -> Combined:
        """Adds terms and takes the ReLU of the sum.

        Args:
            kinds: Kinds of the terms, see `rbflex_evo.spaces.architecture.plan.Term`.
            inputs: Maps of the terms, [images, C, H, W].
            shape: Shape of the result, [images, C, H, W].
            dtype: Precision of the result.
            device: Device of the result.
            value: Whether the sum is needed.
            active: Whether the ReLU is needed.
            together: Number of consecutive images that share the statistics of a normalisation.
        """
        total: Tensor | None = None
        own = False  # Whether the sum is not shared, so that it may be changed in place.
        for kind, x in zip(kinds, map(self.made, inputs), strict=True):
            if kind == "norm":
                total = _add_normalised(total, x, together)
            elif kind == "pool":
                pooled = _pool(x)
                total = pooled if total is None else pooled.add_(total)
            elif total is None:
                total = x
            else:
                total = total.add_(x) if own else total + x
            own = own or kind != "alias" or total is not x
        if total is None:
            total, own = torch.zeros(shape, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last), True
        own = own and not value
        return Combined(total if value else None, (total.relu_() if own else total.relu()) if active else None)


def _add_normalised(total: Tensor | None, x: Tensor, together: int) -> Tensor:
    # As [groups, pixels, C], means over the pixels are sums of rows, many times faster than sums over the pixels of one channel.
    pixels = _rows(x, together)
    result = pixels - pixels.mean(dim=1, keepdim=True)
    scale = (result * result).mean(dim=1, keepdim=True).add_(EPSILON).rsqrt_()
    if total is None:
        result.mul_(scale)
    else:
        torch.addcmul(_rows(total, together), result, scale, out=result)
    images, channels, height, width = x.shape
    return result.view(images, height, width, channels).permute(0, 3, 1, 2)


def _rows(x: Tensor, together: int) -> Tensor:
    """Returns maps [images, C, H, W] as rows of pixels of so many consecutive images, [groups, pixels, C]."""
    return x.permute(0, 2, 3, 1).reshape(len(x) // together, -1, x.shape[1])


def _pool(x: Tensor) -> Tensor:
    """Averages each 3 x 3 window over its pixels inside the map."""
    if x.device.type != "cpu" or x.dtype is not torch.float32:
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    # On a CPU a depthwise convolution with ones is several times faster than torch's pooling.
    channels, height, width = x.shape[1:]
    ones, parts = _pooling(channels, height, width)
    sums = torch.conv2d(x, ones, None, 1, 1, 1, channels)
    # Operations on whole rows are several times faster than broadcasting over the channels of a pixel.
    means = sums.permute(0, 2, 3, 1).flatten(2).mul_(parts)
    return means.view(-1, height, width, channels).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=32)
def _pooling(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Returns a depthwise kernel of ones, and 1 / number of pixels in the window of each pixel, [height, width * channels]."""
    counts = functional.avg_pool2d(
        torch.ones(1, height, width, dtype=torch.float32, device="cpu"), 3, stride=1, padding=1, divisor_override=1
    )
    ones = torch.ones(channels, 1, 3, 3, dtype=torch.float32, device="cpu")
    return ones, (1 / counts.squeeze(0))[:, :, None].expand(-1, -1, channels).flatten(1)
