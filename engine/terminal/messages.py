"""Messages on standard error that never end what they tell about: it may be closed (a daemon), a broken pipe, or None (pythonw)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TypeVar

from rbflex_evo.spaces import RbflexEvoError
from rbflex_evo.spaces.errors import reason

T = TypeVar("T")


def say(text: object) -> None:
    """Writes a line to standard error, or nothing if that is closed."""
    # print(file=None) would write to standard output, which may hold JSON.
    if sys.stderr is not None:
        # RuntimeError: a signal handler that prints while its program prints.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            print(text, file=sys.stderr, flush=True)


def attempt(what: str, way_out: str, make: Callable[[], T]) -> T | None:
    """Returns what `make` returns; if it fails, says so and how to get it later, and returns None.

    For what decorates a result that is complete without it.

    Args:
        what: What is made, such as ``report``.
        way_out: What gets it later, such as a command.
        make: Makes it.
    """
    try:
        return make()
    except Exception as error:
        why = str(error) if isinstance(error, RbflexEvoError) else reason(error)
        say(f"no {what}: {why}\nonce that is solved, get it with: {way_out}")
        return None


def on_terminal() -> bool:
    """True if standard error is an open terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (OSError, ValueError):
        return False
