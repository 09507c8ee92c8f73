"""Start of child processes that ignore what stops their parent, and end with it.

On Linux, processes are forked in milliseconds from a server: a spawned process that has imported this program and torch. Nothing
of this process itself is forked. Elsewhere, and for accelerators, which a fork does not survive, each process is spawned.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import importlib
import multiprocessing
import multiprocessing.util  # Registers its exit handler, which waits for processes, before ours, which kill them.
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import reduction, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Protocol

PACKAGE = "rbflex_evo"
# What a terminal or a scheduler sends to all processes of a run; the parent decides how the run ends.
STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


# Exit code of a process that has no memory for its own work, apart from that of a candidate.
NO_MEMORY = 71


class StartFailed(Exception):
    """A process could not be started; the message is the cause."""


class Child(Protocol):
    """A process that was started.

    Attributes:
        pid: Its number.
    """

    pid: int

    def kill(self) -> None:
        """Kills the process."""

    def end(self, wait: float = 0.0) -> int | None:
        """Kills the process if it does not end in so many seconds, and returns its exit code, negative for a signal."""


class Spawned:
    """A spawned process. It does not run the main program again, which may have no guard.

    Args:
        target: Function of a module that the process calls.
        arguments: Its arguments; small, because a process that dies before it reads them would block its parent for ever.
        grace: Seconds that it has to end by itself when this process ends.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any, grace: float = 0.0) -> None:
        # Not daemonic, because the code of a space may have children of its own.
        self._process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
        with _exclusive, _stops_waiting(), _without_main_program():
            self._process.start()
        self.pid = self._process.pid or 0
        atexit.register(self._end_at_exit)
        self._grace = grace

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()

    def end(self, wait: float = 0.0) -> int | None:
        """Kills the process if it does not end in so many seconds, and returns its exit code, negative for a signal."""
        # A start waits for all processes, and two threads would take an exit code from each other.
        with _exclusive:
            self._process.join(wait)
            self._process.kill()
            self._process.join()
        atexit.unregister(self._end_at_exit)
        return self._process.exitcode

    def _end_at_exit(self) -> None:
        if self._grace:
            self._process.join(self._grace)
        self._process.kill()


_exclusive = threading.Lock()


def started(target: Callable[..., None], connection: Connection, argument: Any, *, forked: bool) -> Child:
    """Starts a process that calls a function of a module of this package with its end of a connection and one argument.

    Args:
        target: The function.
        connection: The end of the connection; the caller closes it.
        argument: The argument, small.
        forked: Whether the process may be forked from the server, if this is Linux.

    Raises:
        StartFailed: If the server died.
    """
    if forked and sys.platform == "linux":
        return _Forked(target, connection, argument)
    return Spawned(target, connection, argument)


class _Forked:
    def __init__(self, target: Callable[..., None], connection: Connection, argument: Any) -> None:
        self._server = _running_server()
        self.pid: int = self._server.ask((target, argument), connection)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self, wait: float = 0.0) -> int | None:
        try:
            code: int | None = self._server.ask((self.pid, wait))
        except StartFailed:
            # Without its server, the process ends by itself.
            return None
        return code


class _Server:
    """The process that forks others, and the connection to it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.died = False
        self._lock = threading.Lock()
        self._connection, theirs = multiprocessing.Pipe()
        try:
            self._process = Spawned(_serve_forks, theirs, [*loaded_modules(), *_wanted])
        finally:
            theirs.close()
        self._answer()

    def ask(self, request: Any, handed: Connection | None = None) -> Any:
        with self._lock:
            try:
                self._connection.send(request)
                if handed is not None:
                    reduction.send_handle(self._connection, handed.fileno(), self._process.pid)
            except OSError:
                self._fail()
            return self._answer()

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            self._fail()

    def _fail(self) -> None:
        self.died = True
        raise StartFailed(cause(self._process.end(wait=1.0))) from None


def loaded_modules() -> list[str]:
    """Returns the names of the modules of this package that this process has imported."""
    return [name for name in sys.modules if name.partition(".")[0] == PACKAGE and "__main__" not in name]


def preload(modules: Sequence[str]) -> None:
    """Makes a server that is not started yet import modules that this process itself does not need."""
    _wanted.extend(modules)


_wanted: list[str] = []
_server: _Server | None = None
_server_lock = threading.Lock()


def _running_server() -> _Server:
    global _server
    with _server_lock:
        if _server is None or _server.died or _server.owner != os.getpid():
            _server = _Server()
        return _server


def _serve_forks(connection: Connection, loaded: list[str]) -> None:
    """Forks processes and tells their exit codes until the parent ends."""
    ignore_stops()
    with ending_without_memory():
        for name in loaded:
            importlib.import_module(name)
        connection.send(None)
        _fork_on_request(connection)


def _fork_on_request(connection: Connection) -> None:
    children: dict[int, Any] = {}
    context: Any = multiprocessing.get_context("fork")
    while True:
        try:
            first, second = connection.recv()
        except EOFError:
            # Without waiting for the children, which end with their parent.
            os._exit(0)
        if isinstance(first, int):
            child = children.pop(first)
            child.join(second)
            child.kill()
            child.join()
            connection.send(child.exitcode)
            continue
        theirs = Connection(reduction.recv_handle(connection))
        child = context.Process(target=_forked, args=(connection, first, theirs, second))
        child.start()
        theirs.close()
        children[child.pid] = child
        connection.send(child.pid)


def _forked(of_server: Connection, target: Callable[..., None], connection: Connection, argument: Any) -> None:
    of_server.close()
    target(connection, argument)


@contextlib.contextmanager
def ending_without_memory() -> Iterator[None]:
    """Ends this process with `NO_MEMORY`, and without a traceback, if its memory runs out within the context."""
    try:
        yield
    except MemoryError:
        os._exit(NO_MEMORY)
    except OSError as error:
        if error.errno not in (errno.ENOMEM, errno.EAGAIN):
            raise
        os._exit(NO_MEMORY)


def ignore_stops() -> None:
    """Makes this process ignore `STOPS`."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent(grace: float = 0.0) -> None:
    """Ends this process as soon as its parent ends, also if it is killed.

    Args:
        grace: Seconds in which this process may end by itself first.
    """

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            time.sleep(grace)
            # No result is needed any more.
            os._exit(1)

    try:
        threading.Thread(target=watch, daemon=True).start()
    except RuntimeError:
        # "can't start new thread"
        raise MemoryError from None


def cause(exit_code: int | None) -> str:
    """Returns why a process ended, in words: "signal 9, most likely memory", "exit code 3"."""
    if exit_code is None:
        return "with the process that had started it"
    if exit_code == NO_MEMORY:
        return "memory ran out"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    if -exit_code == getattr(signal, "SIGKILL", None):
        return f"signal {-exit_code}, most likely memory"
    with contextlib.suppress(ValueError):
        return f"signal {-exit_code}, {signal.Signals(-exit_code).name}"
    return f"signal {-exit_code}"


@contextlib.contextmanager
def _without_main_program() -> Iterator[None]:
    """Hides the file of the main program, which a spawned process would run as a module of its own."""
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


@contextlib.contextmanager
def _stops_waiting() -> Iterator[None]:
    """Blocks `STOPS` within the context, so that a process that is started inside never receives one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Otherwise the tracker would start with the first process and unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
