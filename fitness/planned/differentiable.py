"""Convolutions and normalisations of `native` with their gradients, in place of torch's, on a CPU in one thread.

    with serving(NativeFunctions().table):        passes inside call torch as usual
        output = network(images)                  a convolution of 3 x 3 or 1 x 1, and a normalisation by the batch's statistics or
        gradients(loss(output), weights)          by each image's, are the kernels'; their gradients too, of any order
        signs = image_signs(...)                  sums of signs of each image's gradient of a weight are the kernels'

The gradient of a convolution with respect to its input is a convolution by the turned weight, and the gradients of these two and of
the gradient with respect to the weight are again those three. Calls of any other form are torch's.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from rbflex_evo.fitness.passes.backward import sign_sums
from rbflex_evo.fitness.passes.byte_cache import ByteCache
from rbflex_evo.fitness.passes.reductions.row_sums import ROUNDINGS
from rbflex_evo.fitness.passes.watch import batch_norm_and_variance, image_norm, serving

from . import native
from .native_calls import NONE, REALS, Scratch, kind_of, native_weight

# Kernel, stride and padding of the convolutions that are replaced.
FORMS = (((3, 3), 1, 1), ((1, 1), 1, 0))
# Prepared weights of parameters, which candidates share.
MEMORY = 128 * 2**20
# Points of a prepared kernel of 3 x 3.
POINTS = 36
# Prepared forms of one weight: for the convolution, and turned for the gradient of its input.
Held = dict[bool, Tensor]


class NativeFunctions:
    """The kernels of `native` in place of torch's operations where they implement them, in both precisions.

    Attributes:
        table: What computes a function, by function, for `watch.serving`.
    """

    def __init__(self) -> None:
        self._kernels: dict[torch.dtype, Kernels] = {}
        self.table: dict[Any, Callable[..., Any]] = {
            functional.conv2d: self.conv2d,
            functional.batch_norm: self.batch_norm,
            batch_norm_and_variance: self.batch_norm_and_variance,
            image_norm: self.image_norm,
            sign_sums: self.sign_sums,
        }

    def kernels(self, first: Tensor, *others: Tensor | None) -> Kernels | None:
        """Returns the kernels that read these tensors, None if none do.

        Raises:
            NativeError: If the kernels of this precision cannot be compiled on this machine.
        """
        tensors = [first, *(x for x in others if x is not None)]
        same = all(x.dtype is first.dtype and x.device.type == "cpu" and x.numel() > 0 for x in tensors)
        if not same or first.dtype not in REALS:
            return None
        if first.dtype not in self._kernels:
            self._kernels[first.dtype] = Kernels(first.dtype)
        return self._kernels[first.dtype]

    def conv2d(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        """Computes `functional.conv2d`."""
        form = (tuple(weight.shape[2:]), _single(stride), _single(padding))
        plain = form in FORMS and groups == 1 and _single(dilation) == 1 and input.dim() == 4
        kernels = self.kernels(input, weight) if plain and kind_of(weight.shape, 1, form[2] or 0) != NONE else None
        if kernels is None:
            return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
        # Torch says of results, but not of leaves, whether a backward reads their gradient (`wanted`).
        output: Tensor = _Convolution.apply(input, weight.view_as(weight), kernels, False, kernels.held(weight))
        return output if bias is None else output + bias.view(1, -1, 1, 1)

    def batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Computes `functional.batch_norm`."""
        plain = running_mean is None and training and input.dim() == 4 and len(input) * input[0, 0].numel() > 1
        kernels = self.kernels(input, weight, bias) if plain and (weight is None) == (bias is None) else None
        if kernels is None:
            return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        reference = partial(functional.batch_norm, running_mean=None, running_var=None, training=True, eps=eps)
        output: Tensor = _Normalisation.apply(input, weight, bias, kernels, 1, eps, 0.0, reference)
        return output

    def image_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Computes `watch.image_norm`."""
        reference = partial(_image_norm, eps=eps)
        plain = input.dim() == 4 and input[0, 0].numel() > 1 and (weight is None) == (bias is None)
        kernels = self.kernels(input, weight, bias) if plain else None
        if kernels is None:
            return reference(input, weight=weight, bias=bias)
        output: Tensor = _Normalisation.apply(input, weight, bias, kernels, len(input), eps, float(ROUNDINGS), reference)
        return output

    def batch_norm_and_variance(
        self, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Computes `watch.batch_norm_and_variance`."""
        recorded = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (input, weight, bias))
        kernels = self.kernels(input, weight, bias) if input.dim() == 4 and not recorded else None
        if kernels is None:
            with serving({}):
                return batch_norm_and_variance(input, weight, bias, eps)
        normalised, moments = kernels.normalise(channels_last(input), weight, bias, 1, eps, 0.0)
        return normalised, moments[2, 0]

    def sign_sums(self, input: Tensor, gradient: Tensor, kernel: tuple[int, int], stride: int, padding: int) -> Tensor:
        """Computes `backward.sign_sums`."""
        kernels = self.kernels(input, gradient)
        if kernels is None:
            return sign_sums(input, gradient, kernel, stride, padding)
        return kernels.weigh(_maps(input), _maps(gradient), kernel, stride, padding, signs=True)


