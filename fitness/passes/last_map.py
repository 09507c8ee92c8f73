"""The map that a network pools into its features, for scores that read the network before global pooling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.lean import LeanNetwork

from .layout import needs_evidence
from .observer import CandidateFailed
from .reductions.channels import Channels, arranged
from .watch import POOLINGS, Rewired, batch_norm, evaluation_mode, given, normalisations


def channels_last(images: Tensor) -> Tensor:
    """Returns images [N, C, H, W] in channels_last memory, in which small convolutions and poolings are fast."""
    return images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images


def last_map(
    network: nn.Module,
    classifier: nn.Module | None,
    images: Tensor,
    norm: Callable[..., Tensor] = batch_norm,
    reads_channels: bool = False,
) -> Tensor:
    """Runs a network and returns the map that it pools into the classifier's input, with its autograd graph.

    If nothing is pooled directly before the classifier, the result is the classifier's input.

    Args:
        network: The network.
        classifier: Layer of `network` whose input is the feature vector; None for a lean network, which has no layers.
        images: Inputs [N, ...].
        norm: Replacement of batch normalisations; by default by the statistics of the batch, without running averages.
        reads_channels: Whether the map is [N, C, H, W] or [N, T, C], turned for networks that have other maps.

    Raises:
        CandidateFailed: If the classifier is never called, or it cannot be told which dimension holds the channels.
    """
    if classifier is None:
        assert isinstance(network, LeanNetwork)
        with evaluation_mode(network), Rewired(normalisations(norm), {}):
            return network.before_pooling(channels_last(images))
    pooled: list[tuple[Tensor, int]] = []
    found: list[Tensor] = []
    channels = Channels() if reads_channels and needs_evidence(network) else None

    def pooling(func: Any, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            pooled[:] = [(args[0], output.numel())]

    def features(module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        rows = given(inputs, named)
        before = pooled and pooled[0][1] == rows.numel()
        found[:] = [pooled[0][0] if before else rows]

    with ExitStack() as stack:
        if channels is not None:
            stack.enter_context(channels)
        stack.callback(classifier.register_forward_pre_hook(features, with_kwargs=True).remove)
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(Rewired(normalisations(norm), dict.fromkeys(POOLINGS, pooling)))
        network(channels_last(images))
    if not found:
        raise CandidateFailed("the classifier was never called in the forward")
    if channels is None:
        return found[0]
    return arranged(found[0], channels.dimension(found[0], "the last map"))
