"""Registries of the components that a configuration can name, built in or from the entry points of other packages.

A built-in component is registered as ``"module:attribute"``, so that listing names or rejecting an unknown one imports no heavy
library. Other packages register theirs under the entry point group ``rbflex_evo.<kind>``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import PluginError, UnknownNameError, near_name, reason, shown

PLURALS = {"proxy": "proxies", "strategy": "strategies", "data source": "data_sources", "device table": "device_tables"}


class Registry:
    """Lazily imported components of one kind, by name.

    Args:
        kind: Kind of the components: "space", "proxy", "strategy", "table", ...
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.group = f"rbflex_evo.{PLURALS.get(kind, f'{kind}s')}"
        self._known: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}

    def register(self, name: str, target: Any) -> None:
        """Registers a component.

        A class that was defined again, as where a cell of a notebook is run again, takes the place of the earlier one.

        Args:
            name: Name of the component in configurations.
            target: The component itself, or ``"module:attribute"``.

        Raises:
            ValueError: If the name is already registered for another component.
        """
        if name in self._known and not _same(self._known[name], target):
            raise ValueError(f"{self.kind} {name!r} is already registered as {self._known[name]!r}")
        self._known[name] = target

    def alias(self, alias: str, name: str) -> None:
        """Registers another name of the field for the component `name`; a component that has that name itself comes first."""
        self._aliases[alias] = name

    def aliases(self, name: str) -> list[str]:
        """Returns the aliases of a component, sorted."""
        return sorted(alias for alias, of in self._aliases.items() if of == name)

    def canonical(self, name: str) -> str:
        """Returns the name that an alias stands for, and any other name as it is."""
        own = name in self._known or name not in self._aliases or name in self._from_others()
        return name if own else self._aliases[name]

    def names(self) -> list[str]:
        """Returns every known name, sorted, including those of other packages."""
        return sorted({*self._known, *self._from_others()})

    def get(self, name: str) -> Any:
        """Returns the component of that name or alias.

        Raises:
            UnknownNameError: If the name is unknown; the message contains the nearest known name.
            PluginError: If the component of another package cannot be loaded, or two components have the same name.
        """
        target = self._known.get(name)
        if target is not None and not isinstance(target, str):
            return target
        others = self._from_others().get(name, [])
        if len(others) + (target is not None) > 1:
            owners = ["rbflex-evo"] if target is not None else []
            owners += [_package(point) for point in others]
            raise PluginError(f"{self.kind} {name!r} is given by {' and by '.join(owners)}; rename one, or uninstall its package")
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            self._known[name] = getattr(import_module(module), attribute)
        elif others:
            self._known[name] = self._loaded(others[0])
        elif name in self._aliases:
            return self.get(self._aliases[name])
        else:
            raise UnknownNameError(f"unknown {self.kind} {shown(name)}{near_name(name, {*self.names(), *self._aliases})}")
        return self._known[name]

    def package_of(self, name: str) -> str | None:
        """Returns the name and version of the package that registers `name`, or None if it is built in or unknown."""
        others = self._from_others().get(name, [])
        return _package(others[0]) if others else None

    def _loaded(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # importing a module of another package may raise anything
            raise PluginError(
                f"{self.kind} {point.name!r} of {_package(point)} cannot be loaded from {point.value!r} "
                f"({reason(error)}); fix or uninstall that package"
            ) from error

    def _from_others(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            same = found.setdefault(point.name, [])
            # A package that is found twice, for example because its folder is also on the path, counts once.
            if all(point.value != other.value for other in same):
                same.append(point)
        return found


def _same(known: Any, target: Any) -> bool:
    """Returns whether two targets are one component, or two definitions of one class."""
    paths = [
        f"{each.__module__}:{each.__qualname__}" if isinstance(each, type) and "<" not in each.__qualname__ else each
        for each in (known, target)
    ]
    return bool(paths[0] == paths[1])


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