class Kernels:
    """The kernels of `native` for gradients, on tensors of one precision.

    Args:
        dtype: Precision of the maps.

    Raises:
        NativeError: If the kernels cannot be compiled on this machine.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.library = native.load(REALS[dtype])
        self.scratch = Scratch(dtype)
        self._prepared: ByteCache[tuple[weakref.ref[Tensor], int, Held]] = ByteCache(MEMORY)

    def held(self, weight: Tensor) -> Held:
        """Returns where the prepared forms of a weight are kept; those of a parameter are kept for later calls."""
        if not isinstance(weight, nn.Parameter):
            return {}
        found = self._prepared.get(id(weight))
        if found is None or found[0]() is not weight or found[1] != weight._version:
            points = POINTS if weight.shape[2] > 1 else 1
            found = (weakref.ref(weight), weight._version, {})
            self._prepared.keep(id(weight), found, 2 * points * weight[:, :, 0, 0].nbytes)
        return found[2]

    def convolve(self, x: Tensor, weight: Tensor, turned: bool, held: Held) -> Tensor:
        """Returns the convolution of x [N, inputs, H, W] by a weight [outputs, inputs, 3, 3] or [outputs, inputs, 1, 1].

        Args:
            x: Maps; for `turned`, the gradients of the outputs [N, outputs, H, W].
            weight: The weight.
            turned: Whether the result is the gradient of the inputs.
            held: Prepared forms of the weight by `turned`; a missing one is added.
        """
        x = channels_last(x)
        images, inputs, height, width = x.shape
        outputs = weight.shape[1] if turned else weight.shape[0]
        out = _empty_like(x, outputs)
        kind = kind_of(weight.shape, 1, weight.shape[2] // 2)
        if turned not in held:
            matrix = weight.flip(2, 3).transpose(0, 1) if turned else weight
            held[turned] = native_weight(matrix, kind, self.dtype, self.library.lanes())
        sizes = (kind, images, height, width, inputs, outputs)
        self.scratch.run(self.library.convolve, *sizes, x.data_ptr(), held[turned].data_ptr(), out.data_ptr())
        return out

    def weigh(self, x: Tensor, g: Tensor, kernel: tuple[int, int], stride: int, padding: int, signs: bool = False) -> Tensor:
        """Returns the gradient of a convolution's weight [outputs, inputs, *kernel], given that of its outputs.

        Args:
            x: Inputs [N, inputs, H, W].
            g: Gradients of the outputs [N, outputs, ...].
            kernel: Height and width of the weight.
            stride: Stride of the convolution.
            padding: Padding of the convolution.
            signs: Whether to return the sum over images of the signs of each image's gradient instead of their sum.
        """
        x, g = channels_last(x), channels_last(g)
        images, inputs, height, width = x.shape
        outputs, down, across = g.shape[1:]
        lanes = self.library.lanes()
        out = torch.empty(*kernel, inputs, -(-outputs // lanes) * lanes, dtype=self.dtype, device="cpu")
        layer = native.NativeLayer(height, width, inputs, down, across, outputs, *kernel, stride, padding)
        self.scratch.run(self.library.weigh, images, layer, signs, x.data_ptr(), g.data_ptr(), out.data_ptr())
        return out[..., :outputs].permute(3, 2, 0, 1).contiguous()

    def normalise(
        self, x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, roundings: float
    ) -> tuple[Tensor, Tensor]:
        """Returns maps normalised by the statistics of each of `groups` parts, and these: moments [3, groups, C].

        The moments are the mean, 1 / deviation and the variance.

        Args:
            x: The maps [N, C, H, W], in channels_last memory.
            weight: Factors [C] of the normalised channels, or None.
            bias: Shifts [C], or None.
            groups: Number of parts: 1, or the number of images.
            eps: Summand of the variance.
            roundings: If above 0, a channel of a part that is constant up to so many roundings of the part's largest value is only
                shifted, and its 1 / deviation is 0.
        """
        images, channels, height, width = x.shape
        out = _empty_like(x, channels)
        weight, bias = (None if v is None else v.contiguous() for v in (weight, bias))
        moments = torch.empty(3, groups, channels, dtype=self.dtype, device="cpu")
        sizes = (groups, images // groups * height, width, channels)
        pointers = (x.data_ptr(), *(None if v is None else v.data_ptr() for v in (weight, bias)))
        bound = roundings * torch.finfo(self.dtype).eps
        step = moments.nbytes // 3
        made = (*(moments.data_ptr() + i * step for i in range(3)), out.data_ptr())
        self.scratch.run(self.library.normalise, *sizes, *pointers, eps, bound, *made)
        return out, moments

    def normalise_back(
        self, g: Tensor, x: Tensor, weight: Tensor | None, moments: Tensor, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the gradients of x, and of weight and bias [2, C], given those of the result of `normalise`.

        Args:
            g: Gradients of the result, in channels_last memory.
            x: The maps that were normalised, in channels_last memory.
            weight: Factors [C], or None.
            moments: The moments of `normalise`.
            out: Where the gradients of x are written; it may be `g`. None for new memory.
        """
        images, channels, height, width = x.shape
        out = _empty_like(x, channels) if out is None else out
        sums = torch.empty(2, channels, dtype=self.dtype, device="cpu")
        groups = moments.shape[1]
        sizes = (groups, images // groups * height, width, channels)
        pointers = (g.data_ptr(), x.data_ptr(), None if weight is None else weight.data_ptr())
        statistics = (moments.data_ptr(), moments.data_ptr() + moments.nbytes // 3)
        self.scratch.run(self.library.normalise_back, *sizes, *pointers, *statistics, out.data_ptr(), sums.data_ptr())
        return out, sums

    def normalise_twice(
        self, v: Tensor, g: Tensor, x: Tensor, of_sums: Tensor, weight: Tensor | None, moments: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of g, x and weight, given those of the results of `normalise_back`, v and of_sums [2, C]."""
        images, channels, height, width = x.shape
        to_g, to_x = _empty_like(x, channels), _empty_like(x, channels)
        to_weight = torch.empty(channels, dtype=self.dtype, device="cpu")
        groups = moments.shape[1]
        sizes = (groups, images // groups * height, width, channels)
        read = (v.data_ptr(), of_sums.data_ptr(), g.data_ptr(), x.data_ptr(), None if weight is None else weight.data_ptr())
        statistics = (moments.data_ptr(), moments.data_ptr() + moments.nbytes // 3)
        made = (to_g.data_ptr(), to_x.data_ptr(), to_weight.data_ptr())
        self.scratch.run(self.library.normalise_twice, *sizes, *read, *statistics, *made)
        return to_g, to_x, to_weight


def _image_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    with serving({}):
        return image_norm(input, weight=weight, bias=bias, eps=eps)


def _convolve(x: Tensor, weight: Tensor, kernels: Kernels, turned: bool, held: Held) -> Tensor:
    return kernels.convolve(x, weight, turned, held)


def _weigh(x: Tensor, g: Tensor, size: int, kernels: Kernels) -> Tensor:
    return kernels.weigh(x, g, (size, size), 1, size // 2)


class _Convolution(Function):
    """A convolution by a weight, or with `turned` the gradient of its inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, kernels: Kernels, turned: bool, held: Held) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.kernels, ctx.turned, ctx.held = kernels, turned, held
        return _convolve(x, weight, kernels, turned, held)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        of_first, of_second = (wanted(before) for before, _ in ctx.next_functions)
        # Only a gradient that is differentiated again is recorded; for small maps, recording takes longer than the kernels.
        recorded = torch.is_grad_enabled()
        convolve: Callable[..., Tensor] = _Convolution.apply if recorded else _convolve
        weigh: Callable[..., Tensor] = _WeightGradient.apply if recorded else _weigh
        of_x = convolve(g, weight, ctx.kernels, not ctx.turned, ctx.held) if of_first else None
        pair = (g, x) if ctx.turned else (x, g)
        of_weight = weigh(pair[0], pair[1], weight.shape[2], ctx.kernels) if of_second else None
        return of_x, of_weight, None, None, None


class _WeightGradient(Function):
    """The gradient of a convolution's weight, given its inputs and the gradients of its outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, size: int, kernels: Kernels) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.kernels = kernels
        return _weigh(x, g, size, kernels)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Any:
        x, g = ctx.saved_tensors
        of_first, of_second = (wanted(before) for before, _ in ctx.next_functions)
        held: Held = {}
        of_x = _Convolution.apply(g, weight, ctx.kernels, True, held) if of_first else None
        of_g = _Convolution.apply(x, weight, ctx.kernels, False, held) if of_second else None
        return of_x, of_g, None, None


class _Normalisation(Function):
    """Normalisation of groups of images; `reference` is the same in torch, for further derivatives."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        kernels: Kernels,
        groups: int,
        eps: float,
        roundings: float,
        reference: Callable[..., Tensor],
    ) -> Tensor:
        last = channels_last(x)
        out, moments = kernels.normalise(last, weight, bias, groups, eps, roundings)
        ctx.save_for_backward(x, weight, bias, moments)
        ctx.kernels, ctx.reference = kernels, reference
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight, bias, moments = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = _NormalisationGradient.apply(g, x, weight, bias, moments, ctx.kernels, ctx.reference)
        else:
            of_x, sums = ctx.kernels.normalise_back(channels_last(g), channels_last(x), weight, moments)
            found = (of_x, sums[0], sums[1])
        return *(value if needed else None for value, needed in zip(found, ctx.needs_input_grad, strict=False)), *[None] * 5


class _NormalisationGradient(Function):
    """The gradients of x, weight and bias of a normalisation, given that of its result."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        moments: Tensor,
        kernels: Kernels,
        reference: Callable[..., Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(g, x, weight, bias, moments)
        ctx.kernels, ctx.reference = kernels, reference
        of_x, sums = kernels.normalise_back(channels_last(g), channels_last(x), weight, moments)
        return of_x, sums[0], sums[1]

    @staticmethod
    def backward(ctx: Any, v: Tensor, of_weight: Tensor, of_bias: Tensor) -> Any:
        g, x, weight, bias, moments = ctx.saved_tensors
        # An argument that is no tensor has no node.
        asked = [wanted(before) for before, _ in ctx.next_functions[: 2 if weight is None else 3]]
        asked += [False] * (3 - len(asked))
        if torch.is_grad_enabled():
            # Derivatives of a higher order are torch's.
            with torch._C.DisableTorchFunction():
                leaves = [value for value in (x, weight, bias) if value is not None]
                again = torch.autograd.grad(ctx.reference(x, weight=weight, bias=bias), leaves, g, create_graph=True)
                read = [value for value, needed in zip((g, x, weight), asked, strict=True) if needed]
                seeds = [v, of_weight, of_bias][: len(leaves)]
                found = iter(torch.autograd.grad(again, read, seeds, create_graph=True, allow_unused=True))
            return *(next(found) if needed else None for needed in asked), *[None] * 4
        maps = (channels_last(value) for value in (v, g, x))
        every = ctx.kernels.normalise_twice(*maps, torch.stack([of_weight, of_bias]), weight, moments)
        return *(value if needed else None for value, needed in zip(every, asked, strict=True)), *[None] * 4


def wanted(before: Any) -> bool:
    """Returns whether the running backward reads the gradient of a tensor; `needs_input_grad` is for any backward.

    Args:
        before: Node of the tensor, of `next_functions`; None for one without gradients.
    """
    if before is None:
        return False
    # Torch does not say it of leaves.
    return type(before).__name__ == "AccumulateGrad" or bool(torch._C._will_engine_execute_node(before))


def _single(sizes: Any) -> int | None:
    """Returns the size that two equal ones have; None if they differ or are given by name."""
    found = {sizes} if isinstance(sizes, int) else set(sizes) if not isinstance(sizes, str) else set()
    return found.pop() if len(found) == 1 else None


def _maps(x: Tensor) -> Tensor:
    """Returns rows [N, C] as maps [N, C, 1, 1], and maps as they are."""
    return x if x.dim() == 4 else x[:, :, None, None]


def channels_last(x: Tensor) -> Tensor:
    """Returns maps in channels_last memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _empty_like(x: Tensor, channels: int) -> Tensor:
    shape = (len(x), channels, *x.shape[2:])
    return torch.empty(shape, dtype=x.dtype, device="cpu", memory_format=torch.channels_last)
