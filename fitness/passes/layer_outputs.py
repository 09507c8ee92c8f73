"""The outputs of all layers of one plain forward: what has weights, and what activates.

Layers are modules with a parameter `weight` (convolutions, linear layers, normalisations), whose outputs are the values before an
activation, and the activation layers of `activations`, modules or functions, whose outputs are those after it. Tables of embeddings
are excluded: they look words up and compute nothing.

    outputs are maps [N, C, H, W], sequences [N, T, C] or vectors [N, C]; `rows_of` gives them as [N, positions, C]

Maps of other networks that are [N, H, W, C] are turned; those whose channels cannot be told are refused (see `channels`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from .activations import FUNCTIONS, declared, is_activation
from .last_map import channels_last
from .layout import needs_evidence
from .reductions.channels import Channels, arranged
from .watch import Rewired, evaluation_mode, normalisations


def show_layers(network: nn.Module, images: Tensor, norm: Callable[..., Tensor], show: Callable[[Tensor], None]) -> Any:
    """Runs a network, passes the output of each layer to `show` in the order of the forward, and returns the network's output.

    Args:
        network: The network.
        images: Inputs [N, ...].
        norm: Replacement of batch normalisations, `watch.batch_norm` or `watch.image_norm`.
        show: Receiver of an output without a gradient. The output may be changed in place afterwards, so it must not be kept.

    Raises:
        CandidateFailed: If it cannot be told which dimension of an output holds the channels.
    """
    inside = 0
    channels = Channels(of_layers=True) if needs_evidence(network) else None

    def passed_on(output: Any, name: str) -> None:
        if isinstance(output, Tensor) and output.dim() > 1 and len(output) == len(images):
            with torch._C.DisableTorchFunction():
                dimension = None if channels is None else channels.dimension(output, name)
                show(arranged(output.detach(), dimension))

    def enter(module: nn.Module, inputs: Any) -> None:
        nonlocal inside
        inside += 1

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal inside
        inside -= 1
        if not inside and declared(module) is not False:
            passed_on(output, f"layer {type(module).__name__}")

    def function(func: Any, args: tuple[Any, ...], output: Any) -> None:
        if not inside:
            passed_on(output, func.__name__)

    def weighted(module: nn.Module, inputs: Any, output: Any) -> None:
        passed_on(output, f"layer {type(module).__name__}")

    with ExitStack() as stack:
        for module in network.modules():
            if is_activation(module) or declared(module) is False:
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave).remove)
            elif isinstance(getattr(module, "weight", None), nn.Parameter) and not isinstance(module, nn.Embedding):
                stack.callback(module.register_forward_hook(weighted).remove)
        if channels is not None:
            stack.enter_context(channels)
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(torch.no_grad())
        stack.enter_context(Rewired(normalisations(norm), dict.fromkeys(FUNCTIONS, function)))
        return network(channels_last(images))


def rows_of(output: Tensor) -> tuple[Tensor, int]:
    """Returns the output of a layer as [N, positions, C], and how many positions follow each other in a column.

    The pixels of a map are read column by column. A vector has one position.
    """
    if output.dim() > 3:
        columns = output.flatten(3).transpose(1, 3)  # [N, W, H, C]
        return columns.flatten(1, 2), columns.shape[2]
    rows = output if output.dim() == 3 else output[:, None]
    return rows, rows.shape[1]
