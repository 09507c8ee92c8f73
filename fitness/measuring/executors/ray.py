"""The executor of many machines: actors of a Ray cluster, one for each core or GPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookLong
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from rbflex_evo.spaces import ConfigError, Parameters

from .executor import DiedAtStart, Executor, ExecutorLost, Pool, ProcessDied, WorkerError, WorkerLost
from .gateway import Job, serve
from .processes import cores, portable, result_of
from .starting import Spawned
from .station import Surroundings

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.device import Card

ADDRESS = re.compile(r"auto|local|(ray://)?[^\s/]+:\d+")
MOST = 1024  # calls at once, each of which waits in a thread
SECONDS_TO_CONNECT, SECONDS_TO_START = 25.0, 120.0


class RayParameters(Parameters):
    """The parameters of the executor ``ray``.

    Attributes:
        address: ``auto`` for the cluster of the environment variable RAY_ADDRESS or of this machine, or a new one on this machine
            if there is none; ``local`` for a new one on this machine; ``host:6379`` or ``ray://host:10001`` for a given one.
        num_cpus: Number of cores of a worker.
        num_gpus: Number of GPUs of a worker; with a fraction, several workers share one. By default 1 if the device is CUDA.
        resources: Amounts of other resources of the cluster that a worker needs, by name.
        patience: Seconds without any worker after which a search ends.
    """

    address: str = "auto"
    num_cpus: float = Field(default=1.0, ge=0)
    num_gpus: float | None = Field(default=None, ge=0)
    resources: dict[str, float] = Field(default_factory=dict)
    patience: float = Field(default=300.0, gt=0)

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not ADDRESS.fullmatch(value):
            raise PydanticCustomError("address", "should be auto, local, host:port or ray://host:port")
        return value

    @field_validator("num_gpus")
    @classmethod
    def _is_whole_or_a_fraction(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise PydanticCustomError("num_gpus", "should be a whole number if it is more than 1")
        return value


class Ray(Executor):
    """Workers on the machines of a Ray cluster, which may come and go during a search."""

    name = "ray"
    here = False
    Parameters = RayParameters
    parameters: RayParameters

    def __init__(self, parameters: RayParameters | None = None) -> None:
        super().__init__(parameters)
        if find_spec("ray") is None:
            raise ConfigError('the executor ray needs the package ray; install it: pip install "rbflex-evo[ray]"')

    def default_count(self, cards: Sequence[Card]) -> int:
        """Returns the number of cores of this machine; the cluster's own number is known when a pool begins."""
        return cores()

    def open(self, start: Callable[..., None], arguments: Sequence[Any], *, count: int | None, cards: Sequence[Card]) -> RayPool:
        """Returns a pool on the cluster; Ray shares out the devices of each machine."""
        kind = cards[0].device.type
        given = self.parameters
        gpus = given.num_gpus if given.num_gpus is not None else float(kind == "cuda")
        if not (given.num_cpus or gpus or any(given.resources.values())):
            raise ConfigError("a worker on Ray needs something of its machine; set executor.num_cpus, num_gpus or resources")
        import torch

        job = Job(
            address=os.environ.get("RAY_ADDRESS") or "auto" if given.address == "auto" else given.address,
            workers=count,
            num_cpus=given.num_cpus,
            num_gpus=gpus,
            resources=given.resources,
            patience=given.patience,
            start=portable((start, (*arguments, torch.device(kind)))),
            surroundings=Surroundings.here(),
            forked=kind == "cpu",
        )
        return RayPool(job)


