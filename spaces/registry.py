"""Names to things: what a configuration may name, from this package and from others through entry points.

A built-in is registered as ``"module:attribute"`` so that listing names or rejecting a wrong one imports nothing heavy.
Another package adds its own under the group ``rbflex_evo.<kind>`` of its entry points.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from .errors import UnknownNameError, near_name

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
        """
        if name in self._known:
            target = self._known[name]
            if isinstance(target, str):
                module, _, attribute = target.partition(":")
                target = getattr(import_module(module), attribute)
                self._known[name] = target
            return target
        others = self._from_others()
        if name in others:
            self._known[name] = others[name].load()
            return self._known[name]
        raise UnknownNameError(f"unknown {self.kind} {name!r}{near_name(name, self.names())}")

    def _from_others(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self.group)}
