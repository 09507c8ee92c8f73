"""The optimiser of another library behind one interface: it proposes points, and is told what they are worth.

    points = optimiser.ask()                         the next proposals, one or a whole generation
    optimiser.tell(points[i], outcome)               for each of them, in any order; then it is asked again
    optimiser.add(values, outcome)                   for a candidate that it did not propose

A point is read variable by variable (`Encoding.variables`), so that a library that supports conditions decides only about the
variables that have an effect. Variables of a single value are not shown to the library.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rbflex_evo.spaces import Encoding, Variable


class Outcome(NamedTuple):
    """What a candidate is worth.

    Attributes:
        values: Its objectives, higher is better; None if it failed or is not valid.
        violation: Total violation of the constraints; 0 if it is feasible.
    """

    values: tuple[float, ...] | None
    violation: float = 0.0


FAILED = Outcome(None)
KeyOf = Callable[[Callable[[int], int]], str | None]


@dataclass(frozen=True)
class Point:
    """A proposal.

    Attributes:
        value_of: Returns the value of the variable at a position.
        handle: What the library needs to be told about it.
    """

    value_of: Callable[[int], int]
    handle: Any


class Optimiser(ABC):
    """Base class of the optimisers.

    Args:
        encoding: Encoding of the genotypes; it has `variables`.
        objectives: Number of objectives.

    Attributes:
        variables: Variables of the encoding.
        free: Positions of those with more than one value.
    """

    def __init__(self, encoding: Encoding, objectives: int) -> None:
        self.variables: tuple[Variable, ...] = encoding.variables or ()
        self.free = [i for i, variable in enumerate(self.variables) if variable.count > 1]
        self.objectives = objectives

    @abstractmethod
    def ask(self, key_of: KeyOf, known: set[str]) -> list[Point]:
        """Returns the next proposals, or none; all earlier ones were told.

        Args:
            key_of: Returns the key of the candidate that values describe, or None if they are not valid.
            known: Keys of all candidates that were proposed or told before.
        """

    @abstractmethod
    def tell(self, point: Point, outcome: Outcome) -> None:
        """Takes the outcome of a proposal."""

    @abstractmethod
    def add(self, values: Sequence[int | None], outcome: Outcome) -> None:
        """Takes the outcome of a candidate that was not proposed; `values` are those of `Encoding.encode`."""

    def reader(self, values: Sequence[int]) -> Callable[[int], int]:
        """Returns a function from positions of variables to their values, of the values of the `free` variables."""
        place = {i: int(value) for i, value in zip(self.free, values, strict=True)}
        return lambda i: place.get(i, 0)

    def whole(self, values: Sequence[int | None]) -> list[int]:
        """Returns the values of the `free` variables; those without effect get their first value."""
        return [values[i] or 0 for i in self.free]
