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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .observer import CandidateFailed
from .watch import Rewired, batch_norm, evaluation_mode, normalisations

if TYPE_CHECKING:
    from .subject import Subject


@contextmanager
def training(
    network: nn.Module,
    norm: Callable[..., Tensor] = batch_norm,
    replaced: Mapping[Any, Callable[..., Any]] | None = None,
) -> Iterator[None]:
    """Context in which gradients of `network` are recorded and batch normalisation is replaced by `norm`.

    Args:
        network: The network, in evaluation mode inside the context.
        norm: `watch.batch_norm` (statistics of the whole batch) or `watch.image_norm` (of each image alone).
        replaced: Further replacements, by torch function.
    """
    with evaluation_mode(network), torch.enable_grad(), Rewired({**normalisations(norm), **(replaced or {})}, {}):
        yield


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
