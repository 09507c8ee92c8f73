"""What can be counted on a network by one forward of one input: its depth, and the memory that its activations take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = ("conv", "mm", "linear")
"""Parts of the names of the autograd nodes that multiply by a weight."""


def depth(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Returns the number of weighted layers (convolutions and linear layers) on the longest path from input to output.

    The paths are those of the autograd graph of one forward, so whatever the modules are called, a parallel branch counts
    by its longer side, and a layer that the output does not depend on is on no path. Parameters of one dimension
    (biases, normalisation) make no weighted layer. 0 if the output does not depend on the input.

    Args:
        input_shape: [channels, height, width] of one input.
    """
    images = torch.zeros(1, *input_shape, requires_grad=True)
    with torch.enable_grad():
        # Not the leaf itself: networks may change their input in place.
        output = network(images * 1.0)
    longest, _ = _paths(output.grad_fn, images)
    return max(longest, 0)


def _paths(root: Any, images: Tensor) -> tuple[int, bool]:
    """Returns the weighted layers on the longest way from `root` to `images`, -1 if there is none, and whether it is a weight."""
    known: dict[Any, tuple[int, bool]] = {None: (-1, False)}
    waiting = [root]
    while waiting:
        node = waiting[-1]
        children = [child for child, _ in node.next_functions] if node is not None else []
        missing = [child for child in children if child not in known]
        if missing and node not in known:
            waiting += missing
            continue
        waiting.pop()
        if node not in known:
            known[node] = _of_node(node, [known[child] for child in children], images)
    return known[root]


def _of_node(node: Any, children: Sequence[tuple[int, bool]], images: Tensor) -> tuple[int, bool]:
    if hasattr(node, "variable"):
        return (0, False) if node.variable is images else (-1, node.variable.dim() >= 2)
    longest = max((length for length, _ in children), default=-1)
    weighted = any(weight for _, weight in children)
    if longest < 0:
        return -1, weighted
    multiplies = any(part in node.name().lower() for part in PRODUCTS)
    return longest + (weighted and multiplies), False


def activation_memory(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Returns the largest sum of live activations during one forward of one input, in bytes.

    Live is every tensor that exists at one moment, the input included, parameters and buffers not: what inference needs
    besides the weights, kernels' own workspaces aside. Tensors that share memory (views, in-place results) count once.

    Args:
        input_shape: [channels, height, width] of one input.
    """
    with torch.no_grad(), _Live([*network.parameters(), *network.buffers()]) as live:
        images = torch.zeros(1, *input_shape)
        network(images)
    return live.peak


class _Live(TorchDispatchMode):
    """Adds up the memory of the tensors that operations made and that still exist, after every operation."""

    def __init__(self, ignored: Sequence[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._ignored = {StorageWeakRef(tensor.untyped_storage()).cdata for tensor in ignored}
        self._sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(named or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                storage = made.untyped_storage()
                reference = StorageWeakRef(storage)
                if reference.cdata not in self._ignored:
                    self._sizes[reference] = storage.nbytes()
        self._sizes = {reference: size for reference, size in self._sizes.items() if not reference.expired()}
        self.peak = max(self.peak, sum(self._sizes.values()))
        return result
