"""The section ``compare`` of a configuration: contenders (strategies with parameters, under a label), seeds and tables.

compare:
  strategies: [random, {name: genetic, population: 30}, {name: genetic, population: 100, label: genetic 100}]
  seeds: 30                          # 30 seeds, starting at the configuration's own, or a list of seeds
  tables: [{source: csv, ...}, ...]  # further tables of known accuracies, in addition to `table`, one per data set
  spaces, objectives, budgets: [...] # several settings; see `compare_entries`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rbflex_evo.spaces import TABLES, ConfigError, Parameters, parse
from rbflex_evo.spaces.errors import shown
from rbflex_evo.strategies import STRATEGIES

from .selection import NAME, NAME_RULE, Choice, read_choice

MOST_SEEDS = 100_000


class CompareParameters(Parameters):
    """The section ``compare`` as the configuration gives it.

    Attributes:
        strategies: Names, or mappings with parameters; ``label`` renames one.
        seeds: Number of seeds, counted from the run's seed, or a list of seeds.
        tables: More tables of known accuracies, one a data set.
        spaces: Spaces to compare in, instead of ``space``: names, or mappings with parameters, and with ``data``, ``table``,
            ``scores`` and ``label`` of their own.
        objectives: Objectives to compare by, instead of that of ``fitness``: names of scores, ``{preset: NAME}``, or mappings
            as ``fitness``, with a ``label``.
        budgets: Budgets of unique evaluations, instead of ``budget``.
        settings: Settings one by one, instead of spaces x objectives: mappings of ``space``, ``fitness``, ``data``, ``table``,
            ``scores`` and ``label``. Each is taken with every budget.
    """

    strategies: list[Any] = Field(min_length=1)
    seeds: Any = 30
    tables: list[Any] = Field(default_factory=list)
    spaces: list[Any] = Field(default_factory=list)
    objectives: list[Any] = Field(default_factory=list)
    budgets: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    settings: list[Any] = Field(default_factory=list)

    @field_validator("budgets")
    @classmethod
    def _are_different(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise PydanticCustomError("budgets", "should be different numbers of evaluations")
        return value

    @model_validator(mode="after")
    def _is_one_of_two(self) -> CompareParameters:
        if self.settings and (self.spaces or self.objectives):
            raise PydanticCustomError("settings", "has settings, so it takes no spaces and no objectives in addition")
        return self

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        whole = all(type(seed) is int and seed >= 0 for seed in listed)
        count = len(value) if isinstance(value, list) else value
        if not whole or not listed or len(set(listed)) < len(listed) or not 1 <= count <= MOST_SEEDS:
            raise PydanticCustomError("seeds", f"should be a number of seeds of 1..{MOST_SEEDS}, or a list of different seeds")
        return value


@dataclass(frozen=True)
class Contender:
    """One strategy with its parameters; the label names it in tables, figures and folders."""

    label: str
    strategy: Choice


@dataclass(frozen=True)
class ComparisonPlan:
    """A checked comparison: every contender runs with every seed."""

    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    tables: tuple[Choice, ...]

    def as_values(self) -> dict[str, Any]:
        """Returns the plan as JSON data."""
        return {
            "strategies": [{"label": c.label, "name": c.strategy.name, **c.strategy.values} for c in self.contenders],
            "seeds": list(self.seeds),
            "tables": [{"source": table.name, **table.values} for table in self.tables],
        }


def plan_of(
    section: Mapping[str, Any] | None, *, limits: Mapping[str, Any], fronts: bool, seed: int, table: Choice | None
) -> ComparisonPlan:
    """Returns the comparison that the section ``compare`` describes.

    Args:
        section: The section as the configuration gives it, or None if it has no such section.
        limits: The limits of the budget that are set.
        fronts: True if the objective is ``pareto``.
        seed: The seed of the configuration, at which a number of seeds starts.
        table: The table of the configuration, which becomes the first table of the plan.

    Raises:
        ConfigError: If the section is missing, a label is duplicated, a parameter is wrong, the budget limits something other
            than unique evaluations, or the objective has no single incumbent.
        UnknownNameError: If a strategy or a table is not registered.
    """
    if section is None:
        raise ConfigError(
            "this configuration compares nothing; add what to compare, such as: compare: {strategies: [random, genetic], seeds: 30}"
        )
    compare = parse(CompareParameters, section, "compare")
    if limits.keys() != {"evaluations"}:
        raise ConfigError("strategies are compared at one budget of unique evaluations; 'budget' should hold only evaluations")
    if fronts:
        raise ConfigError("strategies are compared by one incumbent each, which 'pareto' does not have; use a score or a rank")
    contenders = tuple(_contender(entry, f"compare.strategies.{i}") for i, entry in enumerate(compare.strategies))
    # On some systems, labels that differ only in case name the same folder.
    twice = [label for label, count in Counter(contender.label.lower() for contender in contenders).items() if count > 1]
    if twice:
        raise ConfigError(f"'compare.strategies' has {shown(twice[0])} twice; give one of them another name with 'label'")
    tables = [read_choice(entry, f"compare.tables.{i}", "source", TABLES) for i, entry in enumerate(compare.tables)]
    seeds = compare.seeds if isinstance(compare.seeds, list) else range(seed, seed + compare.seeds)
    return ComparisonPlan(contenders, tuple(seeds), tuple([table, *tables] if table is not None else tables))


def _first(compare: Mapping[str, Any], key: str) -> Any:
    values = compare.get(key)
    return values[0] if isinstance(values, list) and values else None


def first_strategy(compare: Mapping[str, Any]) -> Any:
    """Returns the first strategy of a section ``compare`` that is not checked yet."""
    first = _first(compare, "strategies")
    if first is None:
        raise ConfigError("'compare.strategies' should be a list of strategies, such as [random, genetic]")
    return _without_label(first)


def _contender(entry: Any, where: str) -> Contender:
    label = entry.get("label") if isinstance(entry, Mapping) else None
    if label is not None and (not isinstance(label, str) or not NAME.fullmatch(label)):
        raise ConfigError(f"'{where}.label': should be {NAME_RULE}, but it is {shown(label)}")
    strategy = read_choice(_without_label(entry), where, "name", STRATEGIES)
    return Contender(label or strategy.name, strategy)


def _without_label(entry: Any) -> Any:
    return {key: value for key, value in entry.items() if key != "label"} if isinstance(entry, Mapping) else entry
