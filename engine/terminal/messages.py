"""Messages on standard error that never end what they tell about: it may be closed (a daemon), a broken pipe, or None (pythonw)."""

from __future__ import annotations

import contextlib
import sys


def say(text: object) -> None:
    """Writes a line to standard error, or nothing if that is closed."""
    # print(file=None) would write to standard output, which may hold JSON.
    if sys.stderr is not None:
        # RuntimeError: a signal handler that prints while its program prints.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            print(text, file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """True if standard error is an open terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except (OSError, ValueError):
        return False
