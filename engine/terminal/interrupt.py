"""Signals that save: the first one asks for a stop after the current evaluation, a second Ctrl-C stops at once.

    signal                     exception of the search       exit code
    SIGINT (Ctrl-C)            Interrupted                   130
    SIGTERM, SIGUSR1, SIGHUP   Stopped                       143, 138, 129

Schedulers send SIGTERM or SIGUSR1 before the time of a job is over, and terminals SIGHUP when they close. A signal that is ignored,
as SIGHUP under nohup, or for which the program has its own handler, keeps its meaning.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

from rbflex_evo.spaces.isolation.stops import watch_stops

from .messages import say

# Windows lacks some of them.
OTHERS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A search was stopped by Ctrl-C after saving; the message says how to resume it.

    Attributes:
        code: Exit code of a program that ends because of it.
    """

    code = 128 + signal.SIGINT


class Stopped(SystemExit):
    """A search was stopped by another signal after saving; a program that does not catch it ends with the code of the signal.

    Args:
        message: How many evaluations are saved and how to resume.
        number: Number of the signal.

    Attributes:
        signal: The signal.
        code: Exit code, 128 + the number of the signal.
    """

    code: int

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.signal = signal.Signals(number)
        self.code = 128 + number

    def __str__(self) -> str:
        return str(self.args[0])


STOPS = (Interrupted, Stopped)
"""The exceptions of a stop by a signal, for `except`."""


class Interrupt:
    """Context in which the first stop signal sets `requested`.

    Does nothing outside the main thread. A context within another one shares its signals: ``with Interrupt() as interrupt`` gives
    the outer one. The last one that ends restores the handlers.

    Attributes:
        requested: Whether a stop signal arrived.
    """

    _active: ClassVar[Interrupt | None] = None

    def __init__(self) -> None:
        self.requested = False
        self._number: int = signal.SIGINT
        self._saving = False
        self._before: dict[int, Any] = {}
        self._depth = 0
        self._outermost = self

    def check(self) -> None:
        """Raises Interrupted or Stopped if a stop signal arrived."""
        if self.requested:
            raise self.stop(f"stopped by {signal.Signals(self._number).name}")

    def after(self, step: Callable[..., None]) -> Callable[..., None]:
        """Returns a function that takes the step and then raises Interrupted or Stopped if a stop signal arrived."""

        def stepped(*arguments: Any) -> None:
            step(*arguments)
            self.check()

        return stepped

    def stop(self, message: str) -> Interrupted | Stopped:
        """Returns the exception of the signal that arrived."""
        return Interrupted(message) if self._number == signal.SIGINT else Stopped(message, self._number)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Context in which a second signal is ignored, so that it does not cut what is being saved."""
        before, self._saving = self._saving, True
        try:
            yield
        finally:
            self._saving = before

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._outermost = Interrupt._active or self
            self._outermost._depth += 1
            if self._outermost is self:
                self._install()
        return self._outermost

    def __exit__(self, *exception: object) -> None:
        outermost = self._outermost
        outermost._depth -= 1
        if outermost is Interrupt._active and not outermost._depth:
            Interrupt._active = None
            watch_stops(None)
            for number, handler in outermost._before.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        Interrupt._active = self
        watch_stops(self.check)
        defaults = {signal.SIGINT: signal.default_int_handler, **dict.fromkeys(OTHERS, signal.SIG_DFL)}
        for number, default in defaults.items():
            if signal.getsignal(number) is default:
                self._before[number] = signal.signal(number, self._arrived)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._number = True, number
            again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
            say(f"\n{signal.Signals(number).name}: stopping after this evaluation{again}")
        elif number == signal.SIGINT and not self._saving:
            raise KeyboardInterrupt
