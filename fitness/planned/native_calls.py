"""What calls of `native` have in common: which convolutions it implements, their weights, and scratch memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

REALS = {torch.float32: "float", torch.float64: "double"}
# As in convolve.h.
WINOGRAD, POINTWISE, POOLED, STRIDED, NONE = 0, 1, 2, 3, -1
# With fewer channels, vectors are too empty for Winograd's transforms to be faster.
WINOGRAD_CHANNELS = 16
# Winograd's finite points, and the transform of a kernel's three weights: the values of their polynomial at the points over the
# distances of the points, and the last weight for the point at infinity (Lavin & Gray, CVPR 2016, section 4), scaled as in
# convolve.h.
FINITE = (0, 0.75, -0.75, 1.5, -1.5)
AB = 0.75**2 * 1.5**2
G = np.array(
    [[(abs(p) or AB) * p**k / math.prod(p - q for q in FINITE if q != p) for k in range(3)] for p in FINITE] + [[0, 0, AB]]
)
# The transform of a kernel of 3 x 3, [36, 9].
G_SQUARED = torch.from_numpy(np.kron(G, G))


class Scratch:
    """Scratch memory of calls, as large as the largest needs.

    Args:
        dtype: Precision of the maps.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._memory, self._room = torch.empty(0, dtype=dtype, device="cpu"), 0

    def run(self, function: Any, *arguments: Any) -> None:
        """Calls a function of the library; if its scratch memory is too small, the function only returns the size that it needs."""
        while needed := function(*arguments, self._memory.data_ptr(), self._room):
            self._memory, self._room = torch.empty(needed, dtype=self._memory.dtype, device="cpu"), needed


def kind_of(shape: Sequence[int], stride: int, padding: int, pooled: int = 1) -> int:
    """Returns the convolution of `native` for a weight of `shape` [outputs, inputs, height, width], or NONE.

    Args:
        shape: Shape of the weight.
        stride: Stride of the convolution.
        padding: Padding of the convolution.
        pooled: Edge of the windows that are averaged before a convolution of 1 x 1.
    """
    outputs, inputs, *kernel = shape
    if kernel == [1, 1] and padding == 0 and stride == pooled and pooled in (1, 2):
        return POINTWISE if pooled == 1 else POOLED
    if kernel == [3, 3] and (stride, padding) == (2, 1):
        return STRIDED
    if kernel == [3, 3] and (stride, padding) == (1, 1) and min(outputs, inputs) >= WINOGRAD_CHANNELS:
        return WINOGRAD
    return NONE


def native_weight(weight: Tensor, kind: int, dtype: torch.dtype, lanes: int) -> Tensor:
    """Returns a weight [outputs, inputs, height, width] as `native` reads it: [points, inputs, outputs padded to whole vectors].

    Args:
        weight: The weight.
        kind: The convolution, as in convolve.h.
        dtype: Precision of the maps.
        lanes: Numbers of a vector.
    """
    outputs, inputs = weight.shape[:2]
    matrices = weight.detach().double().permute(2, 3, 1, 0).reshape(-1, inputs * outputs)
    if kind == WINOGRAD:
        matrices = G_SQUARED @ matrices
    return functional.pad(matrices.view(-1, inputs, outputs), (0, -outputs % lanes)).to(dtype).contiguous()
