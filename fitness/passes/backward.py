"""Passes of gradient scores: gradients are recorded, batch normalisation is as in training, and the network is unchanged.

    with training(network):                        the batch's own statistics, no running averages, dropout off
        output = network(inputs_of(subject))
    found = gradients(subject.loss(output), weights_of(network))   never through .grad

The papers call `network.train()` and `loss.backward()`, which moves running averages and fills `.grad`; this gives the same
gradients and leaves the network as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.lean import LeanNetwork

from .observer import CandidateFailed
from .watch import Rewired, batch_norm, evaluation_mode, image_norm, normalisations, served

if TYPE_CHECKING:
    from .subject import Subject


@contextmanager
def training(
    network: nn.Module,
    norm: Callable[..., Tensor] = batch_norm,
    replaced: Mapping[Any, Callable[..., Any]] | None = None,
    again: bool = False,
) -> Iterator[None]:
    """Context in which gradients of `network` are recorded and batch normalisation is replaced by `norm`.

    Args:
        network: The network, in evaluation mode inside the context.
        norm: `watch.batch_norm` (statistics of the whole batch) or `watch.image_norm` (of each image alone).
        replaced: Further replacements, by torch function.
        again: Whether the gradients are differentiated again.
    """
    one = served(as_one)
    whole = isinstance(network, LeanNetwork) and not replaced and not again and norm in (batch_norm, image_norm)
    with evaluation_mode(network), torch.enable_grad(), Rewired({**normalisations(norm), **(replaced or {})}, {}):
        if not (isinstance(network, LeanNetwork) and whole) or one is as_one:
            yield
            return
        network.as_one = partial(one, network, norm)
        try:
            yield
        finally:
            network.as_one = None


def as_one(network: LeanNetwork, norm: Callable[..., Tensor], images: Tensor) -> Tensor:
    """Returns the logits of a lean network with gradients, within `training`; what serves it may record one operation."""
    return network.logits(images)


def inputs_of(subject: Subject) -> Tensor:
    """Returns the images in the fastest memory layout for convolutions: channels_last on a CPU halves the time."""
    images = subject.images
    last = images.device.type == "cpu" and images.dim() == 4
    return images.contiguous(memory_format=torch.channels_last) if last else images


def weights_of(network: nn.Module) -> list[nn.Parameter]:
    """Returns the trainable weights of convolutions and linear layers: the parameters with more than one dimension.

    Tables of embeddings are excluded, since the papers' code reads convolutions and linear layers only.
    """
    tables = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    return [p for p in network.parameters() if p.requires_grad and p.dim() > 1 and id(p) not in tables]


def gradients(
    output: Tensor, inputs: Sequence[Tensor], retain_graph: bool = False, create_graph: bool = False
) -> list[Tensor | None]:
    """Returns d output / d input for each input, None if there is no path; no `.grad` is changed.

    Args:
        output: A scalar.
        inputs: Tensors that require gradients.
        retain_graph: Whether further gradients of the same forward follow.
        create_graph: Whether the gradients are differentiated again.
    """
    if not inputs or not output.requires_grad:
        return [None] * len(inputs)
    keep = retain_graph or create_graph
    return list(torch.autograd.grad(output, list(inputs), retain_graph=keep, create_graph=create_graph, allow_unused=True))


def part_gradients(
    network: nn.Module,
    images: Tensor,
    loss: Callable[[Tensor, slice], Tensor],
    weights: Sequence[nn.Parameter],
    parts: Sequence[slice],
) -> list[list[Tensor | None]]:
    """Returns for each part of the images the gradients of its loss, None for a weight without one.

    Args:
        network: The network; batch normalisation takes the statistics of each part.
        images: Inputs [N, ...].
        loss: Returns the mean loss of the outputs for a part of the images.
        weights: Weights of convolutions and linear layers.
        parts: The parts, in order; together all images.
    """
    own = served(part_gradients)
    if own is not part_gradients and isinstance(network, LeanNetwork):
        together: list[list[Tensor | None]] | None = own(network, images, loss, weights, parts)
        if together is not None:
            return together
    found = []
    for part in parts:
        with training(network):
            found.append(gradients(loss(network(images[part]), part), weights))
    return found


def image_signs(
    network: nn.Module,
    images: Tensor,
    loss: Callable[[Tensor, slice], Tensor],
    weights: Sequence[nn.Parameter],
    norm: Callable[..., Tensor],
) -> list[Tensor | None]:
    """Returns for each weight the sum over images of the signs of each image's gradient, NaN where a gradient is not finite.

    None stands for a weight without a gradient. If every weight belongs to one plain convolution or linear layer that is called
    once, the images share one forward and one backward, since `norm` keeps them independent: they give each layer's input and the
    gradient of its output, whose product is the gradient of the weight.

    Args:
        network: The network.
        images: Inputs [N, ...].
        loss: Returns the mean loss of the outputs for a part of the images.
        weights: Weights of convolutions and linear layers.
        norm: Normalisation that keeps images independent, `watch.image_norm`.
    """
    totals: list[Tensor | None] = [None] * len(weights)
    calls = _Calls(weights, len(images))
    with training(network, norm, {nn.functional.conv2d: calls.convolution, nn.functional.linear: calls.linear}):
        output = network(images)
    if calls.plain:
        found = gradients(loss(output, slice(None)), [call.output for call in calls.made])
        for call, gradient in zip(calls.made, found, strict=True):
            if gradient is not None:
                totals[call.layer] = served(sign_sums)(call.input, gradient, call.kernel, call.stride, call.padding)
        return totals
    # One image at a time bounds memory by one image and one gradient, and its maps stay in a CPU's cache.
    for i in range(len(images)):
        part = slice(i, i + 1)
        with training(network, norm):
            alone = gradients(loss(network(images[part]), part), weights)
        for layer, own in enumerate(alone):
            if own is not None:
                before = totals[layer]
                totals[layer] = _sign(own) if before is None else before + _sign(own)
    return totals


def sign_sums(input: Tensor, gradient: Tensor, kernel: tuple[int, int], stride: int, padding: int) -> Tensor:
    """Returns the sum over images of the signs of each image's gradient of a layer's weight, NaN where one is not finite.

    Args:
        input: Input of the layer, [N, inputs] or [N, inputs, H, W].
        gradient: Gradient of its output, [N, outputs] or [N, outputs, ...].
        kernel: Height and width of the weight.
        stride: Stride of the convolution.
        padding: Padding of the convolution.

    Returns:
        [outputs, inputs], for maps [outputs, inputs, *kernel].
    """
    pairs = zip(torch.split(input, 1), torch.split(gradient, 1), strict=True)
    if input.dim() == 2:
        return torch.stack([_sign(g.transpose(0, 1) @ x) for x, g in pairs]).sum(dim=0)
    total = _sign(_weight_gradient(*next(pairs), kernel, stride, padding))
    for x, g in pairs:
        total += _sign(_weight_gradient(x, g, kernel, stride, padding))
    # In the order of the weight.
    return total.view(-1, *kernel, input.shape[1]).permute(0, 3, 1, 2)


def _sign(gradient: Tensor) -> Tensor:
    # The sign of infinity is 1; 0 times infinity is NaN, so the sum is NaN.
    return gradient.sign() + 0 * gradient


def _weight_gradient(x: Tensor, gradient: Tensor, kernel: tuple[int, int], stride: int, padding: int) -> Tensor:
    """Returns the gradient [outputs, height * width * inputs] of a convolution's weight for one image."""
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
    x = nn.functional.pad(x, (padding,) * 4) if padding else x
    windows = x.permute(0, 2, 3, 1).unfold(1, kernel[0], stride).unfold(2, kernel[1], stride)
    # Channels last, so that whole pixels are copied.
    return rows.T @ windows.permute(0, 1, 2, 4, 5, 3).reshape(len(rows), -1)


