"""Child processes that run calls for their parent. The death of one is noticed at once and leaves the others alone.

A call is sent through a socket of which the parent keeps only its own end, so a dead process is the end of the stream, at any
moment. The arguments of the start are sent in the same way, since they may be larger than the buffer of a pipe.

Functions and classes of the main program, of a notebook and of other functions are sent as code, by cloudpickle, and to these
processes only. A process imports all other code; it never runs the main program.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from .executor import DiedAtStart, NotPortable, Pool, ProcessDied, TookTooLong
from .starting import StartFailed, cause, end_with_parent, ending_without_memory, ignore_stops, started

# After the first process of a pool was ready, so many starts in a row may fail (memory) before the pool gives up.
STARTS = 3


class RemoteTraceback(Exception):
    """Shows the traceback of the process where an error was raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_have_children() -> bool:
    """Returns False in a daemonic process, such as one of a `multiprocessing.Pool`."""
    return not multiprocessing.current_process().daemon


def portable(value: Any) -> bytes:
    """Returns a value as bytes that another process can load.

    Raises:
        NotPortable: If it cannot be pickled.
    """
    try:
        data: bytes = cloudpickle.dumps(value)
        return data
    except (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise NotPortable(str(error)) from None


class Processes(Pool):
    """Processes that are started when a call finds none idle; call it from as many threads as processes shall work.

    The processes ignore `starting.STOPS` from their start and end with their parent, also if it is killed.

    Args:
        start: Function that each process calls first.
        arguments: Arguments of `start`.
        forked: Whether the processes may be forked from a server; not if they use an accelerator.
        places: Values that the processes share evenly, such as devices: each process gets one as the last argument of `start`.
            Without any, `start` has no such argument.
        environments: Variables of the environment for the process of each place, in addition to those of this process. They are set
            before the process loads the arguments, whose code may already use an accelerator.
        count: Number of calls that the caller runs at once.

    Attributes:
        peak_memory: Bytes that the largest of the processes held; 0 if unknown.
        most: The number of calls.

    Raises:
        NotPortable: If the arguments cannot be pickled.
    """

    def __init__(
        self,
        start: Callable[..., None],
        *arguments: Any,
        forked: bool = True,
        places: Sequence[Any] = (),
        environments: Sequence[Mapping[str, str]] = (),
        count: int = 1,
    ) -> None:
        self._start, self._forked, self._places, self._environments = start, forked, tuple(places), tuple(environments)
        self._arguments = portable(arguments)
        self.peak_memory = 0
        self.most = count
        self._idle: list[_Process] = []
        self._known: set[_Process] = set()
        self._lock = threading.Lock()
        self._started = self._closed = False
        self._finalizer = weakref.finalize(self, _kill, self._known)

    @property
    def count(self) -> int:
        """Number of calls that can run at once."""
        return self.most

    def begin(self) -> None:
        """Starts the first process.

        Raises:
            DiedAtStart: If it ends before it takes a call.
            NotPortable: If it cannot import the code of the arguments.
        """
        self._give(self._new())

    def call(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        """Returns the result of a function in one of the processes.

        Args:
            function: Function of a module of this package.
            arguments: Arguments of the function.
            timeout: Seconds after which the process is killed; the time to start a process does not count.

        Raises:
            ProcessDied: If the process ended first.
            TookTooLong: If the process did not answer in time.
        """
        process = self._take() or self._new()
        try:
            result = process.ask(cloudpickle.dumps((function, arguments)), timeout)
        except BaseException:
            # After an error, as after a death, the next call begins in a new process.
            self._end(process)
            raise
        self._give(process)
        return result

    def call_alone(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        """Does the same as `call` in a new process, which runs nothing else before and after."""
        process = self._new()
        try:
            return process.ask(cloudpickle.dumps((function, arguments)), timeout)
        finally:
            self._end(process)

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes."""
        with self._lock:
            return [process.pid for process in self._known]

    def close(self) -> None:
        """Kills the processes; calls that are running raise `ProcessDied`."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            _kill(self._known)
        for process in idle:
            self._end(process)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _new(self) -> _Process:
        for _ in range(STARTS - 1):
            try:
                return self._begun()
            except DiedAtStart:
                if self._closed or not self._started:
                    raise
        return self._begun()

    def _begun(self) -> _Process:
        process = _Process(self._start, self._forked)
        try:
            with self._lock:
                if self._closed:
                    raise DiedAtStart("its pool was closed")
                process.place = self._free_place()
                self._known.add(process)
            own = [self._places[process.place]] if self._places else []
            process.begin(self._arguments, own, self._environments[process.place] if self._environments else {})
        except BaseException:
            self._end(process)
            raise
        self._started = True
        return process

    def _free_place(self) -> int:
        """Returns the position of the place that the fewest processes have."""
        taken = [process.place for process in self._known]
        return min(range(len(self._places)), key=taken.count, default=0)

    def _take(self) -> _Process | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give(self, process: _Process) -> None:
        with self._lock:
            self.peak_memory = max(self.peak_memory, process.peak_memory)
            if not self._closed:
                self._idle.append(process)
                return
        self._end(process)

    def _end(self, process: _Process) -> None:
        process.end()
        with self._lock:
            self.peak_memory = max(self.peak_memory, process.peak_memory)
            self._known.discard(process)


class _Process:
    """One process and the connection to it."""

    def __init__(self, start: Callable[..., None], forked: bool) -> None:
        self.peak_memory = 0
        self.place = 0
        self._connection, theirs = multiprocessing.Pipe()
        try:
            self._child = started(_serve, theirs, start, forked=forked)
        except StartFailed as failed:
            raise DiedAtStart(str(failed)) from None
        except (OSError, EOFError) as error:
            raise DiedAtStart(f"{type(error).__name__}: {error}") from None
        finally:
            theirs.close()
        self.pid = self._child.pid
        self._ended = False

    def begin(self, arguments: bytes, own: Sequence[Any], variables: Mapping[str, str]) -> None:
        """Sends the arguments of the start, which all processes share, and its own ones; waits until the process is ready."""
        try:
            # A process that is forked from the server has those from when the server was started.
            surroundings = {**os.environ, **variables}, sys.path, os.getcwd()
            self.ask(pickle.dumps((surroundings, arguments, own)), None)
        except ProcessDied as death:
            raise DiedAtStart(str(death)) from None

    def ask(self, request: bytes, timeout: float | None) -> Any:
        """Sends a request and returns the answer, or raises the error that is the answer."""
        try:
            self._connection.send_bytes(request)
            if not self._connection.poll(timeout):
                raise TookTooLong
            succeeded, answer, self.peak_memory = pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            # The stream ends a moment before the exit code is known.
            raise ProcessDied(cause(self.end(wait=1.0))) from None
        if succeeded:
            return answer
        error, text = answer
        raise error from RemoteTraceback(text)

    def kill(self) -> None:
        """Kills the process, if it has not ended."""
        if not self._ended:
            self._child.kill()

    def end(self, wait: float = 0.0) -> int | None:
        """Kills the process if it does not end in so many seconds, and returns its exit code; None if it had ended before."""
        if self._ended:
            return None
        self._ended = True
        exit_code = self._child.end(wait)
        self._connection.close()
        return exit_code


def _kill(processes: set[_Process]) -> None:
    for process in list(processes):
        process.kill()


def _serve(connection: Connection, start: Callable[..., None]) -> None:
    """Answers requests until the parent ends."""
    ignore_stops()
    with ending_without_memory():
        end_with_parent()
        _answer_requests(connection, start)


def _answer_requests(connection: Connection, start: Callable[..., None]) -> None:
    try:
        (variables, path, folder), arguments, own = pickle.loads(connection.recv_bytes())
    except (EOFError, OSError):
        return
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = path
    with contextlib.suppress(OSError):
        os.chdir(folder)
    # The parent closes its end when it needs no result any more.
    with contextlib.suppress(EOFError, OSError):
        connection.send_bytes(answer_of(lambda: start(*imported(arguments), *own)))
        while True:
            request = connection.recv_bytes()
            connection.send_bytes(answer_of(lambda request=request: called(request)))  # type: ignore[misc]


def imported(arguments: bytes) -> Any:
    """Returns the value of `portable`.

    Raises:
        NotPortable: If this process cannot import its code.
    """
    try:
        return pickle.loads(arguments)
    except Exception as error:
        raise NotPortable(f"{type(error).__name__}: {error}") from None


def called(request: bytes) -> Any:
    """Returns the result of a pickled function and its arguments."""
    function, arguments = pickle.loads(request)
    return function(*arguments)


def answer_of(call: Callable[[], Any]) -> bytes:
    """Returns the result of a call or its error, and the peak memory of this process, pickled for `result_of`."""
    try:
        return pickle.dumps((True, call(), _peak_memory()))
    except Exception as error:
        text = traceback.format_exc()
        try:
            return pickle.dumps((False, (pickle.loads(pickle.dumps(error)), text), _peak_memory()))
        except Exception:
            # An error that cannot be sent; its name and message can.
            return pickle.dumps((False, (RuntimeError(f"{type(error).__name__}: {error}"), text), _peak_memory()))


def result_of(answer: bytes) -> tuple[Any, int]:
    """Returns the result and the peak memory in an answer, or raises its error."""
    succeeded, result, peak_memory = pickle.loads(answer)
    if succeeded:
        return result, peak_memory
    error, text = result
    raise error from RemoteTraceback(text)


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
