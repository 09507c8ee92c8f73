"""Built networks that begin alike share what they begin with: forwards along the chains that networks say they are.

    for each candidate, neighbours in order:
        the stages that it has in common with the one before are not run: maps and observers are those of that point
        the others are run, and a mark is left after each that the next one has in common

Equal stages hold equal weights, since weights are a function of their names, so statistics are bit for bit those of one by one.
Memory is that of the maps between the stages that two neighbours share.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.architecture.chain import chain_of

from .observer import Observer
from .watch import Watch, watching


@dataclass(frozen=True)
class _Mark:
    """Where a forward stands after a stage: what the next one takes, and all that was seen. It is never changed."""

    identity: Hashable
    state: Any
    watch: Watch


class SharedForward:
    """Forwards of several candidates on `images` [N, ...] for the same observers, each from where it parts from the one before.

    Args:
        observers: by name, as they are before a forward; each candidate is observed by copies of them.
        statistics_of, layers: what the observers see, as for `run_observed`.
        convolutions: their precision where it is not that of the images.
    """

    def __init__(
        self,
        observers: Mapping[str, Observer],
        images: Tensor,
        statistics_of: Literal["image", "batch"] = "image",
        layers: Literal["activations", "published"] = "activations",
        convolutions: torch.dtype | None = None,
    ) -> None:
        self.names = list(observers)
        self.statistics_of = statistics_of
        self.layers = layers
        self.convolutions = convolutions
        self.maps = images.dtype
        self.path = [_Mark(None, images, Watch(list(observers.values()), len(images)))]

    def run(self, network: nn.Module, classifier: nn.Module, following: Sequence[Hashable] = ()) -> dict[str, Observer]:
        """Runs one candidate and returns its observers by name, ready to finish.

        Args:
            following: the identities of the next candidate's stages; marks are kept for what they have in common with this.

        Raises:
            CandidateFailed: if the classifier was never called.
            ConfigError: if a stage changed what it was given, which others still read.
        """
        stages = chain_of(network)
        identities = [stage.identity for stage in stages]
        start = common([mark.identity for mark in self.path[1:]], identities)
        kept = common(identities, following)
        del self.path[start + 1 :]
        mark = self.path[-1]
        state, watch = mark.state, mark.watch.fork()
        with watching(network, watch, classifier, self.statistics_of, self.layers, self.maps, self.convolutions):
            for position, stage in enumerate(stages[start:], start + 1):
                versions = _versions(state)
                before, state = state, stage.run(state)
                if _versions(before) != versions:
                    raise ConfigError(f"{_name(stage.identity)} changes what it is given in place; let it make a new tensor")
                if position <= kept:
                    self.path.append(_Mark(stage.identity, state, watch.fork()))
        del self.path[kept + 1 :]
        watch.check()
        return dict(zip(self.names, watch.observers, strict=True))


def common(first: Sequence[object], second: Sequence[object]) -> int:
    """Returns how many stages two chains have in common from their beginning."""
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
