"""A network without modules: a table of parameters by their names in the built network, and a forward that reads them.

Building modules and drawing their weights takes longer than the forward of a small network. A lean network is made in less than a
millisecond, its parameters are tensors that other candidates share, and its forward may omit what the built network computes
twice. It calls the same torch functions, so that passes replace and watch them in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Operations:
    """The operations of lean networks in torch's functions; a subclass may compute them in another way."""

    def convolve(self, x: Tensor, weight: nn.Parameter, padding: int = 0, stride: int = 1) -> Tensor:
        """Returns a convolution without bias."""
        return functional.conv2d(x, weight, None, stride, padding)

    def normalise(self, x: Tensor, weight: nn.Parameter, bias: nn.Parameter) -> Tensor:
        """Returns a batch normalisation with the running statistics of a new network."""
        mean, variance = _running(x.shape[1], x.dtype, x.device)
        return functional.batch_norm(x, mean, variance, weight, bias)

    def relu(self, x: Tensor) -> Tensor:
        """Returns the ReLU."""
        return torch.relu(x)

    def add(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns the sum of two maps."""
        return first + second

    def average(self, x: Tensor) -> Tensor:
        """Averages each 3 x 3 window over its pixels inside the map."""
        # In float64 torch's depthwise convolutions are slow.
        if x.device.type != "cpu" or x.dtype is not torch.float32:
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        ones, shares = _windows(*x.shape[1:], x.dtype)
        # Not `conv2d`, which passes replace and watch: this is no layer with weights.
        sums = torch.convolution(x, ones, None, [1, 1], [1, 1], [1, 1], False, [0, 0], x.shape[1])
        return sums * shares

    def halve(self, x: Tensor) -> Tensor:
        """Averages windows of 2 x 2."""
        return functional.avg_pool2d(x, 2, 2)

    def classify(self, x: Tensor, weight: nn.Parameter, bias: nn.Parameter) -> Tensor:
        """Returns the logits [N, classes] of the averages of maps [N, C, H, W]; no other operation follows."""
        return functional.linear(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1), weight, bias)


class LeanNetwork(nn.Module):
    """Base of lean networks; its function, and its parameters by name, shape and order, are those of the built network.

    Args:
        shapes: Shape of each parameter by its name, in the order of the built network.

    Attributes:
        primitives: The operations that the forward calls.
        as_one: Computes the forward in another way, as one operation; None for the operations one by one.
    """

    as_one: Callable[[Tensor], Tensor] | None = None

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.shapes = shapes
        self.primitives = Operations()

    def place(self, name: str, parameter: nn.Parameter) -> None:
        """Sets the parameter of that name."""
        # A name with dots is a path of modules, which this network does not have.
        self._parameters[name] = parameter

    def parameter(self, name: str) -> nn.Parameter:
        """Returns the parameter of that name."""
        found = self._parameters[name]
        assert found is not None
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, C, height, width] to logits [N, classes]."""
        return self.logits(images) if self.as_one is None else self.as_one(images)

    def logits(self, images: Tensor) -> Tensor:
        """Maps images [N, C, height, width] to logits [N, classes] by the operations."""
        raise NotImplementedError

    def before_pooling(self, images: Tensor) -> Tensor:
        """Maps images [N, C, height, width] to the last map before global pooling, [N, channels, height, width]."""
        raise NotImplementedError


@functools.lru_cache(maxsize=32)
def _windows(channels: int, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Returns a depthwise kernel of ones, and 1 / number of pixels in the window of each pixel, [1, channels, height, width]."""
    with torch._C.DisableTorchFunction():
        ones = torch.ones(channels, 1, 3, 3, dtype=dtype)
        counts = functional.avg_pool2d(torch.ones(1, channels, height, width, dtype=dtype), 3, 1, 1, divisor_override=1)
        return ones, (1 / counts).contiguous(memory_format=torch.channels_last)


@functools.lru_cache(maxsize=32)
def _running(channels: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the running statistics of a new batch normalisation: mean 0 and variance 1."""
    return torch.zeros(channels, dtype=dtype, device=device), torch.ones(channels, dtype=dtype, device=device)
