"""What a comparison is made of: contenders (strategies with parameters, under a label), seeds, and one ordinary run for each pair.

    compare:
      strategies: [random, {name: genetic, population: 30}, {name: genetic, population: 100, label: genetic 100}]
      seeds: 30                          # 30 of them from the configuration's own on, or a list
      tables: [{source: csv, ...}, ...]  # more known accuracies than the one of `table`, each under its data set's name
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from spaces import TABLES, ConfigError, Parameters, SearchSpace, parse

from .config import NAME, NAME_RULE, Choice, Config, read_choice

if TYPE_CHECKING:
    from spaces.tables import Table


class CompareParameters(Parameters):
    """The section ``compare`` as it is written."""

    strategies: list[Any] = Field(min_length=1)
    seeds: Any = 30
    tables: list[Any] = Field(default_factory=list)

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        whole = all(type(seed) is int and seed >= 0 for seed in listed)
        if not whole or not listed or len(set(listed)) < len(listed) or value == 0:
            raise PydanticCustomError("seeds", "should be how many seeds, at least 1, or a list of different ones")
        return value


@dataclass(frozen=True)
class Contender:
    """One strategy with its parameters; the label is its name in tables, figures and folders."""

    label: str
    strategy: Choice


@dataclass(frozen=True)
class Plan:
    """A checked comparison: every contender runs with every seed."""

    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    tables: tuple[Choice, ...]

    def as_values(self) -> dict[str, Any]:
        """Returns it as JSON data."""
        return {
            "strategies": [{"label": c.label, "name": c.strategy.name, **c.strategy.values} for c in self.contenders],
            "seeds": list(self.seeds),
            "tables": [{"source": table.name, **table.values} for table in self.tables],
        }


def plan_of(config: Config) -> Plan:
    """Returns what the section ``compare`` asks for.

    Raises:
        ConfigError: if there is none, a label comes twice, a parameter is wrong, the budget is none of unique evaluations alone, or
            the objective has no single incumbent.
        UnknownNameError: if a strategy or a table is not registered.
    """
    if config.compare is None:
        raise ConfigError(
            "this configuration compares nothing; add what to compare, such as: compare: {strategies: [random, genetic], seeds: 30}"
        )
    section = parse(CompareParameters, config.compare, "compare")
    budget = config.budget
    if budget.evaluations is None or budget.seconds is not None or budget.generations is not None:
        raise ConfigError("strategies are compared at one budget of unique evaluations; 'budget' should hold evaluations alone")
    if "pareto" in config.fitness.objective:
        raise ConfigError("strategies are compared by one incumbent each, which 'pareto' does not have; use a score or a rank")
    contenders = tuple(_contender(entry, f"compare.strategies.{i}") for i, entry in enumerate(section.strategies))
    # Folders of labels that differ in case alone are one folder on some systems.
    twice = [label for label, count in Counter(contender.label.lower() for contender in contenders).items() if count > 1]
    if twice:
        raise ConfigError(f"'compare.strategies' has {twice[0]!r} twice; give one of them another name with 'label'")
    tables = [_table(entry, f"compare.tables.{i}") for i, entry in enumerate(section.tables)]
    seeds = section.seeds if isinstance(section.seeds, list) else range(config.seed, config.seed + section.seeds)
    return Plan(contenders, tuple(seeds), tuple([config.table, *tables] if config.table is not None else tables))


def run_config(config: Config, contender: Contender, seed: int) -> Config:
    """Returns the configuration of one run of a comparison, an ordinary search."""
    runs = folder_of(config) / contender.label
    changes = {"name": str(seed), "runs": str(runs), "strategy": contender.strategy, "seed": seed, "compare": None, "table": None}
    return config.model_copy(update=changes)


def folder_of(config: Config) -> Path:
    """Returns the folder of a comparison."""
    return config.folder.with_name(f"{config.folder.name}-compare")


def open_tables(plan: Plan, space: SearchSpace) -> dict[str, Table]:
    """Returns the tables of known accuracies by their data sets' names, each checked to be of the space and not read yet.

    Raises:
        TableError: if one is missing, unreadable or of another space.
        ConfigError: if two are of one data set.
    """
    from spaces.tables import create_table

    tables: dict[str, Table] = {}
    for choice in plan.tables:
        table = create_table(choice.name, space, **choice.values)
        table.check(space)
        if table.dataset in tables:
            raise ConfigError(f"two tables are of {table.dataset!r}; give one of them another name with 'dataset', or leave it out")
        tables[table.dataset] = table
    return tables


def _contender(entry: Any, where: str) -> Contender:
    from strategies import STRATEGIES

    label = entry.get("label") if isinstance(entry, Mapping) else None
    if label is not None and (not isinstance(label, str) or not NAME.fullmatch(label)):
        raise ConfigError(f"'{where}.label': should be {NAME_RULE}, but it is {label!r}")
    given = {key: value for key, value in entry.items() if key != "label"} if isinstance(entry, Mapping) else entry
    strategy = read_choice(given, where, "name")
    parse(STRATEGIES.get(strategy.name).Parameters, strategy.values, where)
    return Contender(label or strategy.name, strategy)


def _table(entry: Any, where: str) -> Choice:
    table = read_choice(entry, where, "source")
    parse(TABLES.get(table.name).Parameters, table.values, where)
    return table
