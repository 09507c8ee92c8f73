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
from .watch import (
    POOLINGS,
    Rewired,
    batch_norm,
    batch_norm_and_variance,
    evaluation_mode,
    given,
    normalisations,
    served,
)


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
        own = served(lean_map)
        if norm is batch_norm and own is not lean_map and not torch.is_grad_enabled():
            found_map: Tensor = own(network, channels_last(images))[0]
            return found_map
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


def last_map_and_variances(network: nn.Module, classifier: nn.Module | None, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Returns `last_map` without a graph, and the variance [C] of each batch normalisation, in the order of the forward."""
    with torch.no_grad():
        if classifier is None:
            assert isinstance(network, LeanNetwork)
            found: tuple[Tensor, list[Tensor]] = served(lean_map)(network, channels_last(images))
            return found
        variances: list[Tensor] = []
        return last_map(network, classifier, images, _recording(variances)), variances


def lean_map(network: LeanNetwork, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Returns the map of a lean network before pooling by the batch's statistics, and the variances of its normalisations."""
    variances: list[Tensor] = []
    with evaluation_mode(network), Rewired(normalisations(_recording(variances)), {}):
        return network.before_pooling(images), variances


def _recording(variances: list[Tensor]) -> Callable[..., Tensor]:
    def recorded(
        x: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        normalised, variance = batch_norm_and_variance(x, weight, bias, eps)
        variances.append(variance)
        return normalised

    return recorded
