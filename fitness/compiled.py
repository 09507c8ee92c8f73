"""The compiled backend: a plan's sums, activations and statistics in the fused kernels of `native`, on a CPU in one thread."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from spaces.plan import EPSILON

from . import native
from .backends import Backend, Combined
from .proxies.naswot import NaswotObserver
from .proxies.rbflex import ROUNDINGS, RbflexObserver
from .proxy import Observer

KINDS = {"alias": 0, "norm": 1, "pool": 2}
REALS = {torch.float32: "float", torch.float64: "double"}
TILE = 512  # as in fused.c


class CompiledBackend(Backend):
    """Equal to the eager backend but for the order of sums.

    Args:
        dtype: of the maps.
        convolutions: the precision of convolutions.

    Raises:
        NativeError: if the kernels cannot be compiled here.
    """

    name = "compiled"

    def __init__(self, dtype: torch.dtype, convolutions: torch.dtype) -> None:
        super().__init__(convolutions)
        self.library = native.load(REALS[dtype])
        self._scratch = torch.empty(0, dtype=dtype)

    def combine(
        self,
        kinds: Sequence[str],
        inputs: Sequence[Tensor],
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        *,
        value: bool,
        active: bool,
    ) -> Combined:
        images, channels, height, width = shape
        # Named, so that a copy lives until the call is over.
        maps = [x.contiguous(memory_format=torch.channels_last) for x in inputs]
        count = len(maps)
        total, relu = (_empty(shape, dtype) if wanted else None for wanted in (value, active))
        magnitude = torch.empty(images, dtype=dtype)
        scratch = self._room((3 + 2 * count) * width * channels + 2 * channels)
        self.library.combine(
            images,
            height,
            width,
            channels,
            count,
            (ctypes.c_int * count)(*(KINDS[kind] for kind in kinds)),
            (ctypes.c_void_p * count)(*(x.data_ptr() for x in maps)),
            EPSILON,
            None if total is None else total.data_ptr(),
            None if relu is None else relu.data_ptr(),
            magnitude.data_ptr(),
            scratch.data_ptr(),
        )
        return Combined(total, relu, magnitude)

    def reduce(self, observer: Observer, outputs: Tensor, magnitude: Tensor | None) -> Tensor | None:
        # A subclass may have changed what is reduced, so only these very classes are known.
        if type(observer) is RbflexObserver and magnitude is not None:
            return self._reduce_rows(outputs, magnitude)
        if type(observer) is NaswotObserver:
            return self._reduce_signs(outputs)
        return super().reduce(observer, outputs, magnitude)

    def show_features(self, observer: Observer, features: Tensor, magnitude: Tensor) -> None:
        if type(observer) is RbflexObserver:
            reduced = self._reduce_rows(features[None].contiguous(), magnitude.expand(len(features)))
            observer.parts["q"].take(reduced[0], features.shape[1])
        else:
            super().show_features(observer, features, magnitude)

    def _reduce_rows(self, outputs: Tensor, magnitude: Tensor) -> Tensor:
        candidates, n = outputs.shape[:2]
        length = outputs[0, 0].numel()
        blocks = torch.empty(candidates, n * n + 3 * n + 1, dtype=torch.float64)
        tile, gram = self._tile(n)
        for output, block, largest in zip(outputs, blocks, magnitude.reshape(candidates, n).amax(dim=1).tolist(), strict=True):
            self.library.reduce_rows(
                output.data_ptr(), n, length, largest, ROUNDINGS, block.data_ptr(), tile.data_ptr(), gram.data_ptr()
            )
        return blocks

    def _reduce_signs(self, outputs: Tensor) -> Tensor:
        candidates, n = outputs.shape[:2]
        matches = torch.empty(candidates, n, n, dtype=torch.float64)
        tile, gram = self._tile(n)
        for output, block in zip(outputs, matches, strict=True):
            length = output[0].numel()
            self.library.reduce_signs(output.data_ptr(), n, length, block.data_ptr(), tile.data_ptr(), gram.data_ptr())
        return matches

    def _tile(self, n: int) -> tuple[Tensor, Tensor]:
        padded = (n + 3) // 4 * 4
        return self._room((padded + 2) * TILE), torch.empty(padded * padded, dtype=torch.float64)

    def _room(self, numbers: int) -> Tensor:
        if len(self._scratch) < numbers:
            self._scratch = torch.empty(numbers, dtype=self._scratch.dtype)
        return self._scratch


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)
