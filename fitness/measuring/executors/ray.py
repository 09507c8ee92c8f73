"""The executor of many machines: actors of a Ray cluster, one for each core or GPU."""

from __future__ import annotations

import atexit
import contextlib
import math
import multiprocessing
import os
import pickle
import re
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rbflex_evo.spaces import ConfigError, Parameters
from rbflex_evo.spaces.isolation.stops import check_stop

from .executor import DiedAtStart, Executor, ExecutorLost, Pool, ProcessDied, WorkerError, WorkerLost
from .gateway import SECONDS_TO_END, Job, serve
from .processes import cores, portable, result_of
from .starting import Spawned
from .station import Surroundings

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.device import Card

ADDRESS = re.compile(r"auto|local|(ray://)?[^\s/]+:\d+")
OF_THIS_MACHINE = ("auto", "local")  # addresses for which a cluster may be started here
MOST = 1024  # calls at once, each of which waits in a thread
SECONDS_TO_CONNECT, SECONDS_TO_START = 25.0, 120.0
SECONDS_BETWEEN_CHECKS = 0.5  # for stop signals while no worker is ready


OWN_KEYS = {"CPU": "num_cpus", "GPU": "num_gpus"}
NEEDS_NOTHING = "a worker on Ray needs something of its machine; set executor.num_cpus, num_gpus or resources"


def _is_an_amount(value: float) -> bool:
    # Ray counts in units of 1/10,000.
    return value == int(value) if value > 1 else round(value, 4) == value


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

    @field_validator("num_cpus", "num_gpus")
    @classmethod
    def _is_whole_or_a_fraction(cls, value: float | None) -> float | None:
        if not _is_an_amount(value or 0.0):
            raise PydanticCustomError("amount", "should be a whole number if it is more than 1, with at most 4 decimals else")
        return value

    @field_validator("resources")
    @classmethod
    def _are_other_resources(cls, value: dict[str, float]) -> dict[str, float]:
        if instead := sorted(value.keys() & OWN_KEYS.keys()):
            given = ", ".join(f"{OWN_KEYS[name]} in place of {name}" for name in instead)
            text = "should hold other resources than cores and GPUs (use {given})"
            raise PydanticCustomError("resources", text, {"given": given})
        if wrong := [name for name, amount in value.items() if amount < 0 or not _is_an_amount(amount)]:
            text = "should hold amounts of at least 0, whole if they are more than 1, with at most 4 decimals else ({name} is not)"
            raise PydanticCustomError("resources", text, {"name": wrong[0]})
        return value

    @model_validator(mode="after")
    def _needs_something(self) -> RayParameters:
        # Without a number of GPUs, that depends on the device.
        if not (self.num_cpus or self.num_gpus is None or self.num_gpus or any(self.resources.values())):
            raise PydanticCustomError("needs", NEEDS_NOTHING)
        return self


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
            raise ConfigError(f"'executor': {NEEDS_NOTHING}")
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
        self._count, self._able = 1, True
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

    @property
    def able(self) -> bool:
        """Whether a worker is ready, or busy."""
        return self._able

    def begin(self) -> None:
        """Connects to the cluster and waits until a worker is ready.

        Raises:
            WorkerError: If no cluster answers, or it has no worker.
        """
        self._connection, theirs = multiprocessing.Pipe()
        try:
            self._child = Spawned(serve, theirs, grace=SECONDS_TO_END)
        finally:
            theirs.close()
        self._finalizer = weakref.finalize(self, _send_end, self._connection)
        # Before this process waits for the gateway as it ends.
        atexit.register(self._finalizer)
        self._connection.send_bytes(pickle.dumps(self.job))
        threading.Thread(target=_listen, args=(weakref.ref(self), self._connection), daemon=True).start()
        given = self.job.address not in OF_THIS_MACHINE
        limit = SECONDS_TO_CONNECT if given else SECONDS_TO_START
        try:
            if not _is_done(self._connected, limit):
                if not given:
                    raise WorkerError(f"no Ray cluster could be started within {limit:g} s")
                raise WorkerError(
                    f"no Ray cluster at {self.job.address} answers within {limit:g} s; if it wants a token, set RAY_AUTH_MODE=token"
                )
            # The gateway limits this wait by the patience.
            _is_done(self._ready, math.inf)
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
        atexit.unregister(self._finalizer)
        # A cluster that was started here ends with its gateway. If the gateway is killed, processes of Ray are left for minutes.
        perhaps_ours = SECONDS_TO_END if self.job.address in OF_THIS_MACHINE else 0.0
        self._child.end(SECONDS_TO_CONNECT if serving else perhaps_ours)

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
            self._count, self._able = values
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


def _is_done(state: Future[None], limit: float) -> bool:
    """Waits for a state for so many seconds at most; a stop signal ends the wait."""
    until = time.monotonic() + limit
    while not state.done():
        check_stop()
        if time.monotonic() > until:
            return False
        wait([state], SECONDS_BETWEEN_CHECKS)
    state.result()
    return True


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
        try:
            there._hear(*message)
        except Exception as error:
            # Without its listener, the search would wait for ever.
            there._end(f"the process that asks the Ray cluster cannot be understood ({type(error).__name__}: {error})")
            raise
        del there
    there = pool()
    if there is not None:
        there._end(reason)
