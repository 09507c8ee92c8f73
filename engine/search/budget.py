"""When a search ends: unique evaluations, seconds or generations, whichever limit is reached first.

A budget counts the unique architectures evaluated in this run, failed ones included, wherever their statistics came from.
It is never exceeded: `allows` is the number of evaluations that a strategy may still propose.
"""

from __future__ import annotations

from dataclasses import dataclass

from rbflex_evo.engine.terminal.wording import counted

# Number of evaluations that a strategy is offered if they are not limited.
UNLIMITED = 2**31 - 1


@dataclass(frozen=True)
class Budget:
    """The limits of one search; None is no limit. Seconds count from the first evaluation, stops excluded."""

    evaluations: int | None = None
    seconds: float | None = None
    generations: int | None = None

    def allows(self, evaluations: int) -> int:
        """Returns how many more unique evaluations there may be after so many."""
        return UNLIMITED if self.evaluations is None else max(0, self.evaluations - evaluations)

    def out_of_time(self, seconds: float) -> bool:
        """True if the time is over."""
        return self.seconds is not None and seconds >= self.seconds

    def spent(self, evaluations: int, seconds: float, generations: int) -> str | None:
        """Returns the stop reason as a sentence, or None while no limit is reached."""
        if self.evaluations is not None and evaluations >= self.evaluations:
            return f"the budget of {counted(self.evaluations, 'evaluation')} is spent"
        if self.generations is not None and generations >= self.generations:
            return f"the budget of {counted(self.generations, 'generation')} is spent"
        if self.out_of_time(seconds):
            return f"the budget of {self.seconds:g} seconds is spent"
        return None
