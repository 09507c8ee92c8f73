"""Time of the convolutions alone that a score cannot leave out: what bounds every code for it.

A network's calls of `conv2d` are recorded, and calls of the same shapes are timed alone, in channels_last memory:

    forward    the convolution
    inputs     its gradient with respect to the input, given that of the output; the first layer has none
    weights    its gradient with respect to the weight
    of_images  the same for each image alone; our kernels also sum the signs in that call

A score needs so many of each. They are timed as torch's own calls, and as calls of the compiled kernels that our scores use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rbflex_evo.fitness.passes.backward import sign_sums
from rbflex_evo.fitness.passes.watch import served


@dataclass(frozen=True)
class Needs:
    """Number of passes of all convolutions that a score cannot do without.

    Attributes:
        forward: Convolutions.
        inputs: Gradients with respect to the input.
        weights: Gradients with respect to the weight.
        of_images: Gradients of each image alone with respect to the weight.
        images: Number of images, None for all of the batch.
        double: Whether the score is defined in float64.
    """

    forward: int
    inputs: int = 0
    weights: int = 0
    of_images: int = 0
    images: int | None = None
    double: bool = False


def needs(images: int, classes: int) -> dict[str, Needs]:
    """Returns the needs of each score, for a number of images and of classes.

    GraSP's are those of a Hessian-vector product in the direction of the weights: values and tangents forward, gradients and their
    tangents backward, and for each weight one product for the gradient and two for its tangent.
    """
    return {
        "gradsign": Needs(1, 1, of_images=1),
        "logsynflow": Needs(1, 1, 1, images=1, double=True),
        "naswot": Needs(1),
        "zen": Needs(2),
        "grasp": Needs(2, 2, 3),
        "vkdnw": Needs(1, classes),
        "zico": Needs(1, 1, 1),
        "ntk_cond": Needs(1, images, images),
    }


@dataclass(frozen=True)
class Call:
    """One convolution: shapes of its input without the images and of its weight, and whether its input needs a gradient."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int
    padding: int
    inner: bool


class _Recorder(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is functional.conv2d:
            x, weight, _, stride, padding, *_ = (*args, 1, 0)
            sizes = [size if isinstance(size, int) else size[0] for size in (stride, padding)]
            self.calls.append(Call(tuple(x.shape[1:]), tuple(weight.shape), *sizes, bool(self.calls)))
        return func(*args, **(kwargs or {}))


def calls_of(network: nn.Module, images: Tensor) -> list[Call]:
    """Returns the convolutions of a network in the order of its forward; the first one reads the images."""
    with _Recorder() as recorder, torch.no_grad():
        network(images[:1])
    return recorder.calls


def seconds_of(
    calls: Sequence[Call], needed: Needs, images: int, functions: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> float:
    """Returns the seconds of the calls that a score needs.

    Args:
        calls: Convolutions of the network.
        needed: The score's needs.
        images: Number of images of the batch.
        functions: Returns the context in which the convolutions run; by default they are torch's.
    """
    dtype = torch.float64 if needed.double else torch.float32
    found = 0.0
    for call in calls:
        with functions():
            parts = _parts(call, needed.images or images, dtype, functions is not nullcontext)
            for count, name in zip((needed.forward, needed.inputs, needed.weights, needed.of_images), PARTS, strict=True):
                if count and (call.inner or name != "inputs"):
                    found += count * _least(parts[name])
    return found


PARTS = ("forward", "inputs", "weights", "of_images")
# Timed calls of each part; the shortest counts, since the rest is disturbance.
REPEATS = 3


def _least(run: Callable[[], Any]) -> float:
    run()
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return min(seconds)


def _parts(call: Call, images: int, dtype: torch.dtype, kernels: bool) -> dict[str, Callable[[], Any]]:
    """Returns the timed parts of one call by name."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(images, *call.input, dtype=dtype, generator=rng).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = nn.Parameter(torch.randn(call.weight, dtype=dtype, generator=rng))

    def forward() -> Tensor:
        made: Tensor = served(functional.conv2d)(x, weight, None, call.stride, call.padding)
        return made

    output = forward()
    g = torch.randn(output.shape, dtype=dtype, generator=rng).contiguous(memory_format=torch.channels_last)

    def plain() -> Any:
        with torch.no_grad():
            return forward()

    def gradient(of: Tensor) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(output, of, g, retain_graph=True)

    if kernels:

        def of_images() -> Any:
            with torch.no_grad():
                return served(sign_sums)(x, g, (call.weight[2], call.weight[3]), call.stride, call.padding)
    else:
        single = [functional.conv2d(x[i : i + 1].detach(), weight, None, call.stride, call.padding) for i in range(images)]

        def of_images() -> Any:
            return [
                torch.autograd.grad(one, weight, part, retain_graph=True)
                for one, part in zip(single, torch.split(g, 1), strict=True)
            ]

    return dict(zip(PARTS, (plain, gradient(x), gradient(weight), of_images), strict=True))
