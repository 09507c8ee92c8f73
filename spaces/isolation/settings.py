"""The settings of torch and numpy during a measurement: those of a new process with one thread, whatever the caller has set."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

# Most settings, and the hooks and modes of a network, belong to the process, so one thread measures at a time.
_lock = threading.RLock()
# The libraries whose settings are ours now.
_entered: set[str] = set()


def _renew_lock() -> None:
    """Frees the lock in a forked process, in which the thread that held it does not exist."""
    global _lock
    _lock = threading.RLock()
    _entered.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _Setting(NamedTuple):
    """A setting of torch.

    Attributes:
        read: Returns its value.
        write: Sets its value.
        accepted: Values under which networks compute as in a new process, the default first.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]
    accepted: tuple[Any, ...]


@contextmanager
def own_settings() -> Iterator[None]:
    """Context in which torch and numpy are set as in a new process with one thread; nothing that the caller has set has an effect.

    The caller's settings are restored afterwards. Other threads wait before they enter; the thread that is inside may enter again,
    which changes nothing.
    """
    with _lock, ExitStack() as stack:
        for library, enter in (("numpy", _enter_numpy), ("torch", _enter_torch)):
            # A run that measures nothing does not load torch.
            if library not in _entered and library in sys.modules:
                _entered.add(library)
                stack.callback(_entered.discard, library)
                enter(stack)
        yield


@contextmanager
def restored_settings() -> Iterator[None]:
    """Context that undoes what a function of the user sets, for a call of it within `own_settings`."""
    with ExitStack() as stack:
        stack.enter_context(np.errstate())
        if "torch" in sys.modules:
            import torch

            stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))
            for setting in _settings():
                stack.callback(_restore, setting, setting.read())
        yield


def _restore(setting: _Setting, before: Any) -> None:
    if setting.read() != before:
        setting.write(before)


def _enter_numpy(stack: ExitStack) -> None:
    stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
    if any(action == "error" for action, *_ in warnings.filters):
        stack.enter_context(warnings.catch_warnings())
        warnings.filters[:] = [("default" if how == "error" else how, *rest) for how, *rest in warnings.filters]  # type: ignore[index]


def _enter_torch(stack: ExitStack) -> None:
    import torch

    for setting in _settings():
        before = setting.read()
        if before not in setting.accepted:
            setting.write(setting.accepted[0])
            stack.callback(setting.write, before)
    if _flushes_denormals():
        torch.set_flush_denormal(False)
        stack.callback(torch.set_flush_denormal, True)
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    for device in ("cpu", "cuda", "mps"):
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
    if torch.empty(0).device.type != "cpu":
        stack.enter_context(torch.device("cpu"))


def _flushes_denormals() -> bool:
    """Returns True if this thread replaces the smallest numbers by zero; torch sets this, but cannot be asked."""
    return float(np.multiply(np.float64(5e-324), np.float64(1.0))) == 0.0


@cache
def _settings() -> tuple[_Setting, ...]:
    import torch
    from torch import autograd, backends

    def of(owner: Any, name: str, *accepted: Any) -> _Setting:
        return _Setting(partial(getattr, owner, name), partial(setattr, owner, name), accepted)

    def deterministic() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    def set_deterministic(mode: tuple[bool, bool]) -> None:
        # As `torch.use_deterministic_algorithms`, which imports the compiler first.
        torch._C._set_deterministic_algorithms(mode[0], warn_only=mode[1])

    def anomaly() -> tuple[bool, bool]:
        return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()

    def set_anomaly(mode: tuple[bool, bool]) -> None:
        autograd.set_detect_anomaly(*mode)

    attention = [
        _Setting(getattr(backends.cuda, f"{name}_sdp_enabled"), getattr(backends.cuda, f"enable_{name}_sdp"), (True,))
        for name in ("flash", "mem_efficient", "math", "cudnn")
        if hasattr(backends.cuda, f"enable_{name}_sdp")
    ]
    return (
        _Setting(torch.get_num_threads, torch.set_num_threads, (1,)),
        _Setting(torch.get_default_dtype, torch.set_default_dtype, (torch.float32,)),
        _Setting(deterministic, set_deterministic, ((False, False),)),
        _Setting(anomaly, set_anomaly, ((False, True), (False, False))),
        of(backends.cudnn, "enabled", True),
        of(backends.cudnn, "benchmark", False),
        of(backends.cudnn, "deterministic", False),
        of(backends.mkldnn, "enabled", True),
        *_precisions(of),
        *attention,
    )


def _precisions(of: Callable[..., _Setting]) -> Iterator[_Setting]:
    """Yields the precisions of float32 products, general ones first, because special ones may inherit them."""
    import torch
    from torch import backends

    if not hasattr(backends, "fp32_precision"):
        yield _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, ("highest",))
        yield of(backends.cudnn, "allow_tf32", True)
        return
    full = ("none", "ieee")
    cudnn: Any = backends.cudnn
    mkldnn: Any = backends.mkldnn
    yield of(backends, "fp32_precision", *full)
    yield of(backends.cudnn, "fp32_precision", *full)
    yield of(backends.mkldnn, "fp32_precision", *full)
    yield _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, ("highest",))
    yield of(backends.cuda.matmul, "fp32_precision", *full)
    for kind in (mkldnn.matmul, mkldnn.conv, mkldnn.rnn):
        yield of(kind, "fp32_precision", *full)
    for kind in (cudnn.conv, cudnn.rnn):
        yield of(kind, "fp32_precision", "tf32")
