"""The strategy that won in searches of such a budget, space and number of objectives.

    auto.json     made by `python -m benchmarks strategies`: for budgets up to a number of evaluations, spaces up to a size and a
                  number of objectives, the name of the strategy with the lowest mean rank

A run writes the strategy that was chosen into its configuration when it begins, with the parameters that follow its budget.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, ClassVar

from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .situation import Situation
from .strategy import Strategy, View, create_strategy

FILE = "auto.json"


class Winner(Parameters):
    """One row of the table.

    Attributes:
        evaluations: Largest budget of evaluations of the row; None for any.
        size: Largest number of genotypes of the row; None for any, and for spaces of unknown size.
        objectives: Smallest number of objectives of the row.
        strategy: Name of the strategy.
    """

    evaluations: int | None = Field(ge=1)
    size: int | None = Field(ge=1)
    objectives: int = Field(ge=1)
    strategy: str

    def holds(self, situation: Situation) -> bool:
        """True if a search of that situation belongs to the row."""
        few = self.evaluations is None or situation.evaluations <= self.evaluations
        small = self.size is None or (situation.size is not None and situation.size <= self.size)
        return few and small and situation.objectives >= self.objectives


@lru_cache(1)
def winners() -> list[Winner]:
    """Returns the rows of the table; the first one that holds decides."""
    table: dict[str, Any] = json.loads(files("rbflex_evo.strategies").joinpath(FILE).read_text(encoding="utf-8"))
    return [Winner.model_validate(row) for row in table["winners"]]


class Auto(Strategy):
    """The strategy that won in searches of such a budget, space and number of objectives.

    In a run, the strategy that was chosen takes its place. Created directly, it is the one for a single objective and as many
    evaluations as are assumed for a budget that does not limit them.
    """

    name = "auto"
    description = "the strategy that won for such a budget, space and number of objectives; written into the run's configuration"
    default_rule: ClassVar[str] = "the strategy, and its parameters as that strategy says"

    def __init__(self, encoding: Encoding, seed: int, parameters: Parameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.chosen = create_strategy(self.choice(Situation.of(None, encoding.size)), encoding, seed)

    @classmethod
    def choice(cls, situation: Situation) -> str:
        """Returns the name of the strategy for a search."""
        return next(row.strategy for row in winners() if row.holds(situation))

    @property
    def batches_ahead(self) -> int:
        """Number of batches that are asked for before the oldest one is told: that of the strategy."""
        return self.chosen.batches_ahead

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns the proposals of the strategy."""
        genotypes = self.chosen.ask(n, view)
        self.generation = self.chosen.generation
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Tells the strategy."""
        self.chosen.tell(evaluations, view)

    def get_state(self) -> dict[str, Any]:
        """Returns the state of the strategy as plain data."""
        return self.chosen.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self.chosen.load_state_dict(state)
