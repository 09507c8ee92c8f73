"""What a plan's steps are computed with: plain torch, on any device.

A backend is four primitives over maps [images, C, H, W] in channels_last memory: convolve, combine, reduce, and preparing a weight.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.spaces.architecture.plan import EPSILON, Convolve


class Combined(NamedTuple):
    """The sum of terms and its ReLU, [images, C, H, W]; ``magnitude`` [images]: the ReLU's largest value, where it is known."""

    value: Tensor | None
    active: Tensor | None
    magnitude: Tensor | None = None


class Postponed(NamedTuple):
    """A convolution that has not been computed: of `source`, by a weight that the backend has prepared for the step."""

    source: Tensor
    weight: Any
    step: Convolve


class Backend:
    """Plain eager torch: the reference, for every device and precision.

    Args:
        convolutions: the precision of convolutions; maps keep their own.
    """

    name: Literal["eager", "compiled"] = "eager"

    def __init__(self, convolutions: torch.dtype) -> None:
        self.convolutions = convolutions

    def prepare(self, weight: Tensor, step: Convolve) -> Any:
        """Returns a weight [outputs, inputs, height, width] in the form that `convolve` wants for that step; it has ``nbytes``."""
        if step.pooled > 1:
            weight = weight.expand(*step.shape[:2], step.pooled, step.pooled) / step.pooled**2
        return weight.to(self.convolutions).contiguous(memory_format=torch.channels_last)

    def convolve(self, x: Tensor, weight: Any, step: Convolve) -> Tensor:
        """Returns a convolution without bias; `weight` is what `prepare` made of it."""
        return torch.conv2d(x.to(self.convolutions), weight, None, step.stride, step.padding).to(x.dtype)

    def postpone(self, x: Tensor, weight: Any, step: Convolve) -> Tensor | Postponed:
        """Returns a convolution that may be left to the `combine` that reads it; here it is computed at once."""
        return self.convolve(x, weight, step)

    def made(self, x: Tensor | Postponed) -> Tensor:
        """Returns the map itself."""
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
    ) -> Combined:
        """Adds terms of those kinds (see `rbflex_evo.spaces.architecture.plan.Term`) and takes the ReLU of the sum.

        Args:
            shape: of the result, [images, C, H, W].
            value, active: which of the two is wanted.
        """
        total: Tensor | None = None
        own = False  # whether nobody else holds the sum, so that it may be changed
        for kind, x in zip(kinds, map(self.made, inputs), strict=True):
            if kind == "norm":
                total = _add_normalised(total, x)
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

    def reduce(self, observer: Observer, outputs: Tensor, magnitude: Tensor | None) -> Tensor | None:
        """Returns what `observer.reduce` does of outputs [K, N, C, H, W]; `magnitude` is that of `Combined`."""
        return observer.reduce(outputs)

    def show_features(self, observer: Observer, features: Tensor, magnitude: Tensor) -> None:
        """Shows one candidate's features [N, L_Q] to an observer; `magnitude` [] is that of the map that they were pooled from."""
        observer.features(features, magnitude)


def _add_normalised(total: Tensor | None, x: Tensor) -> Tensor:
    # [images, pixels, C]: means over the middle dimension are sums of rows, many times faster than over pixels of a channel.
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
    result = pixels - pixels.mean(dim=1, keepdim=True)
    scale = (result * result).mean(dim=1, keepdim=True).add_(EPSILON).rsqrt_()
    if total is None:
        result.mul_(scale)
    else:
        torch.addcmul(total.permute(0, 2, 3, 1).flatten(1, 2), result, scale, out=result)
    images, channels, height, width = x.shape
    return result.view(images, height, width, channels).permute(0, 3, 1, 2)


def _pool(x: Tensor) -> Tensor:
    """Averages each 3 x 3 window over its pixels inside the map."""
    if x.device.type != "cpu" or x.dtype is not torch.float32:
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    # On a CPU a depthwise convolution with ones is several times faster than torch's pooling.
    channels, height, width = x.shape[1:]
    ones, parts = _pooling(channels, height, width)
    sums = torch.conv2d(x, ones, None, 1, 1, 1, channels)
    # Whole rows at once: broadcasting over the channels of a pixel is several times slower.
    means = sums.permute(0, 2, 3, 1).flatten(2).mul_(parts)
    return means.view(-1, height, width, channels).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=32)
def _pooling(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Returns a depthwise kernel of ones, and 1 / the pixels in the window of each pixel, [height, width * channels]."""
    counts = functional.avg_pool2d(torch.ones(1, height, width), 3, stride=1, padding=1, divisor_override=1)
    return torch.ones(channels, 1, 3, 3), (1 / counts.squeeze(0))[:, :, None].expand(-1, -1, channels).flatten(1)
