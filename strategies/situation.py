"""What is known of a search before it begins, from which a strategy takes the parameters that its user leaves unset.

A population of 100 is the paper's for 20,000 evaluations; with 200 evaluations it leaves one generation of children. So a
strategy says in `Strategy.defaults_for` which of its defaults follow the budget and the size of the space. A run asks for them when
it begins and writes them into its configuration. A strategy that is created directly has the defaults of its class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# How many evaluations a budget of seconds or generations is taken for: how long one takes is not known before the first.
ASSUMED_EVALUATIONS = 1000


@dataclass(frozen=True)
class Situation:
    """Budget, space and objective of a search that has not begun.

    Attributes:
        evaluations: Number of unique evaluations that the search may make.
        size: Number of genotypes of the space; None if it is unknown.
        objectives: Number of objectives.
    """

    evaluations: int
    size: int | None = None
    objectives: int = 1

    @classmethod
    def of(cls, evaluations: int | None, size: int | None, objectives: int = 1) -> Situation:
        """Returns the situation of a search.

        Args:
            evaluations: Limit of evaluations; None for a budget of seconds or generations, which counts as `ASSUMED_EVALUATIONS`.
            size: Number of genotypes of the space, which limits the evaluations; None if it is unknown.
            objectives: Number of objectives.
        """
        limit = ASSUMED_EVALUATIONS if evaluations is None else evaluations
        return cls(limit if size is None else min(limit, size), size, objectives)

    def root(self, factor: float, least: int, most: int, multiple: int = 1) -> int:
        """Returns `factor` times the square root of the evaluations, rounded to a multiple, within bounds."""
        wanted = multiple * round(factor * math.sqrt(self.evaluations) / multiple)
        return min(max(wanted, least), most)
