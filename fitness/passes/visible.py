"""Calls that observers cannot see: compiled or scripted parts, custom operations and autograd functions.

Compiled and scripted modules are refused by their type. Everything else is found while a few images run through the network: below
torch's function mode, a dispatch mode sees every operation. If an activation is computed while no function is open that observers
know, something hides it. An operation of another package may compute anything, so it is refused, too, and so is an activation in an
autograd function, which would be seen in parts. A module that declares or is an activation is one call; its parts may be hidden.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from rbflex_evo.spaces import ConfigError

from .activations import FUNCTIONS
from .observer import CandidateFailed

# Operations of torch's dispatcher that compute an activation; in-place forms have a trailing underscore.
OPERATIONS = {
    "relu", "relu6", "leaky_relu", "prelu", "_prelu_kernel", "rrelu", "rrelu_with_noise", "threshold", "elu", "celu", "selu",
    "gelu", "silu", "mish", "glu", "hardswish", "hardtanh", "hardsigmoid", "hardshrink", "sigmoid", "log_sigmoid",
    "log_sigmoid_forward", "tanh", "softplus", "softshrink", "special_expit",
}  # fmt: skip
# Recurrent layers are single operations, whose gates do not count.
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
# Namespaces of operations that are no activations but for those above.
KNOWN = {"aten", "prim", "prims", "profiler", "torchvision"}

WAY_OUT = "call it as plain Python, or put it into a module with is_activation = True"


def check_visible(network: nn.Module) -> None:
    """Checks that the calls of a network can be observed.

    Raises:
        ConfigError: If the network or a part of it is compiled or scripted.
    """
    for name, module in network.named_modules():
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        if compiled or isinstance(module, torch.jit.ScriptModule):
            what = f"module {name!r}" if name else "the network"
            how = "compiled" if compiled else "scripted"
            raise ConfigError(f"{what} is {how}, so its calls cannot be observed; pass the plain module")


@contextmanager
def refusing_hidden(network: nn.Module, inside: Callable[[], bool]) -> Iterator[None]:
    """Context for a forward of `network` that fails afterwards if there is an activation that observers cannot see.

    Args:
        network: The network.
        inside: Returns True within an activation module, whose parts may be hidden.

    Raises:
        CandidateFailed: If an activation is hidden; the message names its module and its function.
    """
    places: list[str] = []
    # An error in a scripted function would arrive as one of torch, so it is raised after the forward.
    hidden: list[str] = []

    def enter(name: str) -> Callable[..., None]:
        return lambda module, inputs: places.append(name)

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        places.pop()

    def refuse(what: str) -> None:
        where = f"module {places[-1]!r}" if places and places[-1] else "the network"
        hidden.append(f"{where} calls {what}, which cannot be observed; {WAY_OUT}")

    functions = _Functions(inside, refuse)
    with ExitStack() as stack:
        for name, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(enter(name)).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        # A scripted function that was fused would be one kernel without a name.
        stack.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]
        stack.enter_context(functions)
        stack.enter_context(_Operations(functions, inside, refuse))
        yield
    if hidden:
        raise CandidateFailed(hidden[0])


class _Functions(TorchFunctionMode):
    """Function mode that knows which torch function is open."""

    def __init__(self, inside: Callable[[], bool], refuse: Callable[[str], None]) -> None:
        super().__init__()
        self.open: Any = None
        self.autograd_functions = _autograd_functions()
        self.inside = inside
        self.refuse = refuse

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in FUNCTIONS and not self.inside():
            wrapper = _wrapper(self.autograd_functions)
            if wrapper:
                self.refuse(f"{func.__name__} in {wrapper}")
        before, self.open = self.open, func
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.open = before


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode that refuses operations which no known function has called."""

    def __init__(self, functions: _Functions, inside: Callable[[], bool], refuse: Callable[[str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.functions = functions
        self.inside = inside
        self.refuse = refuse

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch first imports its compiler for several seconds, only to exclude this mode.
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        if not self.inside():
            opened = self.functions.open
            if func.namespace not in KNOWN:
                self.refuse(f"the operation {func.namespace}::{name}")
            known = opened in FUNCTIONS or getattr(opened, "__name__", "") in RECURRENT
            if name.rstrip("_") in OPERATIONS and not known:
                how = "a scripted function" if opened is None else "an operation that is called past torch.nn.functional"
                self.refuse(f"{name} by {how}")
        with torch._C.DisableTorchFunction():
            return func(*args, **(kwargs or {}))


def _autograd_functions() -> dict[CodeType, str]:
    """Returns the names of the autograd functions of other packages by the code of their forwards."""
    found = {}
    classes = list(torch.autograd.Function.__subclasses__())
    for each in classes:
        classes += each.__subclasses__()
        forward = each.__dict__.get("forward")
        # Torch's own functions, such as that of checkpoints, only call other functions.
        if isinstance(forward, staticmethod) and not each.__module__.startswith("torch."):
            found[forward.__func__.__code__] = each.__name__
    return found


def _wrapper(autograd_functions: Mapping[CodeType, str]) -> str | None:
    """Returns the autograd or compiled function that calls an activation within the innermost module, None if none does."""
    module_call = nn.Module._call_impl.__code__
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not module_call:
        if frame.f_code in autograd_functions:
            return f"the autograd function {autograd_functions[frame.f_code]}"
        compiler = frame.f_code.co_filename.endswith("_dynamo/eval_frame.py")
        # The compiler's context is also in the way of functions that it must leave alone.
        if compiler and type(frame.f_locals.get("self")).__name__ == "OptimizeContext":
            return "a compiled function"
        frame = frame.f_back
    return None
