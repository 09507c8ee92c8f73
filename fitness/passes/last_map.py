"""The map that a network pools into its features: what scores read that look at the network "before global pooling"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from .observer import CandidateFailed
from .watch import POOLINGS, Rewired, batch_norm, evaluation_mode, given, normalisations


def channels_last(images: Tensor) -> Tensor:
    """Returns images [N, C, H, W] with their channels side by side in memory, in which small convolutions and poolings are fast."""
    return images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images


def last_map(network: nn.Module, classifier: nn.Module, images: Tensor, norm: Callable[..., Tensor] = batch_norm) -> Tensor:
    """Runs `network` on `images` [N, ...] and returns the map that was pooled into the classifier's input, with its graph.

    Where nothing was pooled right before the classifier it is the classifier's input itself.

    Args:
        norm: what is computed for a batch normalisation; the default is the whole batch's, without running averages.

    Raises:
        CandidateFailed: if the classifier was never called.
    """
    pooled: list[tuple[Tensor, int]] = []
    found: list[Tensor] = []

    def pooling(func: Any, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            pooled[:] = [(args[0], output.numel())]

    def features(module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        rows = given(inputs, named)
        before = pooled and pooled[0][1] == rows.numel()
        found[:] = [pooled[0][0] if before else rows]

    with ExitStack() as stack:
        stack.callback(classifier.register_forward_pre_hook(features, with_kwargs=True).remove)
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(Rewired(normalisations(norm), dict.fromkeys(POOLINGS, pooling)))
        network(channels_last(images))
    if not found:
        raise CandidateFailed("the classifier was never called in the forward")
    return found[0]
