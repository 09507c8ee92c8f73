"""``check NAME...``: the conformance kit for plug-in authors, run on registered names."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

import typer

from rbflex_evo.engine.configuration.config import override
from rbflex_evo.spaces import SPACES, TABLES, ConfigError, Registry, UnknownNameError, create_space, near_name
from rbflex_evo.spaces.errors import shown

from .options import AsJson


class Checked(str, Enum):
    """What can be checked."""

    space = "space"
    proxy = "proxy"
    strategy = "strategy"
    table = "table"
    source = "source"


SOUND = {
    Checked.space: "operators of its encoding, notation, keys, drawing, networks, costs and weights",
    Checked.proxy: "statistics, score, cache, candidates in one batch, labels, images, gradients and parameters",
    Checked.strategy: "proposals, seed, state, failures, ties, exhaustion, constraints, open spaces and generations",
    Checked.table: "accuracies, notations, lookups, another space and, where it reads a file, wrong ones",
    Checked.source: "inputs, labels, number, seed and, where it reads files, missing ones",
}


def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Registered names of spaces, scores, strategies, ...")],
    kind: Annotated[Checked | None, typer.Option("--kind", help="Needed if a name is registered in several kinds.")] = None,
    space: Annotated[str | None, typer.Option("--space", help="For a table its space; for a score the one to try it on.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME.KEY=VALUE", help="Set a parameter of what is checked. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a registered name keeps its contract.

    If it does not, the message says what to fix, and the exit code is 1.
    """
    values = _values_of([*names, *([space] if space else [])], set_ or [])
    found = [(one, name) for name in names for one in _kinds_of(name, kind)]
    from rbflex_evo.engine.conformance import CheckFailed

    results: list[dict[str, Any]] = []
    for one, name in found:
        failure = None
        try:
            _checker(one, name, space, values)()
        except CheckFailed as failed:
            failure = str(failed)
        results.append({"kind": one.value, "name": name, "passed": failure is None, "failure": failure})
        if not as_json:
            print(f"{one.value:<8} {name}  " + (f"failed: {failure}" if failure else f"passed: {SOUND[one]}"), flush=True)
    if as_json:
        print(json.dumps(results, ensure_ascii=False))
    if not all(result["passed"] for result in results):
        raise typer.Exit(1)


def _values_of(names: list[str], overrides: list[str]) -> dict[str, dict[str, Any]]:
    """Returns the parameters that are set, by name."""
    values: dict[str, Any] = {}
    for text in overrides:
        override(values, text)
        name, dot, _ = text.partition("=")[0].partition(".")
        if not dot or name not in names:
            near = near_name(name, names)
            raise ConfigError(f"--set takes NAME.KEY=VALUE with a NAME that is checked, but it is {shown(text)}{near}")
    return values


def _registries() -> dict[Checked, Registry]:
    from rbflex_evo.fitness import PROXIES
    from rbflex_evo.fitness.data.batch import sources
    from rbflex_evo.strategies import STRATEGIES

    return dict(zip(Checked, (SPACES, PROXIES, STRATEGIES, TABLES, sources), strict=True))


def _kinds_of(name: str, kind: Checked | None) -> list[Checked]:
    registries = _registries() if kind is None else {kind: _registries()[kind]}
    kinds = [one for one, registry in registries.items() if name in registry.names()]
    if not kinds:
        known = {known for registry in registries.values() for known in registry.names()}
        raise UnknownNameError(f"nothing to check is registered as {name!r}{near_name(name, known)}")
    return kinds


def _checker(kind: Checked, name: str, space: str | None, values: dict[str, dict[str, Any]]) -> Callable[[], None]:
    """Returns the check of one thing, which may have been given parameters."""
    from rbflex_evo.engine import conformance

    given = values.get(name, {})
    on = None if space is None else create_space(space, **values.get(space, {}))
    thing = _registries()[kind].get(name)
    own = getattr(thing, "name", None)
    if own != name:
        what = getattr(thing, "__name__", repr(thing))
        raise conformance.CheckFailed(f"{what}.name is {own!r}, but it is registered as {name!r}; give both the same name")
    if kind is Checked.space:
        return lambda: conformance.check_space(create_space(name, **given))
    if kind is Checked.strategy:
        return lambda: conformance.check_strategy(name, **given)
    if kind is Checked.source:
        return lambda: conformance.check_source(name, **given)
    if kind is Checked.table:
        if on is None:
            raise ConfigError(f"table {name!r} is checked with the space that it belongs to; give --space NAME")
        return lambda: conformance.check_table(name, on, **given)
    from rbflex_evo.fitness import create_proxy

    return lambda: conformance.check_proxy(create_proxy(name, **given), None if on is None else [on])
