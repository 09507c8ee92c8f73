"""The forward and backward of a lean network as one operation of torch, without its bookkeeping for each operation.

A small network has some five hundred operations, and for each of them torch's recording and a function mode take as long as the
arithmetic. A tape runs the same operations by the kernels and keeps, for each, what its gradient reads:

    forward     network.primitives = tape;  network.logits(images)
    backward    in reverse: gradient of a result -> gradients of what the operation read, added up by tensor

Gradients that are differentiated again are torch's, of the operations one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rbflex_evo.fitness.passes.backward import as_one, part_gradients, training
from rbflex_evo.fitness.passes.last_map import lean_map
from rbflex_evo.fitness.passes.reductions.row_sums import ROUNDINGS
from rbflex_evo.fitness.passes.watch import batch_norm, image_norm, serving
from rbflex_evo.spaces.architecture.lean import LeanNetwork, Operations

from .differentiable import FORMS, Kernels, NativeFunctions, channels_last, wanted
from .native_calls import NONE, kind_of

EPSILON = 1e-5
# Gradients by what an operation read.
Gradients = list[tuple[Tensor, Tensor]]
Back = Callable[[Tensor, Callable[[Tensor], bool], bool], Gradients]


@dataclass(frozen=True)
class _Entry:
    """One operation: its result and its gradients.

    Attributes:
        result: Identity of the result.
        back: Returns the gradients, given that of the result, which tensors need one, and whether it may change the given one.
    """

    result: int
    back: Back


class Tape(Operations):
    """Operations of a lean network by the kernels, and their gradients.

    Args:
        kernels: The kernels of the network's precision.
        norm: Normalisation, `watch.batch_norm` or `watch.image_norm`.
        recorded: Whether gradients follow.
        parts: Number of equal parts of the images that are normalised on their own, by `batch_norm`; above 1, gradients of weights
            are those of each part, [parts, ...].
    """

    def __init__(self, kernels: Kernels, norm: Callable[..., Tensor], recorded: bool = True, parts: int = 1) -> None:
        self.kernels = kernels
        self.norm = norm
        self.recorded = recorded
        self.parts = parts
        self.variances: list[Tensor] = []
        self._entries: list[_Entry] = []
        self._kept: list[Tensor] = []  # Results keep their identities as long as the tape refers to them.

    def gradients(self, gradient: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """Returns the gradient with respect to each input, None where there is none, given that of the last result."""
        # Each gradient, and whether it is of this tensor alone, so that it may be changed in place.
        found: dict[int, tuple[Tensor, bool]] = {self._entries[-1].result: (gradient, False)}
        sought = {id(x) for x in inputs}
        made = {entry.result for entry in self._entries}

        def needed(x: Tensor) -> bool:
            return id(x) in sought or id(x) in made

        for entry in reversed(self._entries):
            if entry.result not in found:
                continue
            own, free = found.pop(entry.result)
            parts = entry.back(own, needed, free)
            shared = len(parts) > 1 and parts[0][1] is parts[1][1]
            for x, part in parts:
                before, alone = found.get(id(x), (None, False))
                if before is None:
                    found[id(x)] = (part, not shared and (free or part is not own))
                else:
                    found[id(x)] = (before.add_(part) if alone else before + part, True)
        return [found[id(x)][0] if id(x) in found else None for x in inputs]

    def _parts(self, x: Tensor, g: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the parts of an input and of the gradient of a result."""
        size = len(x) // self.parts
        return zip(torch.split(x, size), torch.split(g, size), strict=True)

    def _keep(self, result: Tensor, back: Back, last: bool = False) -> Tensor:
        if self.recorded:
            self._entries.append(_Entry(id(result), back))
            if not last:  # Autograd makes the last result refer to the tape.
                self._kept.append(result)
        return result

    def convolve(self, x: Tensor, weight: nn.Parameter, padding: int = 0, stride: int = 1) -> Tensor:
        """Returns a convolution without bias."""
        kernels, kernel = self.kernels, (weight.shape[2], weight.shape[3])
        own = (kernel, stride, padding) in FORMS and kind_of(weight.shape, stride, padding) != NONE
        held = kernels.held(weight) if own else {}
        matrix = weight.detach()

        def back(g: Tensor, needed: Callable[[Tensor], bool], free: bool) -> Gradients:
            found: Gradients = []
            if needed(x) and own:
                found.append((x, kernels.convolve(g, matrix, True, held)))
            elif needed(x):
                sizes = ([stride, stride], [padding, padding], [1, 1], False, [0, 0], 1)
                of_x, _, _ = torch.ops.aten.convolution_backward(g, x, matrix, None, *sizes, [True, False, False])
                found.append((x, of_x))
            if needed(weight):
                pairs = self._parts(x, g)
                of_parts = [kernels.weigh(one, part, kernel, stride, padding) for one, part in pairs]
                found.append((weight, of_parts[0] if self.parts == 1 else torch.stack(of_parts)))
            return found

        made = kernels.convolve(x, matrix, False, held) if own else torch.conv2d(x, matrix, None, stride, padding)
        return self._keep(made, back)

    def normalise(self, x: Tensor, weight: nn.Parameter, bias: nn.Parameter) -> Tensor:
        """Returns a normalisation by the statistics of the batch or of each image."""
        apart = self.norm is image_norm
        groups = len(x) if apart else self.parts
        if x.numel() == x.shape[1] * groups:  # One value has no deviation.
            return self._by_torch(lambda *leaves: self.norm(leaves[0], None, None, *leaves[1:]), x, weight, bias)
        maps, roundings = channels_last(x), float(ROUNDINGS) if apart else 0.0
        made, moments = self.kernels.normalise(maps, weight.detach(), bias.detach(), groups, EPSILON, roundings)
        self.variances.append(moments[2, 0])

        def back(g: Tensor, needed: Callable[[Tensor], bool], free: bool) -> Gradients:
            g = channels_last(g)
            of_x, sums = self.kernels.normalise_back(g, maps, weight.detach(), moments, g if free else None)
            return [(x, of_x), (weight, sums[0]), (bias, sums[1])]

        return self._keep(made, back)

    def relu(self, x: Tensor) -> Tensor:
        """Returns the ReLU."""
        made = torch.relu(x)

        def back(g: Tensor, needed: Callable[[Tensor], bool], free: bool) -> Gradients:
            out = g if free else torch.empty_like(g)
            return [(x, torch.ops.aten.threshold_backward.grad_input(g, x, 0, grad_input=out))]

        return self._keep(made, back)

    def add(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns the sum of two maps."""
        return self._keep(first + second, lambda g, needed, free: [(first, g), (second, g)])

    def average(self, x: Tensor) -> Tensor:
        """Averages each 3 x 3 window over its pixels inside the map."""
        return self._pool(x, 3, 1, 1)

    def halve(self, x: Tensor) -> Tensor:
        """Averages windows of 2 x 2."""
        return self._pool(x, 2, 2, 0)

    def _pool(self, x: Tensor, size: int, stride: int, padding: int) -> Tensor:
        form = ([size, size], [stride, stride], [padding, padding], False, False)
        made = torch.ops.aten.avg_pool2d(x, *form)
        return self._keep(made, lambda g, needed, free: [(x, torch.ops.aten.avg_pool2d_backward(g, x, *form, None))])

    def classify(self, x: Tensor, weight: nn.Parameter, bias: nn.Parameter) -> Tensor:
        """Returns the logits [N, classes] of the averages of maps [N, C, H, W]; no other operation follows."""
        pooled, matrix = x.mean(dim=(2, 3)), weight.detach()

        def back(g: Tensor, needed: Callable[[Tensor], bool], free: bool) -> Gradients:
            shares = (g @ matrix / (x.shape[2] * x.shape[3]))[:, :, None, None]
            of_x = channels_last(shares.expand_as(x))
            of_parts = [part.T @ one for one, part in self._parts(pooled, g)]
            return [(x, of_x), (weight, of_parts[0] if self.parts == 1 else torch.stack(of_parts)), (bias, g.sum(dim=0))]

        return self._keep(torch.addmm(bias.detach(), pooled, matrix.T), back, last=True)

    def _by_torch(self, function: Callable[..., Tensor], *read: Tensor) -> Tensor:
        """Returns the result of a function of torch, whose gradients are torch's."""
        leaves = [x.detach().requires_grad_() for x in read]
        with torch.enable_grad(), serving({}):
            made = function(*leaves)

        def back(g: Tensor, needed: Callable[[Tensor], bool], free: bool) -> Gradients:
            return list(zip(read, torch.autograd.grad(made, leaves, g, retain_graph=True), strict=True))

        return self._keep(made.detach(), back)


class Tapes:
    """Tapes in place of the operations of lean networks, where the kernels read their precision.

    Args:
        functions: The kernels.

    Attributes:
        table: What computes a function, by function, for `watch.serving`.
    """

    def __init__(self, functions: NativeFunctions) -> None:
        self.functions = functions
        own: dict[Any, Callable[..., Any]] = {as_one: self.as_one, part_gradients: self.part_gradients, lean_map: self.lean_map}
        self.table: dict[Any, Callable[..., Any]] = {**functions.table, **own}

    def as_one(self, network: LeanNetwork, norm: Callable[..., Tensor], images: Tensor) -> Tensor:
        """Computes `backward.as_one`."""
        # A function mode would also see each look at a tensor.
        with torch._C.DisableTorchFunction():
            kernels = self._kernels(network, images)
        if kernels is None:
            return network.logits(images)
        with torch._C.DisableTorchFunction():
            # Torch says of results, but not of leaves, whether a backward reads their gradient (`wanted`).
            arguments = [p.view_as(p) if p.dim() > 1 else p for p in network.parameters()]
            logits: Tensor = _Whole.apply(channels_last(images), network, norm, kernels, *arguments)
            return logits

    def _kernels(self, network: LeanNetwork, images: Tensor) -> Kernels | None:
        # The parameters of a lean network have one precision and device.
        return self.functions.kernels(images, next(network.parameters())) if images.dim() == 4 else None

    def part_gradients(
        self,
        network: LeanNetwork,
        images: Tensor,
        loss: Callable[[Tensor, slice], Tensor],
        weights: Sequence[nn.Parameter],
        parts: Sequence[slice],
    ) -> list[list[Tensor | None]] | None:
        """Computes `backward.part_gradients` in one forward and backward of all images; None for unequal parts or single images."""
        kernels = self._kernels(network, images)
        sizes = {part.stop - (part.start or 0) for part in parts}
        if kernels is None or len(sizes) > 1 or sizes == {1}:
            return None
        tape = Tape(kernels, batch_norm, parts=len(parts))
        with torch.no_grad(), _by(network, tape):
            logits = network.logits(channels_last(images))
        with torch.enable_grad():
            leaf = logits.requires_grad_()
            total = torch.stack([loss(leaf[part], part) for part in parts]).sum()
            (gradient,) = torch.autograd.grad(total, leaf)
        found = tape.gradients(gradient, weights)
        return [[None if one is None else one[i] for one in found] for i in range(len(parts))]

    def lean_map(self, network: LeanNetwork, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Computes `last_map.lean_map`."""
        kernels = self._kernels(network, images)
        if kernels is None:
            return lean_map(network, images)
        tape = Tape(kernels, batch_norm, recorded=False)
        with torch.no_grad(), _by(network, tape):
            return network.before_pooling(channels_last(images)), tape.variances


@contextmanager
def _by(network: LeanNetwork, tape: Tape) -> Iterator[None]:
    """Context in which the operations of a network are those of a tape."""
    before, network.primitives = network.primitives, tape
    try:
        yield
    finally:
        network.primitives = before


class _Whole(Function):
    """The logits of a lean network as a function of images and parameters."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, network: LeanNetwork, norm: Callable[..., Tensor], kernels: Kernels, *parameters: Tensor
    ) -> Tensor:
        tape = Tape(kernels, norm)
        with _by(network, tape):
            logits = network.logits(images)
        ctx.tape, ctx.network, ctx.norm, ctx.images = tape, network, norm, images
        return logits

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        read = [ctx.images, *ctx.network.parameters()]
        asked = [wanted(before) for before, _ in ctx.next_functions]
        chosen = [x for x, needed in zip(read, asked, strict=True) if needed]
        if torch.is_grad_enabled():
            with training(ctx.network, ctx.norm, again=True):
                again = ctx.network(ctx.images)
            found = torch.autograd.grad(again, chosen, g, create_graph=True, allow_unused=True)
        else:
            found = ctx.tape.gradients(g, chosen)
        given = iter(found)
        of_images, *of_parameters = (next(given) if needed else None for needed in asked)
        return of_images, None, None, None, *of_parameters
