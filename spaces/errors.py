"""The exceptions that a user can meet, each also a child of the builtin that it refines.

A message says what came, what was expected and the way out, in one or two lines; the command line prints it without a
traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RbflexEvoError(Exception):
    """Base of every error that the package raises on purpose."""


class ConfigError(RbflexEvoError, ValueError):
    """A configuration, an option or a parameter is wrong."""


class UnknownNameError(RbflexEvoError, LookupError):
    """A name is not registered."""


class PluginError(RbflexEvoError, ImportError):
    """What another package registers cannot be used."""


class GenotypeError(RbflexEvoError, ValueError):
    """A genotype or its notation does not belong to the search space."""


class DataError(RbflexEvoError, ValueError):
    """Inputs are missing, unreadable or too few."""


class TableError(RbflexEvoError, ValueError):
    """A table of known accuracies is missing, unreadable or of another space."""


class RunError(RbflexEvoError, ValueError):
    """A run folder cannot be written, is damaged or belongs to another configuration."""


class DeviceError(RbflexEvoError, ValueError):
    """The device asked for is not there."""


def near_name(name: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest known name, or the list of known names if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def reason(error: Exception) -> str:
    """Returns another library's error as one short line, for messages that name their cause."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
