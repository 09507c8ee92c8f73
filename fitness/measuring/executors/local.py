"""The executor of one machine: processes of one thread each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rbflex_evo.spaces import Parameters

from .executor import Executor
from .processes import Processes, cores

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.device import Card


class LocalParameters(Parameters):
    """The parameters of the executor ``local``: none."""


class Local(Executor):
    """Worker processes of this machine: one for each core on a CPU, and one for each device elsewhere."""

    name = "local"
    here = True
    Parameters = LocalParameters

    def default_count(self, cards: Sequence[Card]) -> int:
        """Returns one worker for each core of a CPU, and one for each accelerator."""
        return cores() if cards[0].device.type == "cpu" else len(cards)

    def open(self, start: Callable[..., None], arguments: Sequence[Any], *, count: int | None, cards: Sequence[Card]) -> Processes:
        """Returns a pool of processes."""
        return Processes(
            start,
            *arguments,
            forked=cards[0].device.type == "cpu",
            places=[card.device for card in cards],
            environments=[card.variables for card in cards],
            count=count or self.default_count(cards),
        )