class RayPool(Pool):
    """Workers of a Ray cluster, asked through a process of its own (see `gateway`).

    Args:
        job: What the workers are started for.

    Attributes:
        job: The same.
    """

    def __init__(self, job: Job) -> None:
        self.peak_memory = 0
        self.most = job.workers or MOST
        self.job = job
        self._count = 1
        self._lock = threading.Lock()
        self._connected: Future[None] = Future()
        self._ready: Future[None] = Future()
        self._calls: dict[int, Future[bytes]] = {}
        self._number = 0
        self._reason: str | None = None
        self._closed = False

    @property
    def count(self) -> int:
        """Number of workers that the cluster has room for."""
        return self._count

    def begin(self) -> None:
        """Connects to the cluster and waits until a worker is ready.

        Raises:
            WorkerError: If no cluster answers, or it has no worker.
        """
        self._connection, theirs = multiprocessing.Pipe()
        try:
            self._child = Spawned(serve, theirs)
        finally:
            theirs.close()
        self._finalizer = weakref.finalize(self, _send_end, self._connection)
        self._connection.send_bytes(pickle.dumps(self.job))
        threading.Thread(target=_listen, args=(weakref.ref(self), self._connection), daemon=True).start()
        given = self.job.address not in ("auto", "local")
        limit = SECONDS_TO_CONNECT if given else SECONDS_TO_START
        try:
            self._connected.result(limit)
        except TookLong:
            self.close()
            if not given:
                raise WorkerError(f"no Ray cluster could be started within {limit:g} s") from None
            raise WorkerError(
                f"no Ray cluster at {self.job.address} answers within {limit:g} s; if it wants a token, set RAY_AUTH_MODE=token"
            ) from None
        except WorkerError:
            self.close()
            raise
        try:
            self._ready.result()
        except BaseException:
            self.close()
            raise

    def call(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        """Returns the result of a function in one of the workers; see `Pool.call`."""
        return self._ask(portable((function, arguments)), timeout, alone=False)

    def call_alone(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        """Does the same as `call` in a new process of a worker."""
        return self._ask(portable((function, arguments)), timeout, alone=True)

    def close(self) -> None:
        """Ends the workers, and the cluster if it was started here; calls that are running raise `ProcessDied`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            serving = self._connected.done() and self._reason is None
        self._end("the pool was closed")
        self._finalizer()
        # A cluster that was started here ends with its gateway.
        self._child.end(SECONDS_TO_CONNECT if serving else 0.0)

    def _ask(self, request: bytes, timeout: float | None, *, alone: bool) -> Any:
        answer: Future[bytes] = Future()
        with self._lock:
            if self._closed:
                raise DiedAtStart("its pool was closed")
            if self._reason is not None:
                raise ExecutorLost(self._reason)
            self._number += 1
            number = self._number
            self._calls[number] = answer
            # If the gateway has just ended, its listener ends this call, too.
            with contextlib.suppress(OSError):
                self._connection.send_bytes(pickle.dumps((number, request, timeout, alone)))
        inner, _ = result_of(answer.result())
        result, peak_memory = result_of(inner)
        self.peak_memory = max(self.peak_memory, peak_memory)
        return result

    def _hear(self, kind: str, *values: Any) -> None:
        """Takes a message of the gateway."""
        if kind == "connected":
            self._connected.set_result(None)
        elif kind == "workers":
            (self._count,) = values
            if not self._ready.done():
                self._ready.set_result(None)
        elif kind == "over":
            self._end(values[0])
        else:
            number, value = values
            with self._lock:
                answer = self._calls.pop(number, None)
            if answer is None:
                return
            if kind == "answer":
                answer.set_result(value)
            else:
                answer.set_exception(WorkerLost(value))

    def _end(self, reason: str) -> None:
        """Ends all calls."""
        with self._lock:
            self._reason = self._reason or reason
            reason, closed = self._reason, self._closed
            calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.set_exception(ProcessDied(reason) if closed else ExecutorLost(reason))
        for state in (self._connected, self._ready):
            if not state.done():
                state.set_exception(WorkerError(reason))


def _send_end(connection: Connection) -> None:
    # Closing alone would end nothing while the listener reads.
    with contextlib.suppress(OSError):
        connection.send_bytes(pickle.dumps(None))


def _listen(pool: weakref.ref[RayPool], connection: Connection) -> None:
    """Hands the messages of the gateway to the pool until it ends."""
    reason = "the Ray cluster went away, most likely its head node"
    while True:
        try:
            message = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            connection.close()
            break
        there = pool()
        if there is None:
            return
        there._hear(*message)
        del there
    there = pool()
    if there is not None:
        there._end(reason)
