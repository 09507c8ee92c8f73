"""One forward for all observers: N images at once, each normalised by its own statistics, layer by layer, nothing kept.

The published RBFleX score feeds each image alone through a network in training mode, so that batch normalisation uses that
image's own statistics. A batch normalisation of one image is an instance normalisation with the layer's affine terms; run
that way, rows are independent, so N images share one forward and give the published score.

What happens inside the forward is seen and replaced through torch's function mode, so modules and functional calls are one case:

    batch normalisation -> per-image (or batch) statistics with the layer's affine terms; no buffer is touched
    an activation       -> computed, then shown to the observers (what counts as one: `activations`)
    a pooling           -> computed; how large the map was is remembered, not the map, until the classifier asks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .activations import FUNCTIONS, check_visible, declared, is_activation
from .observer import CandidateFailed, Observer

POOLINGS = {
    functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d,
    functional.adaptive_max_pool1d, functional.adaptive_max_pool2d, functional.adaptive_max_pool3d,
    functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d,
    functional.max_pool1d, functional.max_pool2d, functional.max_pool3d, torch.mean, Tensor.mean,
}  # fmt: skip


CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)


class Rewired(TorchFunctionMode):
    """A function mode with replacements (function -> what is called instead) and watchers (function -> told the result)."""

    def __init__(
        self,
        replaced: dict[Any, Callable[..., Any]],
        watched: dict[Any, Callable[[Any, tuple[Any, ...], Any], None]],
    ) -> None:
        super().__init__()
        self.replaced = replaced
        self.watched = watched

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        output = self.replaced.get(func, func)(*args, **(kwargs or {}))
        if func in self.watched:
            self.watched[func](func, (given(args, kwargs or {}), *args[1:]), output)
        return output


def given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Returns what a call works on, however it is passed: its first argument, as torch's functions and layers have it."""
    return args[0] if args else kwargs.get("input", next(iter(kwargs.values()), None))


def image_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation of each image alone, input [N, C, ...]; a group of one value passes through its affine terms only."""
    if math.prod(input.shape[2:]) > 1:
        return functional.instance_norm(input, weight=weight, bias=bias, use_input_stats=True, eps=eps)
    shape = (1, -1) + (1,) * (input.dim() - 2)
    if weight is not None:
        input = input * weight.view(shape)
    return input if bias is None else input + bias.view(shape)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation of the whole batch, as training mode does, without running averages."""
    return functional.batch_norm(input, None, None, weight, bias, training=True, eps=eps)


def normalisations(norm: Callable[..., Tensor]) -> dict[Any, Callable[..., Tensor]]:
    """Returns what is called instead of all in torch that may normalise by running statistics.

    Args:
        norm: what is computed for a batch normalisation, `image_norm` or `batch_norm`; an instance normalisation is the former.
    """

    def raw(of: Callable[..., Tensor]) -> Callable[..., Tensor]:
        # torch's own functions take their arguments in another order than those of torch.nn.functional.
        def normalised(
            input: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: Any, momentum: Any, eps: float, *_: Any
        ) -> Tensor:
            return of(input, None, None, weight, bias, eps=eps)

        return normalised

    def instance(*args: Any, use_input_stats: bool = True, **named: Any) -> Tensor:
        return image_norm(*args, **named)

    return {
        functional.batch_norm: norm,
        functional.instance_norm: instance,
        torch.batch_norm: raw(norm),
        torch.instance_norm: raw(image_norm),
    }


