"""Choice of the backend of planned forwards: plain torch (`eager`), or the fused kernels of `native` on a CPU (`compiled`)."""

from __future__ import annotations

import torch

from rbflex_evo.spaces import ConfigError, near_name
from rbflex_evo.spaces.errors import shown

from .compiled import CompiledBackend
from .eager import Backend
from .native import NativeError

BACKENDS = ("auto", "eager", "compiled")


def create_backend(name: str, device: torch.device, dtype: torch.dtype, convolutions: torch.dtype) -> Backend:
    """Returns a backend by name.

    Args:
        name: ``eager``, ``compiled``, or ``auto`` for the compiled one on a CPU with a compiler, else the eager one.
        device: Device of the maps.
        dtype: Precision of the maps.
        convolutions: Precision of convolutions.

    Raises:
        ConfigError: If the name is unknown, or ``compiled`` is not available on this machine or device.
    """
    if name not in BACKENDS:
        raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, but it is {shown(name)}{near_name(name, BACKENDS)}")
    if name == "compiled" and device.type != "cpu":
        raise ConfigError(f"the compiled backend runs on a CPU, but the device is {device}; set backend: auto or device: cpu")
    if name == "eager" or device.type != "cpu":
        return Backend(convolutions)
    try:
        return CompiledBackend(dtype, convolutions)
    except NativeError as error:
        if name == "compiled":
            raise ConfigError(f"the compiled backend is not available: {error}; set backend: auto or eager") from None
        return Backend(convolutions)
