"""A pool of processes that a terminal's Ctrl-C does not reach and that never outlives its parent."""

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
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes(ProcessPoolExecutor):
    """Spawned processes that leave Ctrl-C to the parent from their first moment, and end when it does, however it ends.

    Args:
        count: of processes at most; each starts with the first call that finds none idle.
        start: what each calls first, with `arguments`.
    """

    def __init__(self, count: int, start: Callable[..., None], *arguments: Any) -> None:
        super().__init__(count, multiprocessing.get_context("spawn"), _start_process, (start, arguments))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As that of every executor."""
        with _interrupts_waiting():
            return super().submit(fn, *args, **kwargs)


@contextlib.contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Lets a Ctrl-C wait until this is over; a process that starts inside never sees one, not even before it can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The tracker starts with the first process otherwise, and unblocks signals when it does.
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
        # The parent was killed: nobody waits for a result any more.
        os._exit(1)
