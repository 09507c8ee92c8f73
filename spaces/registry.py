"""Names to things: what a configuration may name, from this package and from others through entry points.

A built-in is registered as ``"module:attribute"`` so that listing names or rejecting a wrong one imports nothing heavy.
Another package adds its own under the group ``rbflex_evo.<kind>`` of its entry points.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import PluginError, UnknownNameError, near_name, reason

PLURALS = {"proxy": "proxies", "strategy": "strategies", "data source": "data_sources"}


class Registry:
    """A named set of lazily imported things of one kind ("space", "proxy", "strategy", "table")."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.group = f"rbflex_evo.{PLURALS.get(kind, f'{kind}s')}"
        self._known: dict[str, Any] = {}

    def register(self, name: str, target: Any) -> None:
        """Registers `target`, an object or ``"module:attribute"``.

        Raises:
            ValueError: if the name is taken by something else.
        """
        if name in self._known and self._known[name] != target:
            raise ValueError(f"{self.kind} {name!r} is already registered as {self._known[name]!r}")
        self._known[name] = target

    def names(self) -> list[str]:
        """Returns every known name, sorted, those of other packages included."""
        return sorted({*self._known, *self._from_others()})

    def get(self, name: str) -> Any:
        """Returns the thing of that name.

        Raises:
            UnknownNameError: naming the nearest known name.
            PluginError: if another package's thing cannot be loaded, or two have the same name.
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
        else:
            raise UnknownNameError(f"unknown {self.kind} {name!r}{near_name(name, self.names())}")
        return self._known[name]

    def package_of(self, name: str) -> str | None:
        """Returns the name and version of the other package that gives `name`, None where it is built in or unknown."""
        others = self._from_others().get(name, [])
        return _package(others[0]) if others else None

    def _loaded(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # whatever another package's modules do when they are imported
            raise PluginError(
                f"{self.kind} {point.name!r} of {_package(point)} cannot be loaded from {point.value!r} "
                f"({reason(error)}); mend or uninstall that package"
            ) from error

    def _from_others(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            same = found.setdefault(point.name, [])
            # A package that is installed twice, as in a folder that is also on the path, is one.
            if all(point.value != other.value for other in same):
                same.append(point)
        return found


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
