"""A network as a chain of stages, so that networks that begin alike may share what they begin with.

A module that has a method ``as_stages()`` says so; scores that watch a forward then run what is common to several candidates once:

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
    """One link of the chain.

    Attributes:
        identity: equal in two networks of a space only where the stage is the same module with the same names of weights.
        run: from what the stage before returned (the images, for the first) to what the next one takes, or the output. It
            leaves what it is given as it was.
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
    """Returns the stages of a network; one that does not say is a single stage, equal to no other."""
    if hasattr(network, "as_stages"):
        return list(network.as_stages())  # type: ignore[operator]
    return [Stage(object(), network)]
