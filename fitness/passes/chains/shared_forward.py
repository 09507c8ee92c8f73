"""Forwards of built networks that share their first stages with the previous network.

    for each candidate, in an order that keeps similar ones together:
        stages in common with the previous candidate are not run: the forward continues from the mark after the last of them
        the other stages are run, and a mark is kept after each stage in common with the next candidate

Weights are a function of their names, so equal stages hold equal weights, and statistics are bit for bit those of separate
forwards. Memory is that of the maps between the stages that two neighbours share.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.reductions.reducer import Reducer
from rbflex_evo.fitness.passes.repair import Repair, repaired
from rbflex_evo.fitness.passes.watch import Watch, examine, reads_channels, watching
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.architecture.chain import chain_of, run_chain


@dataclass(frozen=True)
class _Mark:
    """State of a forward after a stage: the input of the next stage and everything observed so far. It is never changed."""

    identity: Hashable
    state: Any
    watch: Watch


class SharedForward:
    """Runs forwards of several candidates for the same observers, each from its first difference to the previous one.

    Args:
        observers: Observers by name, before a forward; each candidate is observed by forks of them.
        images: Inputs [N, ...].
        statistics_of: As for `run_observed`.
        layers: As for `run_observed`.
        convolutions: Precision of convolutions if it differs from that of the images.
        repair: Changes of the forward, None for the plain one.
        seed: Seed of the weights, which decides what a repair draws.
        reducer: Reduces layers for the observers.
    """

    def __init__(
        self,
        observers: Mapping[str, Observer],
        images: Tensor,
        statistics_of: Literal["image", "batch"] = "image",
        layers: Literal["activations", "published"] = "activations",
        convolutions: torch.dtype | None = None,
        repair: Repair | None = None,
        seed: int = 0,
        reducer: Reducer | None = None,
    ) -> None:
        self.names = list(observers)
        self.statistics_of = statistics_of
        self.layers = layers
        self.convolutions = convolutions
        self.repair, self.seed = repair, seed
        self.maps = images.dtype
        self.path = [_Mark(None, images, Watch(list(observers.values()), len(images), reducer=reducer))]

    @property
    def reads_blocks(self) -> bool:
        """Whether an observer reads the outputs of primary blocks."""
        return any(observer.reads_blocks for observer in self.path[0].watch.observers)

    def run(
        self,
        network: nn.Module,
        classifier: nn.Module,
        following: Sequence[Hashable] = (),
        blocks: Sequence[nn.Module] = (),
    ) -> dict[str, Observer]:
        """Runs one candidate and returns its observers by name, ready to finish.

        Args:
            network: The candidate's network.
            classifier: Module whose input is the feature vector.
            following: Identities of the next candidate's stages; marks are kept after the stages in common with it.
            blocks: Primary blocks of the network; ignored if no observer reads blocks.

        Raises:
            CandidateFailed: If the classifier is never called, or calls cannot be observed.
            ConfigError: If a stage changes its input in place, which other candidates still read.
        """
        blocks = blocks if self.reads_blocks else ()
        stages = chain_of(network)
        identities = [stage.identity for stage in stages]
        start = common([mark.identity for mark in self.path[1:]], identities)
        kept = common(identities, following)
        del self.path[start + 1 :]

        def run_few(few: Tensor) -> Any:
            with repaired(network, self.repair, self.seed):
                return run_chain(stages, few)

        layouts = examine(
            network,
            self.path[0].state,
            run_few,
            classifier,
            self.statistics_of,
            self.layers,
            self.convolutions,
            blocks,
            any(reads_channels(observer) for observer in self.path[0].watch.observers),
        )
        mark = self.path[-1]
        state, watch = mark.state, mark.watch.fork(layouts)
        settings = (self.statistics_of, self.layers, self.maps, self.convolutions)
        with watching(network, watch, classifier, *settings, blocks), repaired(network, self.repair, self.seed):
            for position, stage in enumerate(stages[start:], start + 1):
                versions = _versions(state)
                before, state = state, stage.run(state)
                if _versions(before) != versions:
                    raise ConfigError(f"{_name(stage.identity)} changes its input in place; return a new tensor")
                if position <= kept:
                    self.path.append(_Mark(stage.identity, state, watch.fork()))
        del self.path[kept + 1 :]
        watch.check()
        return dict(zip(self.names, watch.observers, strict=True))


def common(first: Sequence[object], second: Sequence[object]) -> int:
    """Returns the length of the common prefix of two sequences."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _name(identity: Hashable) -> str:
    return "the network" if type(identity) is object else f"stage {identity!r}"


def _versions(state: Any) -> list[int]:
    tensors = [state] if isinstance(state, Tensor) else [part for part in state if isinstance(part, Tensor)]
    return [tensor._version for tensor in tensors]
