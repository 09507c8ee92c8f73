"""Child processes that run calls for their parent. The death of one is noticed at once and leaves the others alone.

A call is sent through a socket of which the parent keeps only its own end, so a dead process is the end of the stream, at any
moment. Nothing large is passed when a process is started: its pipe would fill up, and a process that dies unread would block its
parent for ever. On Linux, processes are forked from a server that has imported torch, so that all but the first start in
milliseconds; it is a new process, so nothing of the parent is forked.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.util  # Registers its exit handler, which waits for processes, before ours, which kill them.
import os
import pickle
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

PACKAGE = "rbflex_evo"
# After the first process of a pool was ready, so many starts in a row may fail (memory) before the pool gives up.
STARTS = 3
# What a terminal or a scheduler sends to all processes of a run; the parent decides how the run ends.
STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class ProcessDied(Exception):
    """A process ended before it answered; the message is the cause: "signal 9, most likely memory" or "exit code 3"."""


class DiedAtStart(ProcessDied):
    """A process ended before it took its first call."""


class TookTooLong(Exception):
    """A process did not answer in time and was killed."""


class NotPortable(Exception):
    """Objects cannot be sent to another process, or another process cannot import their code."""


class _RemoteTraceback(Exception):
    """Shows the traceback of the process where an error was raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_have_children() -> bool:
    """Returns False in a daemonic process, such as one of a `multiprocessing.Pool`."""
    return not multiprocessing.current_process().daemon


class Processes:
    """Processes that are started when a call finds none idle; call it from as many threads as processes shall work.

    The processes ignore `STOPS` from their start and end with their parent, also if it is killed.

    Args:
        start: Function that each process calls first.
        arguments: Arguments of `start`.
        shared: More arguments, of a kind that only a starting process can inherit (shared memory).

    Attributes:
        peak_memory: Bytes that the largest of the processes held; 0 if unknown.

    Raises:
        NotPortable: If the arguments cannot be pickled.
    """

@contextlib.contextmanager
def _stops_waiting() -> Iterator[None]:
    """Blocks `STOPS` within the context, so that a process that is started inside never receives one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        # The tracker of semaphores outlives a signal to the group only if it starts with the signals blocked. Starting it
        # unblocks two of them here, so they are blocked again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, start: Callable[..., None], shared: tuple[Any, ...]) -> None:
    """Answers requests until the parent ends."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    variables, arguments = pickle.loads(connection.recv_bytes())
    os.environ.clear()
    os.environ.update(variables)
    connection.send_bytes(_answer(lambda: start(*_imported(arguments), *shared)))
    while True:
        try:
            request = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(lambda request=request: _called(request)))  # type: ignore[misc]


def _imported(arguments: bytes) -> Any:
    try:
        return pickle.loads(arguments)
    except Exception as error:
        raise NotPortable(f"{type(error).__name__}: {error}") from None


def _called(request: bytes) -> Any:
    function, arguments = pickle.loads(request)
    return function(*arguments)


def _answer(call: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps((True, call(), _peak_memory()))
    except Exception as error:
        text = traceback.format_exc()
        try:
            return pickle.dumps((False, (pickle.loads(pickle.dumps(error)), text), _peak_memory()))
        except Exception:
            # An error that cannot be sent; its name and message can.
            return pickle.dumps((False, (RuntimeError(f"{type(error).__name__}: {error}"), text), _peak_memory()))


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # The parent was killed, so no result is needed any more.
        os._exit(1)
