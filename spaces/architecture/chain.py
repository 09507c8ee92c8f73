"""A network as a chain of stages, so that networks with equal first stages can share their computation.

A module describes its chain by the method ``as_stages()``; scores that observe a forward then run common stages once:

    class Chain(nn.Module):
        def as_stages(self) -> list[Stage]:
            return [Stage(("block", self.kernel), self.block), Stage("head", self.head)]

        def forward(self, images):
            return run_chain(self.as_stages(), images)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn


class Stage(NamedTuple):
    """One link of the chain: a part of the forward that reads only the output of the previous stage.

    Attributes:
        identity: Identity of the stage; equal in two networks of a space only if both run the same module with the same
            parameter names.
        run: Maps the output of the previous stage (the inputs of the network for the first) to the input of the next one, or to
            the output of the network. It must not modify its argument.
    """

    identity: Hashable
    run: Callable[[Any], Any]


def run_chain(stages: Sequence[Stage], inputs: Tensor) -> Tensor:
    """Returns the output of the chain for a batch of inputs."""
    state: Any = inputs
    for stage in stages:
        state = stage.run(state)
    output: Tensor = state
    return output


def chain_of(network: nn.Module) -> list[Stage]:
    """Returns the stages of a network; a network without ``as_stages()`` is a single stage, equal to no other."""
    if hasattr(network, "as_stages"):
        return list(network.as_stages())  # type: ignore[operator]
    return [Stage(object(), network)]
