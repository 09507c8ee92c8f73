"""Postponed initialisation: a constructor's draws of matrices, which a score replaces, are made only if something reads them.

Torch draws every weight when a layer is constructed, which takes most of the time of building a network. The draw of a matrix is
kept instead of made. If the constructor reads the matrix (spectral or weight normalisation, a copy of a layer, a buffer that is
computed from it), the draw is made at that moment, so that nothing is ever computed from uninitialised memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

DRAWS = {
    Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_, init.kaiming_normal_,
    init.xavier_uniform_, init.xavier_normal_,
}  # fmt: skip

# Calls that read no value of a tensor: its properties and sizes.
_requires_grad: Any = Tensor.requires_grad
UNREAD: set[Any] = {
    Tensor.size, Tensor.dim, Tensor.ndimension, Tensor.numel, Tensor.nelement, Tensor.stride, Tensor.element_size, Tensor.__len__,
    Tensor.is_floating_point, Tensor.is_complex, Tensor.requires_grad_, Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones,
    _requires_grad.__set__,
    *(
        getattr(Tensor, name).__get__
        for name in (
            "shape", "ndim", "dtype", "device", "layout", "requires_grad", "grad", "grad_fn", "is_leaf", "is_meta", "is_sparse",
            "is_quantized", "is_nested", "is_mkldnn", "is_cuda", "is_cpu", "itemsize", "nbytes",
        )
        if hasattr(Tensor, name)
    ),
}  # fmt: skip


class Postponing(TorchFunctionMode):
    """Function mode in which draws of parameters with more than one dimension are postponed until a call reads the parameter."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, tuple[Tensor, Callable[[], Any]]] = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        if func in DRAWS:
            tensor = args[0] if args else kwargs["tensor"]
            if isinstance(tensor, nn.Parameter) and tensor.dim() > 1 and tensor.device.type == "cpu":
                # Every draw replaces all values, so only the last one counts.
                self._waiting[id(tensor)] = (tensor, lambda: func(*args, **kwargs))
                return tensor
        elif self._waiting and func not in UNREAD:
            self._make(args)
            self._make(kwargs.values())
        return func(*args, **kwargs)

    def _make(self, values: Any) -> None:
        """Makes the postponed draws of the tensors among arguments of a call."""
        for value in values:
            if isinstance(value, list | tuple):
                self._make(value)
            elif id(value) in self._waiting:
                self._waiting.pop(id(value))[1]()

    def finish(self, network: nn.Module) -> None:
        """Makes the postponed draws of tensors that are no parameters of the network, which nothing sets afterwards."""
        known = {id(parameter) for parameter in network.parameters()}
        for tensor, draw in self._waiting.values():
            if id(tensor) not in known:
                draw()
