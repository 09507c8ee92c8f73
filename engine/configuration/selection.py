"""The choice of a registered thing in a configuration: its name and its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rbflex_evo.spaces import ConfigError, Parameters, near_name

# What names a folder: a run, or a contender of a comparison.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")
NAME_RULE = "ASCII letters (a to z) and digits, and after the first one also spaces and any of . _ -"


class Choice(Parameters):
    """A registered name and the parameters given to it."""

    name: str
    values: dict[str, Any] = Field(default_factory=dict)


def read_choice(value: Any, section: str, key: str) -> Choice:
    """Reads ``name`` or ``{name: ..., parameter: ...}``.

    Raises:
        ConfigError: if it is neither.
    """
    if isinstance(value, str):
        value = {key: value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{section!r}: should be a name or a mapping with the key {key!r}, but it is {value!r}")
    if key not in value:
        near = near_name(key, map(str, value)) if value else ""
        raise ConfigError(f"'{section}.{key}' is missing{near if 'mean' in near else ''}")
    if not isinstance(value[key], str):
        raise ConfigError(f"'{section}.{key}': should be a name, but it is {value[key]!r}")
    return Choice(name=value[key], values={str(k): v for k, v in value.items() if k != key})
