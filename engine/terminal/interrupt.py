"""Ctrl-C that saves: the first one asks the search to stop after the current evaluation, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A search was stopped by Ctrl-C after saving; the message says how to resume it."""


class Interrupt:
    """Context in which the first Ctrl-C sets `requested`.

    Does nothing outside the main thread, or if the program has its own handler of Ctrl-C.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def check(self, *_: Any) -> None:
        """Raises Interrupted if Ctrl-C was pressed."""
        if self.requested:
            raise Interrupted("stopped by Ctrl-C")

    def __enter__(self) -> Interrupt:
        mine = threading.current_thread() is threading.main_thread()
        if mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._first)
            self._installed = True
        return self

    def __exit__(self, *exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _first(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this evaluation; Ctrl-C again stops at once", file=sys.stderr, flush=True)
