"""Commands in forked child processes, whose imports are already made, and what their ends and their messages mean.

Importing torch takes seconds, a fork milliseconds. A child is the leader of a process group of its own, so that it and its
workers can be ended together.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .trials import Found, Outcome

LONGEST_MESSAGE = 1500
MOST_LINES = 8


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Exit code; negative for a signal; None if it hung and was killed.
        errors: What it wrote to the standard error.
    """

    code: int | None
    errors: str


class Child:
    """A forked process that runs `work` and exits with the code that it returns.

    Args:
        work: What the process does.
        folder: Folder for its output.
    """

    def __init__(self, work: Callable[[], int], folder: Path) -> None:
        self._errors = folder / "errors.txt"
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks in processes with threads
            self.pid = os.fork()
        if self.pid == 0:
            _run(work, folder / "output.txt", self._errors)
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)
        self._descriptor = os.pidfd_open(self.pid)

    def ended_within(self, seconds: float) -> bool:
        """Waits at most so long for the end of the process, and returns whether it has ended."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def kill(self) -> None:
        """Sends SIGKILL to the process alone, not to its workers."""
        os.kill(self.pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Returns the ids of the processes that the child started, Python's resource tracker aside."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [int(pid) for pid in children if not _is_tracker(pid)]
        return []

    def wait(self, seconds: float) -> Ended:
        """Waits for the end of the process, kills it after `seconds`, and ends what is left of its group."""
        ended = self.ended_within(seconds)
        # Not reaped yet, so that its id, which is that of the group, belongs to no other process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._descriptor)
        return Ended(os.waitstatus_to_exitcode(status) if ended else None, self._errors.read_text(errors="replace"))


def _is_tracker(pid: str) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _run(work: Callable[[], int], output: Path, errors: Path) -> NoReturn:
    code = 70
    try:
        os.setpgid(0, 0)
        os.environ["OMP_NUM_THREADS"] = "1"
        for path, number in ((Path(os.devnull), 0), (output, 1), (errors, 2)):
            descriptor = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run(work: Callable[[], int], folder: Path, seconds: float = 60) -> Ended:
    """Runs `work` in a child to its end."""
    return Child(work, folder).wait(seconds)


def command(*arguments: str) -> Callable[[], int]:
    """Returns the work of a command of the product."""

    def work() -> int:
        from rbflex_evo.engine.commands import app

        return app.run(list(arguments))

    return work


def calling(function: Callable[[], object]) -> Callable[[], int]:
    """Returns the work of a call, whose errors are printed as the command line prints them, with the place of a foreign one."""

    def work() -> int:
        from rbflex_evo.engine.commands.app import _print_warning
        from rbflex_evo.spaces import RbflexEvoError

        warnings.showwarning = _print_warning
        try:
            function()
        except RbflexEvoError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())
            print(f"failed: {type(error).__name__}: {text[:300]} (at {frame.filename}:{frame.lineno})", file=sys.stderr)
            return 1
        return 0

    return work


def problem(ended: Ended, allowed: Sequence[str] = ()) -> Found | None:
    """Returns what is wrong with an end, whatever its code, or None.

    Args:
        ended: The end.
        allowed: Names of exceptions of other libraries that may be named in one line, such as ``OSError``.
    """
    text = ended.errors.strip()
    last = text.rpartition("\n")[2]
    if ended.code is None:
        return Found(Outcome.HANG, last)
    if "Traceback (most recent call last)" in text:
        return Found(Outcome.TRACEBACK, text[-1500:])
    foreign = re.search(r"^failed: ([\w.]+): ", text, re.MULTILINE)
    if foreign and foreign[1] not in allowed:
        return Found(Outcome.TRACEBACK, text[-1500:])
    if ended.code < 0:
        return Found(Outcome.TRACEBACK, f"ended by signal {-ended.code}: {text[-300:]}")
    if ended.code and not clear(text):
        return Found(Outcome.UNCLEAR, f"exit code {ended.code}: {len(text)} characters: {text[:600]}")
    return None


def clear(text: str) -> bool:
    """Returns whether a text has a message of the product, and is short."""
    has_message = re.search(r"^(error|failed|warning): .", text, re.MULTILINE)
    return bool(has_message) and len(text) <= LONGEST_MESSAGE and text.count("\n") < MOST_LINES
