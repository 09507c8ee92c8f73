"""One observed forward: N images at once, each normalised by its own statistics, without storing maps.

The published RBFleX score feeds each image alone through a network in training mode, so that batch normalisation uses that
image's own statistics. A batch normalisation of one image is an instance normalisation with the layer's affine terms. In this
form images are independent, so N images share one forward and give the published score.

The forward is observed and changed through torch's function mode, so modules and functional calls are one case:

    batch normalisation -> per-image (or batch) statistics with the layer's affine terms; no buffer is changed
    an activation       -> computed, then passed to the observers (see `activations` for the definition)
    a pooling           -> computed; the magnitude of its input is kept for the features
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rbflex_evo.spaces.isolation.draws import refused_draws, switched_off

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
    """Function mode that replaces and watches torch functions; functional dropout is switched off.

    Args:
        replaced: Replacements by torch function.
        watched: Callbacks by torch function, called with the function, its arguments and its result.
    """

    def __init__(
        self,
        replaced: dict[Any, Callable[..., Any]],
        watched: dict[Any, Callable[[Any, tuple[Any, ...], Any], None]],
    ) -> None:
        super().__init__()
        self.replaced = {**switched_off(), **replaced}
        self.watched = watched

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        output = self.replaced.get(func, func)(*args, **(kwargs or {}))
        if func in self.watched:
            self.watched[func](func, (given(args, kwargs or {}), *args[1:]), output)
        return output


def given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Returns the first argument of a call of a torch function or layer, positional or by name."""
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
    """Normalises each image of `input` [N, C, ...] by its own statistics; a group of one value is only scaled and shifted."""
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
    """Normalises by the statistics of the whole batch, as training mode does, without running averages."""
    return functional.batch_norm(input, None, None, weight, bias, training=True, eps=eps)