def _in_precision(convolve: Callable[..., Tensor], dtype: torch.dtype | None) -> Callable[..., Tensor]:
    """Returns the convolution with its operands in `dtype` and its result in the input's own precision."""

    def convolved(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if input.dtype == dtype:
            return convolve(input, weight, bias, *args, **kwargs)
        result = convolve(input.to(dtype), weight.to(dtype), None, *args, **kwargs).to(input.dtype)
        return result if bias is None else result + bias.view(-1, *(1,) * (result.dim() - 2))

    return convolved


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Switches dropout, drop-path and auxiliary heads off, and every module's own mode back afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def own_precision() -> Iterator[None]:
    """Switches off the reduced precision that a caller may have switched on for the whole thread (`torch.autocast`)."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def run_observed(
    network: nn.Module,
    images: Tensor,
    observers: Sequence[Observer],
    classifier: nn.Module,
    statistics_of: Literal["image", "batch"] = "image",
    layers: Literal["activations", "published"] = "activations",
    convolutions: torch.dtype | None = None,
) -> None:
    """Runs `network` once on `images` [N, ...] and shows every activation layer and the features to `observers`.

    Weights, buffers and modes are the same afterwards.

    Args:
        classifier: the module whose input is the feature vector; ignored for ``published`` layers.
        layers: ``activations``, or ``published``: the outputs of all modules whose class name contains "ReLU", and the
            input of the module registered last, as the RBFleX code has it.
        convolutions: their precision where it is not that of the images.

    Raises:
        CandidateFailed: if the classifier was never called.
        ConfigError: if the network is compiled or scripted.
    """
    watch = Watch(observers, len(images))
    with watching(network, watch, classifier, statistics_of, layers, images.dtype, convolutions):
        network(images)
    watch.check()


@contextmanager
def watching(
    network: nn.Module,
    watch: Watch,
    classifier: nn.Module,
    statistics_of: Literal["image", "batch"],
    layers: Literal["activations", "published"],
    maps: torch.dtype,
    convolutions: torch.dtype | None,
) -> Iterator[None]:
    """What `run_observed` does around a forward; inside, every part of `network` that is called tells `watch`."""
    check_visible(network)
    norm = image_norm if statistics_of == "image" else batch_norm
    watched: dict[Any, Callable[[Any, tuple[Any, ...], Any], None]] = dict.fromkeys(POOLINGS, watch.pooling)
    with ExitStack() as stack:
        nested = layers == "published"
        if nested:
            chosen = [(name, m) for name, m in network.named_modules() if "ReLU" in type(m).__name__]
            classifier = list(network.modules())[-1]
        else:
            chosen = [(name, m) for name, m in network.named_modules() if is_activation(m) or declared(m) is False]
            watched |= dict.fromkeys(FUNCTIONS, watch.function)
        handles = [handle for name, module in chosen for handle in watch.hook(name, module, nested)]
        handles += [handle for module in network.modules() if sequence_first(module) for handle in watch.turn(module)]
        for handle in handles:
            stack.callback(handle.remove)
        stack.callback(classifier.register_forward_pre_hook(watch.features, with_kwargs=True).remove)
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(torch.no_grad())
        replaced = normalisations(norm)
        if convolutions not in (None, maps):
            replaced |= {convolve: _in_precision(convolve, convolutions) for convolve in CONVOLUTIONS}
        stack.enter_context(Rewired(replaced, watched))
        yield


def sequence_first(module: nn.Module) -> bool:
    """True for torch's Transformer layers whose maps are [T, N, C] instead of [N, T, C]."""
    return isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and not module.self_attn.batch_first


class Watch:
    """Passes what a forward does on to the observers."""

    def __init__(self, observers: Sequence[Observer], n: int) -> None:
        self.observers = observers
        self.n = n
        self.inside = 0
        self.turned = 0
        self.functions = 0
        self.pooled: tuple[Tensor, int] | None = None  # magnitude of the map, numbers that were left of it
        self.classified = False

    def check(self) -> None:
        """Looks back at a whole forward.

        Raises:
            CandidateFailed: if the classifier was never called.
        """
        if not self.classified:
            raise CandidateFailed("the classifier was never called in the forward")

    def fork(self) -> Watch:
        """Returns another one that has seen the same so far, and whose observers have."""
        other = Watch([observer.fork() for observer in self.observers], self.n)
        other.functions, other.pooled, other.classified = self.functions, self.pooled, self.classified
        return other

    def hook(self, name: str, module: nn.Module, nested: bool) -> list[Any]:
        """Shows what `module` returns, and nothing that runs inside of it unless it is `nested`."""

        def enter(module: nn.Module, inputs: Any) -> None:
            self.inside += 1

        def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.inside -= 1
            if nested or (not self.inside and declared(module) is not False):
                self.show(name, output)

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def turn(self, module: nn.Module) -> list[Any]:
        """Reads the maps inside of `module` as [T, N, C]."""

        def enter(module: nn.Module, inputs: Any) -> None:
            self.turned += 1

        def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.turned -= 1

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def function(self, func: Any, args: tuple[Any, ...], output: Tensor) -> None:
        if not self.inside:
            self.functions += 1
            self.show(f"{func.__name__} {self.functions}", output)

    def show(self, name: str, output: Tensor) -> None:
        if not isinstance(output, Tensor):
            raise CandidateFailed(f"the activation {name!r} returns {type(output).__name__}; expected one tensor")
        if self.turned and output.dim() == 3:
            output = output.transpose(0, 1)
        # An activation of something that is not per image (a gate's scalar, an embedding table) carries no distance.
        if output.dim() > 1 and len(output) == self.n:
            with torch._C.DisableTorchFunction():
                for observer in self.observers:
                    observer.activation(name, output)

    def pooling(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() > 1 and len(output) == self.n:
            with torch._C.DisableTorchFunction():
                self.pooled = (_magnitude(args[0]), output.numel())

    def features(self, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        self.classified = True
        rows = given(inputs, named)
        # Rows of one vector each may be [N x places, C]; anything else must say which image is which.
        if not (rows.shape[0] == self.n or (rows.dim() == 2 and rows.shape[0] % self.n == 0)):
            raise CandidateFailed(
                f"the classifier reads {list(rows.shape)}; expected [{self.n}, ...], one entry an input (sequences: batch_first)"
            )
        features = rows.reshape(self.n, -1)
        with torch._C.DisableTorchFunction():
            # Pooling may cancel what it averages: what is left is judged by the size of the map before it.
            magnitude, left = self.pooled or (None, 0)
            if magnitude is None or left != features.numel():
                magnitude = _magnitude(features)
            for observer in self.observers:
                observer.features(features, magnitude)


def _magnitude(x: Tensor) -> Tensor:
    """Returns the largest absolute value, without a copy of `x`."""
    low, high = x.aminmax()
    return torch.maximum(high, -low)
