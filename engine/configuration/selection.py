"""The selection of a registered thing in a configuration: its name and its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rbflex_evo.spaces import ConfigError, Parameters, Registry, near_name, parse
from rbflex_evo.spaces.errors import shown

# The name of a folder: a run, or a contender of a comparison.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")
NAME_RULE = "ASCII letters (a to z) and digits, and after the first one also spaces and any of . _ -"


class Choice(Parameters):
    """A registered name and its parameters.

    Attributes:
        name: The registered name.
        values: The parameters as the configuration gives them.
        parameters: The parameters, checked and with defaults.
    """

    name: str
    values: dict[str, Any]
    parameters: Parameters = Field(exclude=True)


def read_choice(value: Any, section: str, key: str, registry: Registry) -> Choice:
    """Reads ``name`` or ``{name: ..., parameter: ...}``.

    Args:
        value: The section as the configuration gives it.
        section: The section's path, for messages.
        key: The key that holds the name.
        registry: The registry that the name is looked up in.

    Raises:
        ConfigError: If the value has neither form, or a parameter is unknown or wrong.
        UnknownNameError: If the name is not registered.
    """
    if isinstance(value, str):
        value = {key: value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{section!r}: should be a name or a mapping with the key {key!r}, but it is {shown(value)}")
    if key not in value:
        near = near_name(key, map(str, value)) if value else ""
        raise ConfigError(f"'{section}.{key}' is missing{near if 'mean' in near else ''}")
    name = value[key]
    if not isinstance(name, str):
        raise ConfigError(f"'{section}.{key}': should be a name, but it is {shown(name)}")
    values = {str(k): v for k, v in value.items() if k != key}
    return Choice(name=registry.canonical(name), values=values, parameters=parse(registry.get(name).Parameters, values, section))
