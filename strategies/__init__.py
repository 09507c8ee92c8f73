"""Search strategies: one algorithm per file, all with the ask/tell interface of `Strategy`.

`Member`, `Population`, `PopulationStrategy`, `SteadyStateStrategy`, `Unseen` and `best` help to write new ones.
"""

from rbflex_evo.strategies.population import (
    Member,
    Population,
    PopulationParameters,
    PopulationStrategy,
    SteadyStateParameters,
    SteadyStateStrategy,
    best,
)
from rbflex_evo.strategies.situation import Situation
from rbflex_evo.strategies.strategy import STRATEGIES, Strategy, View, create_strategy, own_strategies
from rbflex_evo.strategies.unseen import Unseen

__all__ = [
    "STRATEGIES",
    "Member",
    "Population",
    "PopulationParameters",
    "PopulationStrategy",
    "Situation",
    "SteadyStateParameters",
    "SteadyStateStrategy",
    "Strategy",
    "Unseen",
    "View",
    "best",
    "create_strategy",
    "own_strategies",
]
