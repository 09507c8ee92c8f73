"""One observed forward: N images at once, each normalised by its own statistics, without storing maps.

The published RBFleX score feeds each image alone through a network in training mode, so that batch normalisation uses that
image's own statistics. A batch normalisation of one image is an instance normalisation with the layer's affine terms. In this
form images are independent, so N images share one forward and give the published score.

The forward is observed and changed through torch's function mode, so modules and functional calls are one case:

    batch normalisation -> per-image (or batch) statistics with the layer's affine terms; no buffer is changed
    an activation       -> computed, then passed to the observers (see `activations` for the definition)
    a primary block     -> its output is passed to the observers that read blocks
    a pooling           -> computed; the magnitude of its input is kept for the features
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rbflex_evo.spaces.isolation.draws import refused_draws, switched_off

from .activations import FUNCTIONS, declared, is_activation
from .layout import Account, Evidence, FirstDimension, Layouts, Place, Recording, needs_evidence
from .observer import CandidateFailed, Observer
from .reductions.channels import Channels, arranged, unknown_channels
from .reductions.reducer import Reducer
from .reductions.row_sums import ROUNDINGS
from .visible import check_visible, refusing_hidden

POOLINGS = {
    functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d,
    functional.adaptive_max_pool1d, functional.adaptive_max_pool2d, functional.adaptive_max_pool3d,
    functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d,
    functional.max_pool1d, functional.max_pool2d, functional.max_pool3d, torch.mean, Tensor.mean,
}  # fmt: skip


NORM_INPUT = "input of batch normalisation"
CLASSIFIER_INPUT = "input of the classifier"
OTHER_CLASSIFIER = "name another one by classifier= of rbflex_score or by SearchSpace.classifier"
# Most values after a pooling that are compared with the features; larger maps are no features.
POOLED = 2**20

CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)


_served: ContextVar[Mapping[Any, Callable[..., Any]]] = ContextVar("_served", default=types.MappingProxyType({}))


@contextmanager
def serving(functions: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Context in which passes compute functions, by function, in another way with the same results, such as by compiled kernels."""
    token = _served.set(functions)
    try:
        yield
    finally:
        _served.reset(token)


