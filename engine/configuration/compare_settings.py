"""The settings that the section ``compare`` spans: spaces x objectives x budgets, or a list of settings x budgets.

An entry replaces sections of the configuration. What belongs to the space of the configuration (its tables, its warm start) holds
for settings of that space only. Constraints and weights hold for all settings that have none of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rbflex_evo.spaces import SPACES, ConfigError, UnknownNameError, parse
from rbflex_evo.spaces.errors import shown

from .compare_entries import LISTS, Entry, entries_of
from .compare_section import CompareParameters
from .config import Config, as_values, parse_config
from .selection import read_choice


@dataclass(frozen=True)
class Setting:
    """One space, objective and budget of a comparison.

    Attributes:
        label: Name of the setting, of its folder, and of its row in tables.
        problem: Label of the space and the objective, without the budget.
        space: Label of the space.
        objective: Label of the objective.
        budget: Unique evaluations of each run.
        config: Configuration of the comparison with this setting alone.
    """

    label: str
    problem: str
    space: str
    objective: str
    budget: int
    config: Config


def settings_of(config: Config) -> list[Setting]:
    """Returns the settings that a comparison spans, at least one, the budgets of one space and objective after each other.

    Raises:
        ConfigError: If an entry or its combination with others is wrong, or two settings have the same label.
        UnknownNameError: If an entry names something that is not registered.
    """
    config.plan()
    compare = parse(CompareParameters, config.compare or {}, "compare")
    budgets = compare.budgets or [config.budget.evaluations or 0]
    found = [setting for entry in entries_of(compare) for setting in _settings(config, entry, budgets)]
    if len(found) == 1:
        # It keeps the name and thus the folder of a comparison with one setting.
        return [replace(found[0], config=found[0].config.model_copy(update={"name": config.name}))]
    twice = [label for label, count in Counter(setting.label.lower() for setting in found).items() if count > 1]
    if twice:
        raise ConfigError(f"'compare' has the setting {shown(twice[0])} twice; give one of its parts another name with 'label'")
    return found


def _settings(config: Config, entry: Entry, budgets: list[int]) -> Iterator[Setting]:
    try:
        values = _values(config, entry)
        # Every budget is checked, as the settings of strategies may depend on it.
        for budget in budgets:
            found = parse_config({**values, "budget": {"evaluations": budget}})
            space = entry.space or found.space.name
            # The name of a preset is not among the values that a configuration is written with.
            objective = entry.objective or _objective_label(found if "fitness" in entry.sections else config)
            problem = entry.label or f"{space}-{objective}"
            label = f"{problem}-{budget}"
            yield Setting(label, problem, space, objective, budget, found.model_copy(update={"name": label}))
    except (ConfigError, UnknownNameError) as error:
        error.args = (f"{entry.where}: {error}",)
        raise


def _values(config: Config, entry: Entry) -> dict[str, Any]:
    """Returns the values of the configuration with the sections of an entry in their places."""
    values, sections = as_values(config), dict(entry.sections)
    compare = {key: value for key, value in values["compare"].items() if key not in LISTS}
    if "space" in sections and read_choice(sections["space"], "space", "name", SPACES) != config.space:
        values = {key: value for key, value in values.items() if key not in ("table", "scores", "warm_start")}
        compare.pop("tables", None)
    if "fitness" in sections:
        kept = {key: value for key, value in values["fitness"].items() if key in ("constraints", "weights")}
        sections["fitness"] = {**kept, **sections["fitness"]}
    return {**values, **sections, "compare": compare}


def _objective_label(config: Config) -> str:
    fitness = config.fitness
    return fitness.preset or fitness.objective.score or "_".join(fitness.proxies)
