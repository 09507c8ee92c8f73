"""``list spaces|proxies|...``: what a configuration may name, with sizes, parameters and defaults."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from rbflex_evo.engine.terminal.messages import say
from rbflex_evo.engine.terminal.wording import sized
from rbflex_evo.spaces import SPACES, TABLES, ConfigError, PluginError, Registry
from rbflex_evo.spaces.errors import reason

from .devices import device_costs, device_kinds, print_costs, print_kinds
from .options import AsJson


class Listed(str, Enum):
    """What can be listed."""

    spaces = "spaces"
    proxies = "proxies"
    presets = "presets"
    metrics = "metrics"
    devices = "devices"
    strategies = "strategies"
    tables = "tables"
    sources = "sources"
    executors = "executors"


def list_known(
    kind: Annotated[Listed, typer.Argument(help="What to list; sources are those of the inputs.")],
    space: Annotated[str | None, typer.Argument(metavar="[SPACE]", help="For devices: the space.")] = None,
    path: Annotated[Path | None, typer.Option("--path", metavar="FILE", help="For devices: a file of their costs.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the names that a configuration may use."""
    if kind is Listed.devices:
        _list_devices(space, path, as_json)
        return
    if space is not None or path is not None:
        raise ConfigError(f"a space and --path are for 'list devices', but {kind.value!r} are listed; leave them out")
    entries = []
    for name in registry_of(kind).names():
        try:
            entries.append(_described(kind, name))
        except PluginError as error:
            say(f"warning: {error}")
    if as_json:
        print(json.dumps(entries, ensure_ascii=False))
        return
    for entry in entries:
        note = f" [{sized(entry['size'])} genotypes]" if entry.get("size") else f" [{entry['cost']}]" if "cost" in entry else ""
        note += f" ({entry['package']})" if "package" in entry else ""
        print(f"{entry['name']}{note}: {entry['description']}" if entry["description"] else entry["name"] + note)
        if kind is Listed.presets:
            print(f"    {entry['rule']}: {', '.join(entry['members'])}")
        if entry.get("features") == "none":
            print("    the last features are round-off in many networks: rbflex scores by activations alone")
        if entry.get("aliases"):
            print(f"    also called {', '.join(entry['aliases'])}")
        for name, default in entry["parameters"].items():
            print(f"    {name}: {'needed' if default == NEEDED else json.dumps(default, ensure_ascii=False)}")
        if kind is Listed.strategies and "rule" in entry:
            print(f"    in a run, where they are left out: {entry['rule']}")


def _list_devices(space: str | None, path: Path | None, as_json: bool) -> None:
    if path is not None and space is None:
        raise ConfigError("--path needs the space of the file, as in 'list devices nats_tss --path FILE'")
    entries = device_kinds(space) if path is None or space is None else device_costs(space, path)
    if as_json:
        print(json.dumps(entries, ensure_ascii=False))
    else:
        (print_kinds if path is None else print_costs)(entries)


NEEDED = "(needed)"


def registry_of(kind: Listed) -> Registry:
    """Returns the registry of that kind."""
    from rbflex_evo.fitness import METRICS, PROXIES
    from rbflex_evo.fitness.data.batch import sources
    from rbflex_evo.fitness.measuring.executors.executor import EXECUTORS
    from rbflex_evo.fitness.objective.presets import PRESETS
    from rbflex_evo.spaces.tables.device_table import DEVICE_TABLES
    from rbflex_evo.strategies import STRATEGIES

    registries = {"spaces": SPACES, "tables": TABLES, "proxies": PROXIES, "presets": PRESETS, "metrics": METRICS}
    registries |= {"strategies": STRATEGIES, "sources": sources, "executors": EXECUTORS, "devices": DEVICE_TABLES}
    return registries[kind.value]


def _described(kind: Listed, name: str) -> dict[str, Any]:
    """Returns `describe`'s facts and, where another package gives the thing, which one; what it gets wrong is said, not raised."""
    package = registry_of(kind).package_of(name)
    if package is None:
        return describe(kind, name)
    try:
        return {**describe(kind, name), "package": package}
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"{name!r} of {package} cannot be described ({reason(error)}); run rbflex-evo check {name}") from error


def describe(kind: Listed, name: str) -> dict[str, Any]:
    """Returns name, description, parameters with defaults and what else its kind has to tell, as JSON data."""
    thing = registry_of(kind).get(name)
    if kind is Listed.presets:
        entry = {"name": name, "description": thing.description, "parameters": dict(thing.parameters)}
        return {**entry, "members": list(thing.members), "rule": thing.rule, "weights": list(thing.weights)}
    entry = {
        "name": name,
        "description": getattr(thing, "description", "") or _first_line(thing.__doc__),
        "parameters": _defaults(thing.Parameters),
    }
    if kind is Listed.spaces:
        entry["aliases"] = SPACES.aliases(name)
        entry["size"] = None if NEEDED in entry["parameters"].values() else thing().encoding.size
        entry["features"] = thing.features
    if kind is Listed.proxies:
        entry["cost"] = thing.cost
    if kind is Listed.strategies and thing.default_rule:
        entry["rule"] = thing.default_rule
    return entry


def _defaults(parameters: type[BaseModel]) -> dict[str, Any]:
    fields = parameters.model_fields
    settable = {field.alias or name: field for name, field in fields.items() if not field.exclude}
    defaults = {n: NEEDED if f.is_required() else f.get_default(call_default_factory=True) for n, f in settable.items()}
    return {name: to_jsonable_python(default) for name, default in defaults.items()}


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
