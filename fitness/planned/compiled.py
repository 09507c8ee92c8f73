"""The compiled backend: the steps of a plan in the fused kernels of `native`, on a CPU in one thread.

A convolution that `native` implements is postponed to the sum that reads it and computed there image by image, so that its result
stays in the cache. All other convolutions are torch's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rbflex_evo.fitness.passes.backward import sign_sums
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.reductions.row_sums import ROUNDINGS
from rbflex_evo.fitness.passes.reductions.spectra import spectra_of
from rbflex_evo.fitness.passes.watch import serving
from rbflex_evo.spaces.architecture.plan import EPSILON, Convolve

from . import native
from .differentiable import Kernels, NativeFunctions
from .eager import Backend, Combined, Postponed
from .native_calls import NONE, REALS, Scratch, kind_of, native_weight
from .tape import Tapes

KINDS = {"alias": 0, "norm": 1, "pool": 2}
# The set of patterns of so many images is a table.
PATTERN_BITS = 16
# With more channels, LAPACK finds eigenvalues faster than the kernel.
MOST_CHANNELS = 128


class NativeWeight(NamedTuple):
    """Prepared weight of a convolution of `native`.

    Attributes:
        kind: The convolution, as in convolve.h.
        values: Weight [points, inputs, outputs padded to whole vectors].
    """

    kind: int
    values: Tensor

    @property
    def nbytes(self) -> int:
        """Size of the weight in bytes."""
        return self.values.nbytes


class CompiledBackend(Backend):
    """Backend of compiled kernels, equal to the eager one up to round-off.

    Args:
        dtype: Precision of the maps.
        convolutions: Precision of convolutions; if it differs from `dtype`, all convolutions are torch's.

    Raises:
        NativeError: If the kernels cannot be compiled on this machine.
    """

    name = "compiled"

    def __init__(self, dtype: torch.dtype, convolutions: torch.dtype) -> None:
        super().__init__(convolutions)
        self.dtype = dtype
        self.library = native.load(REALS[dtype])
        self._run = Scratch(dtype).run
        self._kernels = Kernels(dtype)
        self._functions = Tapes(NativeFunctions())

    def functions(self, lean: bool) -> AbstractContextManager[Any]:
        """Returns a context in which operations are those of `native`, with gradients.

        For lean networks, these are convolutions, normalisations and what reads them; for others only the sums of signs. Between
        operations that only torch has, such as grouped convolutions, the other kernels take up to four times as long as torch's,
        because every map changes its memory format.

        Args:
            lean: Whether the space has lean networks.
        """
        # The kernels run in one thread.
        serves = self.convolutions == self.dtype and torch.get_num_threads() == 1
        table = self._functions.table
        return serving(table if lean else {sign_sums: table[sign_sums]}) if serves else nullcontext()

    def prepare(self, weight: Tensor, step: Convolve) -> Any:
        """Returns a `NativeWeight` if `native` implements the step, else torch's weight."""
        kind = NONE if self.convolutions != self.dtype else kind_of(step.shape, step.stride, step.padding, step.pooled)
        if kind == NONE:
            return super().prepare(weight, step)
        return NativeWeight(kind, native_weight(weight, kind, self.dtype, self.library.lanes()))

    def convolve(self, x: Tensor, weight: Any, step: Convolve) -> Tensor:
        """Returns a convolution without bias."""
        if not isinstance(weight, NativeWeight):
            return super().convolve(x, weight, step)
        x = _channels_last(x)
        images, inputs, height, width = x.shape
        window = max(step.shape[2], step.pooled)
        made = [(size + 2 * step.padding - window) // step.stride + 1 for size in (height, width)]
        out = self._empty((images, step.shape[0], *made))
        sizes = (weight.kind, images, height, width, inputs, step.shape[0])
        self._run(self.library.convolve, *sizes, x.data_ptr(), weight.values.data_ptr(), out.data_ptr())
        return out

    def postpone(self, x: Tensor, weight: Any, step: Convolve) -> Tensor | Postponed:
        """Returns a postponed convolution if `native` implements the step."""
        if not isinstance(weight, NativeWeight):
            return super().convolve(x, weight, step)
        return Postponed(_channels_last(x), weight, step)

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
        """Adds terms and takes the ReLU of the sum, as `Backend.combine`."""
        images, channels, height, width = shape
        if together > 1:
            # Statistics of several images are known only after all of them are convolved.
            inputs = [self._normalised(self.made(x), together) if k == "norm" else x for k, x in zip(kinds, inputs, strict=True)]
            kinds = ["alias" if kind == "norm" else kind for kind in kinds]
        # The list keeps copies in memory until the call has returned.
        maps = [x if isinstance(x, Postponed) else _channels_last(x) for x in inputs]
        terms = (native.NativeTerm * len(maps))(*map(_term, kinds, maps))
        total, relu = (self._empty(shape) if wanted else None for wanted in (value, active))
        magnitude = torch.empty(images, dtype=dtype, device="cpu")
        pointers = [None if x is None else x.data_ptr() for x in (total, relu, magnitude)]
        self._run(self.library.combine, images, height, width, channels, len(maps), terms, EPSILON, *pointers)
        return Combined(total, relu, magnitude)

    def _normalised(self, x: Tensor, together: int) -> Tensor:
        """Returns maps normalised by the statistics of so many consecutive images."""
        return self._kernels.normalise(_channels_last(x), None, None, len(x) // together, EPSILON, 0.0)[0]

    def reduce(self, observer: Observer, outputs: Tensor, magnitude: Tensor | None) -> Tensor | None:
        """Reduces the outputs of a layer, as `Reducer.reduce`."""
        if not self._takes(outputs) or observer.reduction is None:
            return super().reduce(observer, outputs, magnitude)
        outputs = _dense(outputs)
        if observer.reduction == "row_sums":
            return self._reduce_rows(outputs, magnitude)
        if observer.reduction == "sign_matches":
            layers, n = outputs.shape[:2]
            matches = torch.empty(layers, n, n, dtype=torch.float64, device="cpu")
            self._run(self.library.reduce_signs, outputs.data_ptr(), layers, n, outputs[0, 0].numel(), matches.data_ptr())
            return matches
        if observer.reduction == "patterns" and outputs.shape[1] <= PATTERN_BITS:
            layers, n = outputs.shape[:2]
            tables = torch.empty(layers, 2**n + 1, dtype=torch.bool, device="cpu")
            self.library.reduce_patterns(outputs.data_ptr(), layers, n, outputs[0, 0].numel(), tables.data_ptr())
            return tables
        return super().reduce(observer, outputs, magnitude)

    def reduce_block(self, observer: Observer, outputs: Tensor) -> Tensor | None:
        """Reduces the outputs of a primary block, as `Reducer.reduce_block`."""
        # Channels are the second dimension of maps [N, C, H, W], and the last one of words [N, T, C] and features.
        rows = outputs.movedim(2, -1) if outputs.dim() > 4 else outputs
        maps, n, *pixels, channels = rows.shape
        most = min(MOST_CHANNELS, n * math.prod(pixels))
        if not self._takes(rows) or observer.block_reduction != "spectra" or channels > most:
            return super().reduce_block(observer, outputs)
        rows = rows.contiguous()
        eigenvalues = np.empty((maps, channels))
        sizes = (maps, n, math.prod(pixels), channels)
        self._run(self.library.reduce_spectra, rows.data_ptr(), *sizes, eigenvalues.ctypes.data)
        return torch.from_numpy(spectra_of(eigenvalues))

    def show_features(self, observer: Observer, features: Tensor, magnitude: Tensor) -> None:
        """Passes features to an observer, as row sums if it reads those."""
        if observer.reduction == "row_sums" and self._takes(features):
            reduced = self._reduce_rows(features.contiguous()[None], magnitude.to(self.dtype).repeat(len(features)))
            observer.take_features(reduced[0], features.shape[1], magnitude)
        else:
            super().show_features(observer, features, magnitude)

    def _takes(self, outputs: Tensor) -> bool:
        """Whether the kernels read these outputs; a network may compute in a precision of its own."""
        return outputs.dtype is self.dtype and outputs.device.type == "cpu"

    def _reduce_rows(self, outputs: Tensor, magnitude: Tensor | None) -> Tensor:
        """Returns `reduce_rows` of layers [K, N, ...] with the largest absolute values [K N] of their rows, found here if None."""
        layers, n = outputs.shape[:2]
        blocks = torch.empty(layers, n * n + 3 * n + 1, dtype=torch.float64, device="cpu")
        sizes = (layers, n, outputs[0, 0].numel())
        largest = None if magnitude is None else magnitude.data_ptr()
        self._run(self.library.reduce_rows, outputs.data_ptr(), *sizes, largest, ROUNDINGS, blocks.data_ptr())
        return blocks

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device="cpu", memory_format=torch.channels_last)


def _dense(outputs: Tensor) -> Tensor:
    """Returns outputs [K, N, ...] whose rows are consecutive in memory, columns in any one order."""
    last = outputs.dim() > 4 and outputs.movedim(2, -1).is_contiguous()
    return outputs if last else outputs.contiguous()


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _term(kind: str, x: Tensor | Postponed) -> native.NativeTerm:
    if isinstance(x, Tensor):
        return native.NativeTerm(KINDS[kind], NONE, 0, 0, 0, x.data_ptr(), None)
    return native.NativeTerm(KINDS[kind], x.weight.kind, *x.source.shape[1:], x.source.data_ptr(), x.weight.values.data_ptr())
