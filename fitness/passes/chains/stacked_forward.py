"""Forwards of several built networks side by side, for an accelerator: what they have in common runs in one call.

    until every candidate is through its chain of stages:
        the next stage is one that no candidate reaches again later, of those the one that most candidates wait for
        candidates that wait for it with inputs of one shape form a stack: their inputs are concatenated along the images, and
        one network runs the stage
        observers receive each candidate's part of a layer; layers are reduced for the whole stack in one call

Weights are a function of their names, so stages of equal identity hold equal weights: one stage of one network serves all of them
without stacked parameters, grouped convolutions or vmap. Inputs that several candidates have in common, such as the images, are
computed once. Images are independent, so statistics equal those of separate forwards up to round-off. A normalisation by the batch
takes the statistics of each candidate's images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rbflex_evo.fitness.passes.layout import needs_evidence
from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer
from rbflex_evo.fitness.passes.reductions.reducer import Reducer
from rbflex_evo.fitness.passes.watch import POOLED, Watch, batch_norm, given, hooked, rewired, tensor_of, without_classifier
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.architecture.chain import Stage, chain_of


@dataclass(eq=False)
class _Candidate:
    """A forward that has come as far as its remaining stages.

    Attributes:
        stages: Remaining stages, the next one last.
        observers: Observers of the candidate.
        state: Input of the next stage.
        pooled: Magnitude [] of the map before the last pooling, and the values after it; None before any.
        classified: Whether the classifier was called.
    """

    stages: list[Stage]
    observers: list[Observer]
    state: Any
    pooled: tuple[Tensor, Tensor] | None = None
    classified: bool = False


def stackable(network: nn.Module) -> bool:
    """Returns whether a network is a chain of stages whose maps are [N, ...], so that it can be run beside others."""
    return hasattr(network, "as_stages") and not needs_evidence(network)


class StackedForward:
    """Runs forwards of several candidates for the same kinds of observers.

    Args:
        images: Inputs [N, ...].
        statistics_of: As for `run_observed`.
        layers: As for `run_observed`.
        convolutions: Precision of convolutions if it differs from that of the images.
        reducer: Reduces layers for the observers.
    """

    def __init__(
        self,
        images: Tensor,
        statistics_of: Literal["image", "batch"] = "image",
        layers: Literal["activations", "published"] = "activations",
        convolutions: torch.dtype | None = None,
        reducer: Reducer | None = None,
    ) -> None:
        self.images = images
        self.statistics_of: Literal["image", "batch"] = statistics_of
        self.layers: Literal["activations", "published"] = layers
        self.convolutions = convolutions
        self.reducer = reducer

    def run(
        self,
        networks: Sequence[nn.Module],
        classifiers: Sequence[nn.Module],
        observers: Sequence[Sequence[Observer]],
        blocks: Sequence[Sequence[nn.Module]] = (),
    ) -> int:
        """Runs one forward of every network, passes its layers to the network's observers, and returns the number of stages run.

        Args:
            networks: The networks (see `stackable`), of one space with weights of one seed.
            classifiers: For each network the module whose input is the feature vector.
            observers: For each network its observers, of the same kinds in the same order.
            blocks: For each network its primary blocks; empty if no observer reads blocks.

        Raises:
            CandidateFailed: If a layer of a network cannot be observed; the others are incomplete, too.
            ConfigError: If a stage changes its input in place, which other candidates still read.
        """
        watch = _StackedWatch(len(self.images), self.reducer)
        candidates = [
            _Candidate(list(reversed(chain_of(network))), list(own), self.images)
            for network, own in zip(networks, observers, strict=True)
        ]
        own_blocks = blocks or [()] * len(networks)
        with ExitStack() as stack:
            for network, classifier, parts in zip(networks, classifiers, own_blocks, strict=True):
                stack.enter_context(hooked(network, watch, classifier, self.layers, parts))
            stack.enter_context(torch.no_grad())
            stack.enter_context(rewired(watch, self.statistics_of, self.layers, self.images.dtype, self.convolutions))
            return sum(1 for members in _stacks(candidates) if watch.run(members))


def _stacks(candidates: Sequence[_Candidate]) -> Iterator[list[_Candidate]]:
    """Yields candidates that wait for the same stage until all chains are finished; the caller runs this stage."""
    later = Counter(stage.identity for candidate in candidates for stage in candidate.stages)
    while True:
        waiting: dict[tuple[Hashable, ...], list[_Candidate]] = {}
        for candidate in candidates:
            if candidate.stages:
                # The widths of a stage may follow from those of the stage before.
                shapes = [part.shape for part in _parts(candidate.state)]
                waiting.setdefault((candidate.stages[-1].identity, *shapes), []).append(candidate)
        if not waiting:
            return
        # With depths that differ, a stage that others have yet to reach waits for them.
        ready = Counter(candidate.stages[-1].identity for candidate in candidates if candidate.stages)
        key = min(waiting, key=lambda key: (later[key[0]] - ready[key[0]], -len(waiting[key])))
        later[key[0]] -= len(waiting[key])
        yield waiting[key]


class _StackedWatch(Watch):
    """Passes the layers of a stage that several candidates run together to the observers of each.

    Args:
        n: Number of images of a candidate.
        reducer: Reduces layers for the observers.
    """

    def __init__(self, n: int, reducer: Reducer | None) -> None:
        super().__init__([], n, reducer=reducer)
        self._members: list[tuple[int, _Candidate]] = []  # Positions in the stack; candidates with one input share a position.
        self._count = 0

    def run(self, members: Sequence[_Candidate]) -> list[_Candidate]:
        """Runs the next stage of candidates whose next stages are equal, and returns the candidates."""
        inputs = [_parts(candidate.state) for candidate in members]
        positions: dict[tuple[int, ...], int] = {}
        at = [positions.setdefault(tuple(map(id, parts)), len(positions)) for parts in inputs]
        distinct = [inputs[at.index(position)] for position in range(len(positions))]
        self._count, self._members = len(distinct), list(zip(at, members, strict=True))
        joined = [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*distinct, strict=True)]
        stage = members[0].stages[-1]
        versions = [part._version for part in joined]
        output = stage.run(joined[0] if isinstance(members[0].state, Tensor) else tuple(joined))
        if [part._version for part in joined] != versions:
            raise ConfigError(f"stage {stage.identity!r} changes its input in place; return a new tensor")
        made = [torch.split(part, self.n) for part in _parts(output)]
        for position, candidate in self._members:
            parts = tuple(part[position] for part in made)
            candidate.state = parts[0] if isinstance(output, Tensor) else parts
            candidate.stages.pop()
            if not candidate.stages and not candidate.classified:
                raise CandidateFailed(without_classifier())
        return list(members)

    def show(self, name: str, output: Tensor) -> None:
        """Passes the output of an activation layer [K N, ...] to the observers of all candidates."""
        if not isinstance(output, Tensor):
            raise CandidateFailed(f"the activation {name!r} returns {type(output).__name__}; expected one tensor")
        with torch._C.DisableTorchFunction():
            outputs = self._of_candidates(name, output)
            columns = outputs[0, 0].numel()
            reduced: dict[str | int, Tensor | None] = {}
            for position, i, observer in self._observers():
                sums = _reduced(reduced, observer.reduction, i, partial(self.reducer.reduce, observer, outputs, None))
                if sums is None:
                    observer.activation(name, outputs[position])
                else:
                    observer.take(sums[position], columns)

    def block(self, place: int, module: nn.Module, inputs: Any, output: Any) -> None:
        """Passes the output of a primary block [K N, ...] to the observers that read blocks."""
        name = f"block {place}"
        with torch._C.DisableTorchFunction():
            outputs = self._of_candidates(name, tensor_of(output, name))
            reduced: dict[str | int, Tensor | None] = {}
            for position, i, observer in self._observers():
                if observer.reads_blocks:
                    reduce = partial(self.reducer.reduce_block, observer, outputs)
                    sums = _reduced(reduced, observer.block_reduction, i, reduce)
                    if sums is None:
                        observer.block(outputs[position])
                    else:
                        observer.take_block(sums[position])

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
        """Normalises by the statistics of each candidate's images, as those of a channel of its own."""
        count = self._count
        if count == 1:
            return batch_norm(input, None, None, weight, bias, eps=eps)
        channels = input.view(count, self.n, *input.shape[1:]).transpose(0, 1).flatten(1, 2)  # [N, K C, ...]
        weights, biases = (None if values is None else values.repeat(count) for values in (weight, bias))
        normalised = batch_norm(channels, None, None, weights, biases, eps=eps)
        return normalised.view(self.n, count, *input.shape[1:]).transpose(0, 1).flatten(0, 1)

    def pooling(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Remembers the magnitude of each candidate's input of a pooling."""
        if isinstance(output, Tensor) and output.dim() > 1 and len(output) == self._count * self.n:
            with torch._C.DisableTorchFunction():
                magnitudes = _magnitudes(self._of_candidates(func.__name__, args[0]))
                values = output.detach().view(self._count, self.n, *output.shape[1:]).flatten(2)
                # A copy, because the output may be changed in place.
                kept = values.clone() if values[0].numel() <= POOLED else values.new_empty(self._count, 0)
                for position, candidate in self._members:
                    candidate.pooled = magnitudes[position], kept[position]

    def features(self, name: str, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Passes the input of the classifier to the observers of all candidates."""
        with torch._C.DisableTorchFunction():
            features = self._of_candidates(name, given(inputs, named)).flatten(2)
            for position, candidate in self._members:
                candidate.classified = True
                self.pooled = candidate.pooled
                magnitude = self._magnitude_of(features[position])
                for observer in candidate.observers:
                    self.reducer.show_features(observer, features[position], magnitude)

    def _observers(self) -> Iterator[tuple[int, int, Observer]]:
        """Yields the position in the stack, the number among the candidate's observers, and the observer."""
        for position, candidate in self._members:
            for i, observer in enumerate(candidate.observers):
                yield position, i, observer

    def _of_candidates(self, name: str, output: Tensor) -> Tensor:
        """Returns an output [K N, ...] as [K, N, ...].

        Raises:
            CandidateFailed: If it has another shape.
        """
        rows = self._count * self.n
        if output.dim() < 2 or len(output) != rows:
            raise CandidateFailed(f"layer {name!r} gives {list(output.shape)}; expected [{rows}, ...]")
        return output.detach().view(self._count, self.n, *output.shape[1:])


def _reduced(
    reduced: dict[str | int, Tensor | None], kind: str | None, i: int, reduce: Callable[[], Tensor | None]
) -> Tensor | None:
    """Returns the result of `reduce` for a stack, computed once for observers of one kind, or of one number if they name none."""
    key = i if kind is None else kind
    if key not in reduced:
        reduced[key] = reduce()
    return reduced[key]


def _parts(state: Any) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _magnitudes(maps: Tensor) -> Tensor:
    """Returns the largest absolute value of each candidate's maps [K, N, ...], [K]."""
    low, high = maps.flatten(1).aminmax(dim=1)
    return torch.maximum(high, -low)
