"""How gradient scores run a network: gradients recorded, batch normalisation as in training, nothing changed.

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
    """Records gradients of what `network` computes inside, normalised by `norm`.

    Args:
        norm: `forward.batch_norm` (statistics of the whole batch) or `forward.image_norm` (each image alone).
        replaced: functions that are called otherwise besides.
    """
    with evaluation_mode(network), torch.enable_grad(), Rewired({**normalisations(norm), **(replaced or {})}, {}):
        yield


def inputs_of(subject: Subject) -> Tensor:
    """Returns the images in the layout in which their device convolves fastest: a CPU takes half the time with channels last."""
    images = subject.images
    last = images.device.type == "cpu" and images.dim() == 4
    return images.contiguous(memory_format=torch.channels_last) if last else images


def weights_of(network: nn.Module) -> list[nn.Parameter]:
    """Returns the trainable weights of convolutions and linear layers: the parameters of more than one dimension.

    Tables that an embedding looks up are none: the papers' code takes convolutions and linear layers only.
    """
    tables = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    return [p for p in network.parameters() if p.requires_grad and p.dim() > 1 and id(p) not in tables]


def gradients(
    output: Tensor, inputs: Sequence[Tensor], retain_graph: bool = False, create_graph: bool = False
) -> list[Tensor | None]:
    """Returns d output / d input for each input, None where there is no path; no `.grad` is touched.

    Args:
        retain_graph: whether more gradients of the same forward follow.
        create_graph: whether the gradients are differentiated again.
    """
    if not inputs or not output.requires_grad:
        return [None] * len(inputs)
    keep = retain_graph or create_graph
    return list(torch.autograd.grad(output, list(inputs), retain_graph=keep, create_graph=create_graph, allow_unused=True))


def collect(values: Sequence[Tensor], what: str, scored: bool = True) -> np.ndarray:
    """Returns scalars as one float64 array on the host.

    Args:
        what: the name of the values in a failure, in the plural.
        scored: whether zeros all over mean that there is nothing to score.

    Raises:
        CandidateFailed: if one is not finite, or there is nothing to score.
    """
    array = torch.stack(list(values)).cpu().numpy().astype(float) if values else np.zeros(0)
    if not np.isfinite(array).all():
        raise CandidateFailed(f"{what} hold NaN or infinity")
    if scored and not array.any():
        raise CandidateFailed(f"all {what} are zero: no path from input to output, or the signal died")
    return array
