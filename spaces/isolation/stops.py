"""Stop signals during a wait in which nothing is being measured.

A search looks at stop signals after each evaluation. What waits without an evaluation, such as for the first worker of a cluster,
calls `check_stop` from time to time. Signals belong to the whole process, so this does, too.
"""

from __future__ import annotations

from collections.abc import Callable

_check: Callable[[], None] | None = None


def watch_stops(check: Callable[[], None] | None) -> None:
    """Sets the function that raises if a stop signal has arrived; None if signals are not watched."""
    global _check
    _check = check


def check_stop() -> None:
    """Raises the exception of a stop signal that has arrived; does nothing if signals are not watched."""
    if _check is not None:
        _check()
