"""Exceptions that the package raises on purpose, each also a subclass of the builtin exception that it refines.

A message states in one or two lines what was given, what was expected and how to fix it. The command line prints it without a
traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RbflexEvoError(Exception):
    """Base class of every error that the package raises on purpose."""


class ConfigError(RbflexEvoError, ValueError):
    """A configuration, an option or a parameter is invalid."""


class UnknownNameError(RbflexEvoError, LookupError):
    """A name is not registered."""


class PluginError(RbflexEvoError, ImportError):
    """An entry point of another package cannot be used."""


class GenotypeError(RbflexEvoError, ValueError):
    """A genotype or its notation does not belong to the search space."""


class DataError(RbflexEvoError, ValueError):
    """Input data are missing, unreadable or too few."""


class TableError(RbflexEvoError, ValueError):
    """A table of known accuracies is missing, unreadable or belongs to another space."""


class RunError(RbflexEvoError, ValueError):
    """A run folder cannot be written, is damaged or belongs to another configuration."""


class DeviceError(RbflexEvoError, ValueError):
    """The requested device is not available."""


class NotationWarning(UserWarning):
    """A notation of another project was read in one of several ways; the message says in which."""


# Most characters of a value that a message repeats.
SHOWN = 120
# Most names that a message lists.
LISTED = 50


def shown(value: object, most: int = SHOWN) -> str:
    """Returns a value as it stands in messages: in quotes, on one line, and cut with its length if it is long.

    Args:
        value: The value that came.
        most: Most characters that are shown.
    """
    if isinstance(value, str | bytes) and len(value) > most:
        return f"{value[:most]!r}... ({len(value):,} {'characters' if isinstance(value, str) else 'bytes'})"
    text = repr(value)
    return text if len(text) <= most + 2 else f"{text[:most]}... ({len(text):,} characters)"


def near_name(name: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest known name, or the list of known names if none is near."""
    names = sorted(known)
    given = str(name)[:SHOWN]
    near = [one for text in (given, given.lower()) for one in difflib.get_close_matches(text, names, n=1, cutoff=0.6)]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {listed(names)}" if names else ""


def listed(names: Iterable[str]) -> str:
    """Returns names as they stand in messages: separated by commas, each cut if it is long, and at most `LISTED` of them."""
    every = [name if len(name) <= SHOWN else f"{name[: SHOWN // 2]}..." for name in names]
    return ", ".join(every[:LISTED]) + (f" and {len(every) - LISTED:,} more" if len(every) > LISTED else "")


def reason(error: Exception) -> str:
    """Returns the error of another library as one short line, for messages that state their cause."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
