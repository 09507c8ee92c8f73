"""Other settings for a run that has begun: those of the machine, which do not change its journal."""

from __future__ import annotations

from collections.abc import Iterable

from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.errors import shown

from .config import Config, as_values, override, parse_config

CHANGEABLE = ("workers", "executor", "timeout", "micro_batch", "cache", "table")


def with_settings(config: Config, overrides: Iterable[str]) -> Config:
    """Returns the configuration of a run with other settings of the machine, each given as ``key.sub=value``.

    Raises:
        ConfigError: If a setting is unknown, wrong, or one that a run keeps.
        UnknownNameError: If a name is not registered.
    """
    values = as_values(config)
    for text in overrides:
        key = text.partition("=")[0].partition(".")[0].strip()
        if key in Config.model_fields and key not in CHANGEABLE:
            raise ConfigError(
                f"--set {shown(text)}: a run keeps its {key!r}, only {', '.join(CHANGEABLE)} may change when it is resumed"
                f"{'; another budget: --budget' if key == 'budget' else ''}"
            )
        override(values, text)
    return parse_config(values)
