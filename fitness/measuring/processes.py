"""Pool of processes that ignore Ctrl-C and end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import resource_tracker
from typing import Any


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(ProcessPoolExecutor):
    """Pool of spawned processes that ignore Ctrl-C from their start and end with their parent, also if it is killed.

    Args:
        count: Largest number of processes; a process is started when a call finds none idle.
        start: Function that each process calls first.
        arguments: Arguments of `start`.
    """

    def __init__(self, count: int, start: Callable[..., None], *arguments: Any) -> None:
        super().__init__(count, multiprocessing.get_context("spawn"), _start_process, (start, arguments))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedules a call and returns its future, as `concurrent.futures.Executor.submit`."""
        with _interrupts_waiting():
            return super().submit(fn, *args, **kwargs)


@contextlib.contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Blocks SIGINT within the context, so that a process that is started inside never receives it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Otherwise the tracker would start with the first process and unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
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
