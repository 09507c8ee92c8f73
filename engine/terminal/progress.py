"""Progress of a run on stderr: a bar on a terminal, otherwise a plain line every 30 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .messages import on_terminal, say
from .wording import duration

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_BESTS = 0.5
LARGEST_SHARE_OF_BESTS = 0.02


class Progress:
    """Progress of a long task.

    Args:
        title: Name of the task.
        total: Number of steps; None if it is unknown.
        initial: Number of steps done in an earlier session.
        unit: Name of one step.
        shown: Whether anything is shown.
    """

    def __init__(self, title: str, total: int | None, *, initial: int = 0, unit: str = "evaluation", shown: bool = True) -> None:
        self.title, self.total, self.unit = title, total, unit
        self._shown = shown
        self._done = self._initial = initial
        self._started = self._last_line = time.monotonic()
        self._next_note = float("-inf")
        self._bar: Any = None
        # If the number of steps is unknown, the bar appears with the first step: there may be none.
        if total is not None:
            self._open()

    def advance(self, note: Callable[[], str] | None = None) -> None:
        """Takes one step; `note` is called now and then for the text behind the bar."""
        self._done += 1
        if not self._shown:
            return
        if self._bar is None:
            self._open()
        now = time.monotonic()
        if self._bar is not None:
            if note is not None and now >= self._next_note:
                self._bar.set_postfix_str(note(), refresh=False)
                # The best of many takes long to find, and is looked for the less often.
                took = time.monotonic() - now
                self._next_note = now + max(SECONDS_BETWEEN_BESTS, took / LARGEST_SHARE_OF_BESTS)
            self._bar.update()
        elif now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._print(note() if note is not None else "", now)

    def to(self, done: int, total: int) -> None:
        """Moves to step `done` of `total`."""
        self.total = total
        if self._bar is not None:
            self._bar.total = total
            self._bar.refresh()
        while self._done < done:
            self.advance()

    def _open(self) -> None:
        if not self._shown or not on_terminal():
            return
        from tqdm import tqdm

        self._bar = tqdm(
            total=self.total,
            initial=self._initial,
            desc=self.title,
            unit=f" {self.unit}s",
            file=sys.stderr,
            dynamic_ncols=True,
        )

    def _print(self, note: str, now: float) -> None:
        of = f" of {self.total}" if self.total is not None else ""
        rate = (self._done - self._initial) / max(now - self._started, 1e-9)
        parts = [f"{self.title}: {self._done}{of} {self.unit}s", f"{rate:.3g}/s"]
        if self.total is not None and 0 < self._done < self.total:
            parts.append(f"{duration((self.total - self._done) / max(rate, 1e-9))} left")
        parts += [note] if note else []
        say(", ".join(parts))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