def served(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns what computes a function within `serving`, which is the function itself elsewhere."""
    return _served.get().get(function, function)


class Rewired(TorchFunctionMode):
    """Function mode that replaces and watches torch functions; functional dropout is switched off.

    A replacement that calls the torch function itself calls `served` of it.

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
        self.replaced = {**switched_off(), **_served.get(), **replaced}
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
    own = served(image_norm)
    if own is not image_norm:
        found: Tensor = own(input, weight=weight, bias=bias, eps=eps)
        return found
    if math.prod(input.shape[2:]) > 1:
        # As `instance_norm` would do itself; the extremes of strided channels are slow to find.
        input = input.contiguous()
        normalised = functional.instance_norm(input, weight=weight, bias=bias, use_input_stats=True, eps=eps)
        constant = constant_groups(input, tuple(range(2, input.dim())))
        return normalised if constant is None else without_round_off(normalised, constant, bias)
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
    found: Tensor = served(functional.batch_norm)(input, None, None, weight, bias, training=True, eps=eps)
    return found


def batch_norm_and_variance(
    input: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Normalises as `batch_norm` and returns the variance [C] of each channel, of the population, too."""
    own = served(batch_norm_and_variance)
    if own is not batch_norm_and_variance:
        found: tuple[Tensor, Tensor] = own(input, weight, bias, eps)
        return found
    # Running averages that forget everything are the statistics of this batch, which the normalisation computes anyway.
    mean, variance = torch.zeros(2, input.shape[1], dtype=input.dtype, device=input.device)
    normalised = functional.batch_norm(input, mean, variance, weight, bias, training=True, momentum=1.0, eps=eps)
    entries = input.numel() // input.shape[1]
    return normalised, variance * ((entries - 1) / entries)


def constant_groups(input: Tensor, group: tuple[int, ...]) -> Tensor | None:
    """Returns which groups of values are constant up to round-off, None if none is.

    Their differences are round-off of the operation before, which a normalisation would amplify, so the bound refers to the largest
    value of the whole entry (image): that operation added up terms of this size.

    Args:
        input: Input of a normalisation [N, ...].
        group: The dimensions over which it normalises.
    """
    values = input.detach().contiguous()
    low, high = values.amin(group, keepdim=True), values.amax(group, keepdim=True)
    largest = torch.maximum(high, -low).amax(tuple(range(1, input.dim())), keepdim=True)
    constant = high - low <= largest * (ROUNDINGS * torch.finfo(input.dtype).eps)
    return constant if bool(constant.any()) else None


def without_round_off(normalised: Tensor, constant: Tensor, bias: Tensor | None) -> Tensor:
    """Returns `normalised` [N, C, ...] with 0, shifted by `bias` [C], in the groups that are constant."""
    zero = normalised.new_zeros(()) if bias is None else bias.to(normalised.dtype).view(1, -1, *(1,) * (normalised.dim() - 2))
    return torch.where(constant, zero, normalised)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5, *_: Any, **__: Any
) -> Tensor:
    """Normalises each group of channels of each image; a group that is constant up to round-off is only shifted."""
    normalised = functional.group_norm(input, num_groups, weight, bias, eps)
    if input.numel() == len(input) * num_groups:
        return normalised
    groups = input.reshape(len(input), num_groups, -1)
    constant = constant_groups(groups, (2,))
    if constant is None:
        return normalised
    of_channel = constant.repeat_interleave(input.shape[1] // num_groups, 1).view(*input.shape[:2], *(1,) * (input.dim() - 2))
    return without_round_off(normalised, of_channel, bias)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
    **__: Any,
) -> Tensor:
    """Normalises over the last dimensions; a group that is constant up to round-off is only shifted."""
    normalised = functional.layer_norm(input, normalized_shape, weight, bias, eps)
    constant = constant_groups(input, tuple(range(input.dim() - len(normalized_shape), input.dim())))
    if constant is None:
        return normalised
    return torch.where(constant, normalised.new_zeros(()) if bias is None else bias.to(normalised.dtype), normalised)


def normalisations(norm: Callable[..., Tensor]) -> dict[Any, Callable[..., Tensor]]:
    """Returns replacements of all torch functions that may normalise by running statistics.

    Args:
        norm: Replacement of batch normalisations, `image_norm` or `batch_norm`. Instance normalisations become `image_norm`. If it
            is `image_norm`, constant groups are 0 after group and layer normalisations, too.
    """

    def instance(*args: Any, use_input_stats: bool = True, **named: Any) -> Tensor:
        return image_norm(*args, **named)

    groups: dict[Any, Callable[..., Tensor]] = {
        functional.group_norm: group_norm,
        torch.group_norm: group_norm,
        functional.layer_norm: layer_norm,
        torch.layer_norm: layer_norm,
    }
    return {
        functional.batch_norm: norm,
        functional.instance_norm: instance,
        torch.batch_norm: _of_torch(norm),
        torch.instance_norm: _of_torch(image_norm),
        **(groups if norm is image_norm else {}),
    }


def _of_torch(norm: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns a normalisation with the arguments of torch's function, which are in another order than the functional one's."""

    def normalised(
        input: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: Any, momentum: Any, eps: float, *_: Any
    ) -> Tensor:
        return norm(input, None, None, weight, bias, eps=eps)

    return normalised


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
    """Context in which `network` is in evaluation mode; modes and buffers of all modules are restored afterwards.

    Raises:
        CandidateFailed: If something was drawn from a random generator.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    # Networks of this package draw nothing and change no buffer; the comparison takes a few percent of a small network's forward.
    ours = type(network).__module__.startswith("rbflex_evo.")
    buffers = [] if ours else [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    try:
        with nullcontext() if ours else refused_draws(network, CandidateFailed):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def run_observed(
    network: nn.Module,
    images: Tensor,
    observers: Sequence[Observer],
    classifier: nn.Module,
    statistics_of: Literal["image", "batch"] = "image",
    layers: Literal["activations", "published"] = "activations",
    convolutions: torch.dtype | None = None,
    blocks: Sequence[nn.Module] = (),
) -> Account:
    """Runs a network once, passes every activation layer and the features to the observers, and returns the account of the calls.

    Weights, buffers and modes are unchanged afterwards. Networks of others run once more on a few images, see `examine`.

    Args:
        network: The network.
        images: Inputs [N, ...].
        observers: Observers of the forward.
        classifier: Module whose input is the feature vector; ignored for ``published`` layers.
        statistics_of: Inputs that batch normalisation takes its statistics from: each "image" alone, or the whole "batch".
        layers: ``activations``, or ``published`` as in the RBFleX code: the outputs of all modules whose class name contains
            "ReLU", and the input of the last registered module.
        convolutions: Precision of convolutions if it differs from that of the images.
        blocks: Modules whose outputs are shown to observers that read blocks, `SearchSpace.blocks`.

    Raises:
        CandidateFailed: If the classifier is never called, or calls are hidden or cannot be attributed to the images.
        ConfigError: If the network is compiled or scripted.
    """
    channels = any(reads_channels(observer) for observer in observers)
    layouts = examine(network, images, network, classifier, statistics_of, layers, convolutions, blocks, channels)
    watch = Watch(observers, len(images), layouts)
    with watching(network, watch, classifier, statistics_of, layers, images.dtype, convolutions, blocks):
        network(images)
    watch.check()
    return watch.account


def examine(
    network: nn.Module,
    images: Tensor,
    forward: Callable[[Tensor], Any],
    classifier: nn.Module,
    statistics_of: Literal["image", "batch"] = "image",
    layers: Literal["activations", "published"] = "activations",
    convolutions: torch.dtype | None = None,
    blocks: Sequence[nn.Module] = (),
    channels: bool = False,
) -> Layouts:
    """Returns how the outputs of a network's layers hold the images, for a network of others by a forward of a few images.

    Args:
        network: The network.
        images: Inputs [N, ...].
        forward: Runs the network on images.
        classifier: As for `run_observed`.
        statistics_of: As for `run_observed`.
        layers: As for `run_observed`.
        convolutions: As for `run_observed`.
        blocks: As for `run_observed`.
        channels: Whether an observer reads channels.

    Raises:
        CandidateFailed: If a call is hidden from observers.
        ConfigError: If the network is compiled or scripted.
    """
    if not needs_evidence(network):
        return Layouts(FirstDimension(len(images)))
    recording, norms = Recording(images), Recording(images)
    few = len(recording.images)
    watch = Watch([], few, Layouts(recording, norms))
    with ExitStack() as stack:
        if channels:
            watch.of_blocks, watch.of_layers = stack.enter_context(Channels()), stack.enter_context(Channels(of_layers=True))
        # Statistics of each image alone, so that equal images have equal maps.
        stack.enter_context(watching(network, watch, classifier, "image", layers, images.dtype, convolutions, blocks))
        if layers == "published":
            forward(recording.images)
        else:
            with refusing_hidden(network, lambda: watch.inside > 0):
                forward(recording.images)
    n, independent = len(images), statistics_of == "image"
    evidence, of_norms = (Evidence(n, few, found.calls, independent) for found in (recording, norms))
    return Layouts(evidence, of_norms, watch.channels)


def reads_channels(observer: Observer) -> bool:
    """Returns whether an observer reads the channels of activations or of blocks."""
    return observer.reads_blocks or observer.reads_channels


@contextmanager
def watching(
    network: nn.Module,
    watch: Watch,
    classifier: nn.Module,
    statistics_of: Literal["image", "batch"],
    layers: Literal["activations", "published"],
    maps: torch.dtype,
    convolutions: torch.dtype | None,
    blocks: Sequence[nn.Module] = (),
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
        blocks: As for `run_observed`.

    Raises:
        ConfigError: If the network is compiled or scripted.
    """
    with ExitStack() as stack:
        stack.enter_context(hooked(network, watch, classifier, layers, blocks))
        stack.enter_context(torch.no_grad())
        stack.enter_context(rewired(watch, statistics_of, layers, maps, convolutions))
        yield


@contextmanager
def hooked(
    network: nn.Module,
    watch: Watch,
    classifier: nn.Module,
    layers: Literal["activations", "published"],
    blocks: Sequence[nn.Module] = (),
) -> Iterator[None]:
    """Context in which `network` is in evaluation mode and its modules report to `watch`; arguments are those of `watching`."""
    check_visible(network)
    nested = layers == "published"
    if nested:
        chosen = [(name, m) for name, m in network.named_modules() if "ReLU" in type(m).__name__]
        classifier = list(network.modules())[-1]
    else:
        chosen = [(name, m) for name, m in network.named_modules() if is_activation(m) or declared(m) is False]
    with ExitStack() as stack:
        handles = [handle for name, module in chosen for handle in watch.hook(name, module, nested)]
        handles += [block.register_forward_hook(partial(watch.block, i)) for i, block in enumerate(blocks)]
        for handle in handles:
            stack.callback(handle.remove)
        named = next((name for name, module in network.named_modules() if module is classifier), "")
        stack.callback(classifier.register_forward_pre_hook(partial(watch.features, named), with_kwargs=True).remove)
        stack.enter_context(evaluation_mode(network))
        yield


def rewired(
    watch: Watch,
    statistics_of: Literal["image", "batch"],
    layers: Literal["activations", "published"],
    maps: torch.dtype,
    convolutions: torch.dtype | None,
) -> Rewired:
    """Returns the function mode of an observed forward; arguments are those of `watching`."""
    watched: dict[Any, Callable[[Any, tuple[Any, ...], Any], None]] = dict.fromkeys(POOLINGS, watch.pooling)
    if layers == "activations":
        watched |= dict.fromkeys(FUNCTIONS, watch.function)
    replaced = normalisations(watch.batch_norm if statistics_of == "batch" else image_norm)
    if statistics_of == "image" and watch.layouts.norms:
        replaced |= {functional.batch_norm: watch.norm, torch.batch_norm: _of_torch(watch.norm)}
    if convolutions not in (None, maps):
        replaced |= {convolve: _in_precision(convolve, convolutions) for convolve in CONVOLUTIONS}
    return Rewired(replaced, watched)


class Watch:
    """Passes the activation layers and features of a forward to observers.

    Args:
        observers: Observers of the forward.
        n: Number of images.
        layouts: Where the images are in the tensors; None for [N, ...].
        reducer: Reduces layers for the observers.

    Attributes:
        inside: Number of open calls of activation modules.
        account: The activation calls so far.
    """

    def __init__(
        self, observers: Sequence[Observer], n: int, layouts: Layouts | None = None, reducer: Reducer | None = None
    ) -> None:
        self.observers = observers
        self.reducer = reducer or Reducer()
        self.n = n
        self.layouts = layouts or Layouts(FirstDimension(n))
        self.account = Account()
        self.inside = 0
        self.calls = 0  # Calls of activations, primary blocks and the classifier.
        self.normalised = 0
        self.functions = 0
        self.pooled: tuple[Tensor, Tensor] | None = None  # Magnitude of the map, and the values after pooling.
        self.classified = False
        # Followers of the channels, in the forward of a few images, and what they say of each call.
        self.of_blocks: Channels | None = None
        self.of_layers: Channels | None = None
        self.channels: dict[int, int | None] = {}

    def check(self) -> None:
        """Checks a finished forward.

        Raises:
            CandidateFailed: If the classifier was never called, or fewer layers than expected were.
        """
        if not self.classified:
            raise CandidateFailed(without_classifier())
        self.layouts.layers.check(self.calls)

    def fork(self, layouts: Layouts | None = None) -> Watch:
        """Returns a copy that continues from the same point of the forward, with forks of the observers.

        Args:
            layouts: Layouts of the next network; by default the same ones.
        """
        other = Watch([observer.fork() for observer in self.observers], self.n, layouts or self.layouts, self.reducer)
        other.functions, other.pooled, other.classified = self.functions, self.pooled, self.classified
        other.calls, other.normalised, other.account = self.calls, self.normalised, self.account
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

    def function(self, func: Any, args: tuple[Any, ...], output: Tensor) -> None:
        """Reports the result of an activation function outside of activation modules."""
        if not self.inside:
            self.functions += 1
            self.show(f"{func.__name__} {self.functions}", output)

    def show(self, name: str, output: Tensor) -> None:
        """Passes the output of an activation layer to the observers.

        Raises:
            CandidateFailed: If the output is not a tensor, or cannot be attributed to the images.
        """
        if not isinstance(output, Tensor):
            raise CandidateFailed(f"the activation {name!r} returns {type(output).__name__}; expected one tensor")
        with torch._C.DisableTorchFunction():
            place = self.layouts.layers.place(self.calls, name, output)
            if self.of_layers is not None:
                self.channels[self.calls] = self.of_layers.known(output, name)
            self.calls += 1
            self.account = self.account.counting(place.kind, name)
            # What is the same for every image (of a gate of weights, of an embedding table) carries no distance.
            if place.kind != "fixed" and self.observers:
                # The network may compute a gradient within its forward.
                rows = place.rows(output.detach(), self.n)
                reduced: dict[str, Tensor | None] = {}
                for observer in self.observers:
                    sums = _shared(reduced, observer.reduction, partial(self.reducer.reduce, observer, magnitude=None), rows)
                    if sums is None:
                        observer.activation(name, self._arranged(rows, place, name, output) if observer.reads_channels else rows)
                    else:
                        observer.take(sums, rows[0].numel())

    def block(self, position: int, module: nn.Module, inputs: Any, output: Any) -> None:
        """Passes the output of primary block `position` to the observers that read blocks.

        Raises:
            CandidateFailed: If the output holds no tensor, or cannot be attributed to the images.
        """
        name = f"block {position}"
        with torch._C.DisableTorchFunction():
            made = tensor_of(output, name)
            place = self.layouts.layers.place(self.calls, name, made)
            if self.of_blocks is not None:
                self.channels[self.calls] = self.of_blocks.known(made, name)
            self.calls += 1
            readers = [observer for observer in self.observers if observer.reads_blocks]
            if place.kind == "fixed" or not readers:
                return
            rows = self._arranged(place.rows(made.detach(), self.n), place, name, made)
            reduced: dict[str, Tensor | None] = {}
            for observer in readers:
                sums = _shared(reduced, observer.block_reduction, partial(self.reducer.reduce_block, observer), rows)
                if sums is None:
                    observer.block(rows)
                else:
                    observer.take_block(sums)

    def _arranged(self, rows: Tensor, place: Place, name: str, output: Tensor) -> Tensor:
        """Returns the rows of the last call with its channels where the convention has them.

        Raises:
            CandidateFailed: If it cannot be told which dimension holds the channels.
        """
        call = self.calls - 1
        if call not in self.layouts.channels:
            return rows
        found = self.layouts.channels[call]
        if found is None or (place.kind != "read" and found == place.dimension):
            raise CandidateFailed(unknown_channels(name, output))
        return arranged(rows, place.dimension_in_rows(found) if output.dim() > 1 else None)

    def norm(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Normalises each image by its own statistics, which are those of all its rows if they are rows of `input`.

        Raises:
            CandidateFailed: If the rows cannot be attributed to the images.
        """
        layout = self.layouts.norms
        place = layout.place(self.normalised, NORM_INPUT, input) if layout else None
        self.normalised += 1
        if place is None or place.kind == "read":
            return image_norm(input, None, None, weight, bias, eps=eps)
        if place.kind == "fixed":
            return batch_norm(input, None, None, weight, bias, eps=eps)
        if place.dimension:
            raise CandidateFailed(f"batch normalisation reads {list(input.shape)}, whose images are not the first dimension")
        rows = place.rows(input, self.n)  # [N, before, after, C, ...]
        normalised = image_norm(rows.movedim(3, 1), None, None, weight, bias, eps=eps).movedim(1, 3)
        return place.restored(normalised)

    def batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Normalises by the statistics of all images of one network, see the function `batch_norm`."""
        return batch_norm(input, None, None, weight, bias, eps=eps)

    def pooling(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Remembers the magnitude of the input of a pooling."""
        if isinstance(output, Tensor) and output.dim() > 1 and len(output) == self.n:
            with torch._C.DisableTorchFunction():
                # A copy, because the output may be changed in place.
                values = output.detach().flatten(1).clone() if output.numel() <= POOLED else output.new_empty(0)
                self.pooled = (_magnitude(args[0].detach()), values)

    def features(self, name: str, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Passes the input of the classifier, the layer `name`, to the observers.

        Raises:
            CandidateFailed: If the input cannot be attributed to the images.
        """
        self.classified = True
        given_rows = given(inputs, named)
        with torch._C.DisableTorchFunction():
            try:
                place = self.layouts.layers.place(self.calls, CLASSIFIER_INPUT, given_rows)
            except CandidateFailed as failed:
                raise CandidateFailed(f"{failed}; the classifier is layer {name!r}, {OTHER_CLASSIFIER}") from None
            self.calls += 1
            if not self.observers:
                return
            if place.kind == "fixed":
                raise CandidateFailed(
                    f"the classifier, layer {name!r}, reads {list(given_rows.shape)}, the same for every image; {OTHER_CLASSIFIER}"
                )
            features = place.rows(given_rows.detach(), self.n).reshape(self.n, -1)
            magnitude = self._magnitude_of(features)
            for observer in self.observers:
                self.reducer.show_features(observer, features, magnitude)

    def _magnitude_of(self, features: Tensor) -> Tensor:
        """Returns the magnitude that round-off of the features refers to.

        Averages may cancel. If the classifier reads what was pooled, possibly after a ReLU, it is that of the map before pooling.
        """
        if self.pooled is not None:
            magnitude, pooled = self.pooled
            if torch.equal(pooled, features) or torch.equal(pooled.relu(), features):
                return magnitude
        return _magnitude(features)


def _shared(
    reduced: dict[str, Tensor | None], kind: str | None, reduce: Callable[[Tensor], Tensor | None], rows: Tensor
) -> Tensor | None:
    """Returns what `reduce` gives for the rows of one network, computed once for all observers of one named kind; else None."""
    if kind is None:
        return None
    if kind not in reduced:
        reduced[kind] = reduce(rows[None])
    sums = reduced[kind]
    return None if sums is None else sums[0]


def without_classifier() -> str:
    """Returns the message for a forward that never called the classifier."""
    return f"the classifier was never called in the forward; {OTHER_CLASSIFIER}"


def tensor_of(output: Any, name: str) -> Tensor:
    """Returns the output of a module, or the first of several, as libraries of Transformers return them.

    Args:
        output: Output of the module.
        name: Name of the module, for the message.

    Raises:
        CandidateFailed: If it is no tensor.
    """
    values = list(output.values()) if isinstance(output, Mapping) else output
    first = values[0] if isinstance(values, list | tuple) and values else values
    if not isinstance(first, Tensor):
        raise CandidateFailed(f"{name} returns {type(output).__name__}; expected a tensor, or a tuple whose first entry is one")
    return first


def _magnitude(x: Tensor) -> Tensor:
    """Returns the largest absolute value, without a copy of `x`."""
    low, high = x.aminmax()
    return torch.maximum(high, -low)
