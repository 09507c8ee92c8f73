"""The runs of a comparison as ordinary configurations, its folder, and its tables of known accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rbflex_evo.engine.configuration.assembly import open_table
from rbflex_evo.engine.configuration.compare_section import ComparisonPlan, Contender
from rbflex_evo.engine.configuration.config import Config, identity
from rbflex_evo.engine.configuration.unset import COMPARED, STRATEGY
from rbflex_evo.spaces import ConfigError, SearchSpace
from rbflex_evo.strategies import STRATEGIES

if TYPE_CHECKING:
    from rbflex_evo.spaces.tables.table import Table


def run_config(config: Config, contender: Contender, seed: int) -> Config:
    """Returns the configuration of one run of a comparison, an ordinary search."""
    runs = folder_of(config) / contender.label
    changes = {"name": str(seed), "runs": str(runs), "strategy": contender.strategy, "seed": seed, "compare": None, "table": None}
    chosen = config.chosen.get(f"{COMPARED}{contender.label}")
    return config.model_copy(update={**changes, "chosen": {STRATEGY: chosen} if chosen else {}})


def begins(shorter: Config, longer: Config) -> bool:
    """True if a run of one configuration, given the larger budget of the other, becomes the run of the other.

    This is so if nothing but the budget differs and the strategy does not plan with it.
    """
    few, many = shorter.budget.evaluations, longer.budget.evaluations
    if few is None or many is None or few >= many or STRATEGIES.get(shorter.strategy.name).depends_on_budget:
        return False
    return identity(shorter.model_copy(update={"budget": longer.budget})) == identity(longer)


def folder_of(config: Config) -> Path:
    """Returns the folder of a comparison."""
    return config.folder.with_name(f"{config.folder.name}-compare")


def open_tables(plan: ComparisonPlan, space: SearchSpace) -> dict[str, Table]:
    """Returns the tables of known accuracies by their data sets' names, each checked to be of the space and not read yet.

    Raises:
        TableError: if one is missing, unreadable or of another space.
        ConfigError: if two are of one data set.
    """
    tables: dict[str, Table] = {}
    for choice in plan.tables:
        table = open_table(choice, space)
        if table.dataset in tables:
            raise ConfigError(f"two tables are of {table.dataset!r}; give one of them another name with 'dataset', or leave it out")
        tables[table.dataset] = table
    return tables
