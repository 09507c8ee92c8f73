"""The difference of two configurations in the settings that determine a run's journal (see `config.identity`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import CHOICES, INCIDENTAL, Config, settings

SHOWN = 60


def difference(there: Config, here: Config) -> str | None:
    """Returns the first key that differs, as ``'budget.evaluations' is 40 there and 60 here``; None if no key differs."""
    found = _first(_decisive(there), _decisive(here))
    if found is None:
        return None
    path, before, now = found
    return f"{path!r} is {_written(before)} there and {_written(now)} here"


def _decisive(config: Config) -> dict[str, Any]:
    """Returns the settings of the identity by their keys in the configuration, each name before its parameters."""
    chosen = {key: value for key, value in settings(config).items() if key not in INCIDENTAL}
    for section in CHOICES.keys() & chosen.keys():
        values = {key: value for key, value in chosen[section].items() if key not in ("name", "version")}
        chosen[section] = {CHOICES[section]: chosen[section]["name"], **values}
    fitness = dict(chosen["fitness"])
    proxies, metrics = (
        {name: {key: value for key, value in values.items() if key != "version"} for name, values in fitness.pop(kind, {}).items()}
        for kind in ("proxies", "metrics")
    )
    limits = dict(fitness.pop("constraints", {}))
    bounds = {
        limit["metric"]: {"min": limit["minimum"], "max": limit["maximum"], **metrics.get(limit["metric"], {})}
        for limit in limits.pop("limits", ())
    }
    return {**chosen, "fitness": {"proxies": proxies, **fitness, "constraints": {**bounds, **limits}}} | {
        # The order of proxies is the order of scores in the journal.
        "fitness.proxies": list(config.fitness.proxies)
    }


def _first(there: Mapping[str, Any], here: Mapping[str, Any], path: str = "") -> tuple[str, Any, Any] | None:
    for key in {**there, **here}:
        before, now = there.get(key), here.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found = _first(before, now, f"{path}{key}.")
            if found is not None:
                return found
        elif before != now:
            return f"{path}{key}", before, now
    return None


def _written(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return "set"
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
