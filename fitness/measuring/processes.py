"""Pool of processes that ignore stop signals and end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Ctrl-C and what schedulers send reaches every process of a group, but only the parent stops in order. Windows lacks some.
STOPS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)}


class _Process(SpawnProcess):
    """Process that does not receive SIGTERM, so it is killed instead."""

    def terminate(self) -> None:
        """Kills the process."""
        self.kill()


class _Context(SpawnContext):
    """Context of processes whose stop signals are blocked."""

    Process = _Process


class Processes(ProcessPoolExecutor):
    """Pool of spawned processes that ignore stop signals from their start and end with their parent, also if it is killed.

    Args:
        count: Largest number of processes; a process is started when a call finds none idle.
        start: Function that each process calls first.
        arguments: Arguments of `start`.
    """

    def __init__(self, count: int, start: Callable[..., None], *arguments: Any) -> None:
        with signals_waiting():
            super().__init__(count, _Context(), _start_process, (start, arguments))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedules a call and returns its future, as `concurrent.futures.Executor.submit`."""
        with signals_waiting():
            return super().submit(fn, *args, **kwargs)


@contextlib.contextmanager
def signals_waiting() -> Iterator[None]:
    """Blocks stop signals within the context, so that a process that is started inside never receives one."""
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


def _start_process(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # The parent was killed, so no result is needed any more.
        os._exit(1)