@dataclass(frozen=True)
class _Call:
    """One call of a layer: its position among the weights, input, output and their versions, stride and padding."""

    layer: int
    input: Tensor
    output: Tensor
    versions: tuple[int, int]
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0

    @property
    def unchanged(self) -> bool:
        """Whether nothing has changed the input or the output in place since the call."""
        return (self.input._version, self.output._version) == self.versions


class _Calls:
    """Calls of layers with known weights in one forward."""

    def __init__(self, weights: Sequence[nn.Parameter], images: int) -> None:
        self.layers = {weight: layer for layer, weight in enumerate(weights)}
        self.images = images
        self.made: list[_Call] = []
        self.other = False

    @property
    def plain(self) -> bool:
        """Whether every weight belongs to exactly one call that is understood."""
        known = not self.other and all(call.unchanged for call in self.made)
        return known and sorted(call.layer for call in self.made) == list(range(len(self.layers)))

    def convolution(
        self, input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Tensor:
        """Computes a convolution and keeps the call."""
        sizes = [{value} if isinstance(value, int) else set(value) for value in (stride, padding, dilation)]
        understood = groups == 1 and sizes[2] == {1} and len(sizes[0]) == len(sizes[1]) == 1 and not isinstance(padding, str)
        if weight not in self.layers or not understood or len(input) != self.images:
            self.other |= weight in self.layers
            found: Tensor = served(nn.functional.conv2d)(input, weight, bias, stride, padding, dilation, groups)
            return found
        output = served(nn.functional.conv2d)(input, weight, bias, stride, padding)
        height, width = weight.shape[2:]
        return self._keep(input, weight, output, (height, width), min(sizes[0]), min(sizes[1]))

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Computes a linear layer and keeps the call."""
        if weight not in self.layers or input.dim() != 2 or len(input) != self.images:
            self.other |= weight in self.layers
            return nn.functional.linear(input, weight, bias)
        return self._keep(input, weight, nn.functional.linear(input, weight, bias), (1, 1))

    def _keep(
        self, input: Tensor, weight: Any, output: Tensor, kernel: tuple[int, int], stride: int = 1, padding: int = 0
    ) -> Tensor:
        self.made.append(
            _Call(self.layers[weight], input.detach(), output, (input._version, output._version), kernel, stride, padding)
        )
        return output


def collect(values: Sequence[Tensor], what: str, scored: bool = True) -> np.ndarray:
    """Returns scalars as one float64 array on the host.

    Args:
        values: Scalar tensors.
        what: Name of the values in the message of a failure, in the plural.
        scored: Whether the candidate fails if all values are zero.

    Raises:
        CandidateFailed: If a value is not finite, or all are zero and `scored` is set.
    """
    array = torch.stack(list(values)).cpu().numpy().astype(float) if values else np.zeros(0)
    if not np.isfinite(array).all():
        raise CandidateFailed(f"{what} hold NaN or infinity")
    if scored and not array.any():
        raise CandidateFailed(f"all {what} are zero: no path from input to output, or the signal died")
    return array
