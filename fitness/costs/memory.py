"""Memory of the activations of a network, counted in a forward pass of one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rbflex_evo.fitness.passes.watch import Rewired, evaluation_mode
from rbflex_evo.spaces.isolation.settings import own_settings


def activation_memory(network: nn.Module, inputs: Tensor) -> int:
    """Returns the largest sum of live activations during a forward pass of `inputs` [1, ...], in bytes.

    All tensors that exist at the same time are live, including the input but not parameters, buffers and workspaces of
    kernels. Tensors that share memory (views, results of in-place operations) count once.

    Raises:
        CandidateFailed: If the forward draws random numbers.
    """
    # Without a function mode, torch runs its Transformer layers as one fused operation that hides the activations.
    live = _Live([*network.parameters(), *network.buffers()])
    with own_settings(), torch.no_grad(), evaluation_mode(network), Rewired({}, {}), live:
        network(inputs.clone())
    return live.peak


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the memory of the existing results after every operation."""

    def __init__(self, ignored: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._ignored = {StorageWeakRef(tensor.untyped_storage()).cdata for tensor in ignored}  # type: ignore[no-untyped-call]
        self._sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(named or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                storage = made.untyped_storage()
                reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                if reference.cdata not in self._ignored:
                    self._sizes[reference] = storage.nbytes()
        live = {reference: size for reference, size in self._sizes.items() if not reference.expired()}  # type: ignore[no-untyped-call]
        self._sizes = live
        self.peak = max(self.peak, sum(self._sizes.values()))
        return result