def normalisations(norm: Callable[..., Tensor]) -> dict[Any, Callable[..., Tensor]]:
    """Returns replacements of all torch functions that may normalise by running statistics.

    Args:
        norm: Replacement of batch normalisations, `image_norm` or `batch_norm`. Instance normalisations become `image_norm`.
    """

    def raw(of: Callable[..., Tensor]) -> Callable[..., Tensor]:
        # The functions of torch have another order of arguments than those of torch.nn.functional.
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
    """Returns the convolution with its operands in `dtype` and its result in the precision of the input."""

    def convolved(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if input.dtype == dtype:
            return convolve(input, weight, bias, *args, **kwargs)
        result = convolve(input.to(dtype), weight.to(dtype), None, *args, **kwargs).to(input.dtype)
        return result if bias is None else result + bias.view(-1, *(1,) * (result.dim() - 2))

    return convolved


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Context in which `network` is in evaluation mode; the mode of every module is restored afterwards.

    Raises:
        CandidateFailed: If something was drawn from a random generator.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        # Networks of this package draw nothing, and comparing states takes a few percent of a small network's forward.
        with nullcontext() if type(network).__module__.startswith("rbflex_evo.") else refused_draws(network, CandidateFailed):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def run_observed(
    network: nn.Module,
    images: Tensor,
    observers: Sequence[Observer],
    classifier: nn.Module,
    statistics_of: Literal["image", "batch"] = "image",
    layers: Literal["activations", "published"] = "activations",
    convolutions: torch.dtype | None = None,
) -> None:
    """Runs a network once and passes every activation layer and the features to the observers.

    Weights, buffers and modes are unchanged afterwards.

    Args:
        network: The network.
        images: Inputs [N, ...].
        observers: Observers of the forward.
        classifier: Module whose input is the feature vector; ignored for ``published`` layers.
        statistics_of: Inputs that batch normalisation takes its statistics from: each "image" alone, or the whole "batch".
        layers: ``activations``, or ``published`` as in the RBFleX code: the outputs of all modules whose class name contains
            "ReLU", and the input of the last registered module.
        convolutions: Precision of convolutions if it differs from that of the images.

    Raises:
        CandidateFailed: If the classifier is never called.
        ConfigError: If the network is compiled or scripted.
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
    """Context in which the calls of `network` are reported to `watch`; see `run_observed`.

    Args:
        network: The network.
        watch: Receiver of the calls.
        classifier: As for `run_observed`.
        statistics_of: As for `run_observed`.
        layers: As for `run_observed`.
        maps: Precision of the images.
        convolutions: Precision of convolutions, None for that of the images.

    Raises:
        ConfigError: If the network is compiled or scripted.
    """
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
    """Returns True for torch's Transformer layers whose maps are [T, N, C] instead of [N, T, C]."""
    return isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and not module.self_attn.batch_first


class Watch:
    """Passes the activation layers and features of a forward to observers.

    Args:
        observers: Observers of the forward.
        n: Number of images.
    """

    def __init__(self, observers: Sequence[Observer], n: int) -> None:
        self.observers = observers
        self.n = n
        self.inside = 0
        self.turned = 0
        self.functions = 0
        self.pooled: tuple[Tensor, int] | None = None  # Magnitude of the map, number of values after pooling.
        self.classified = False

    def check(self) -> None:
        """Checks a finished forward.

        Raises:
            CandidateFailed: If the classifier was never called.
        """
        if not self.classified:
            raise CandidateFailed("the classifier was never called in the forward")

    def fork(self) -> Watch:
        """Returns a copy that continues from the same point of the forward, with forks of the observers."""
        other = Watch([observer.fork() for observer in self.observers], self.n)
        other.functions, other.pooled, other.classified = self.functions, self.pooled, self.classified
        return other

    def hook(self, name: str, module: nn.Module, nested: bool) -> list[Any]:
        """Reports the output of `module`, and calls inside of it only if `nested`; returns the handles of the hooks."""

        def enter(module: nn.Module, inputs: Any) -> None:
            self.inside += 1

        def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.inside -= 1
            if nested or (not self.inside and declared(module) is not False):
                self.show(name, output)

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def turn(self, module: nn.Module) -> list[Any]:
        """Treats the maps inside of `module` as [T, N, C]; returns the handles of the hooks."""

        def enter(module: nn.Module, inputs: Any) -> None:
            self.turned += 1

        def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.turned -= 1

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def function(self, func: Any, args: tuple[Any, ...], output: Tensor) -> None:
        """Reports the result of an activation function outside of activation modules."""
        if not self.inside:
            self.functions += 1
            self.show(f"{func.__name__} {self.functions}", output)

    def show(self, name: str, output: Tensor) -> None:
        """Passes the output of an activation layer to the observers.

        Raises:
            CandidateFailed: If the output is not a tensor.
        """
        if not isinstance(output, Tensor):
            raise CandidateFailed(f"the activation {name!r} returns {type(output).__name__}; expected one tensor")
        if self.turned and output.dim() == 3:
            output = output.transpose(0, 1)
        # An activation that is not per image (of a gate's scalar, of an embedding table) carries no distance.
        if output.dim() > 1 and len(output) == self.n:
            with torch._C.DisableTorchFunction():
                for observer in self.observers:
                    observer.activation(name, output)

    def pooling(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Remembers the magnitude of the input of a pooling."""
        if isinstance(output, Tensor) and output.dim() > 1 and len(output) == self.n:
            with torch._C.DisableTorchFunction():
                self.pooled = (_magnitude(args[0]), output.numel())

    def features(self, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Passes the input of the classifier to the observers.

        Raises:
            CandidateFailed: If the rows of the input are not those of the images.
        """
        self.classified = True
        rows = given(inputs, named)
        # Rows of one vector each may be [N x places, C]; any other map must have the images as its first dimension.
        if not (rows.shape[0] == self.n or (rows.dim() == 2 and rows.shape[0] % self.n == 0)):
            raise CandidateFailed(
                f"the classifier reads {list(rows.shape)}; expected [{self.n}, ...], one entry an input (sequences: batch_first)"
            )
        features = rows.reshape(self.n, -1)
        with torch._C.DisableTorchFunction():
            # Averages may cancel, so round-off is measured by the magnitude of the map before pooling.
            magnitude, left = self.pooled or (None, 0)
            if magnitude is None or left != features.numel():
                magnitude = _magnitude(features)
            for observer in self.observers:
                observer.features(features, magnitude)


def _magnitude(x: Tensor) -> Tensor:
    """Returns the largest absolute value, without a copy of `x`."""
    low, high = x.aminmax()
    return torch.maximum(high, -low)
