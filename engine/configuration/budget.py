"""Another budget for a run that has begun, as ``evaluations=2000`` on the command line or as a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rbflex_evo.spaces import ConfigError, near_name, parse

from .config import BudgetConfig, Config
from .yaml_reader import read_value


def read_limits(texts: Iterable[str]) -> dict[str, Any]:
    """Returns the limits that ``--budget`` options name, each as ``limit=value`` with commas between several.

    Raises:
        ConfigError: If an option has another form, or names no limit.
    """
    limits: dict[str, Any] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name not in BudgetConfig.model_fields:
            near = near_name(name, BudgetConfig.model_fields) if equals else ""
            raise ConfigError(f"--budget takes evaluations=, seconds= or generations= and a number, but it is {part!r}{near}")
        limits[name] = read_value(value, f"--budget {part}")
    return limits


def with_budget(config: Config, limits: Mapping[str, Any]) -> Config:
    """Returns the configuration with other limits; limits that are not named are kept, and None removes one.

    Raises:
        ConfigError: If a limit is unknown or wrong, or none is left.
    """
    values = {**config.budget.model_dump(exclude_none=True), **limits}
    kept = {name: value for name, value in values.items() if value is not None}
    return config.model_copy(update={"budget": parse(BudgetConfig, kept, "budget")})
