"""The process between a search and its Ray cluster: it alone imports Ray.

Ray takes over the signal handlers, the hook of exceptions and the limits of the process that it connects, and ends it when the head
of the cluster dies. In a process of its own it cannot do that to a search. Requests come through a connection, in any number at a
time; each goes to an actor (`Station`) that is ready, the oldest first. Ray places the actors. A request never waits for an actor
that Ray has not placed yet.

    search to gateway    the job; then (number, request, timeout, alone); None to end everything
    gateway to search    ("connected",), ("workers", count, whether one is ready), ("answer", number, answer),
                         ("lost", number, cause), ("over", reason)
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import os
import pickle
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from rbflex_evo.spaces import RbflexEvoError

from .executor import DiedAtStart, NotPortable
from .processes import STARTS, cores, result_of
from .starting import STOPS, end_with_parent
from .station import Station, Surroundings, Unlike

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_END = 10.0  # for a cluster that was started here, once the search was killed
STORE = 512 * 2**20  # bytes of the object store of a cluster that is started here, and four times the job


@dataclass(frozen=True)
class Job:
    """What a gateway is started for.

    Attributes:
        address: ``auto`` for the cluster of this machine or a new one, ``local`` for a new one, or the address of a cluster.
        workers: Largest number of workers; None for what the cluster offers.
        num_cpus: Cores of a worker.
        num_gpus: GPUs of a worker.
        resources: Other resources of a worker, by name.
        patience: Seconds without any worker after which the gateway gives up.
        start: The function that each worker calls first, with its arguments, pickled.
        surroundings: What workers take over from the process of the search.
        forked: Whether a worker may fork its processes from a server.
    """

    address: str
    workers: int | None
    num_cpus: float
    num_gpus: float
    resources: dict[str, float]
    patience: float
    start: bytes
    surroundings: Surroundings
    forked: bool


def serve(connection: Connection) -> None:
    """Connects to the cluster and serves requests until the search ends or closes the connection."""
    _live_apart()
    # A search that was killed closes the connection, too, and the cluster ends as usual if it can.
    end_with_parent(SECONDS_TO_END)
    try:
        job: Job = pickle.loads(connection.recv_bytes())
    except (EOFError, OSError):
        return
    gateway = Gateway(connection, job)
    try:
        gateway.connect()
        asyncio.run(gateway.run())
        gateway.disconnect()
    except Exception as error:
        gateway.tell("over", _one_line(error))
    finally:
        # Without the handlers of Ray, which wait for the cluster.
        os._exit(0)


def _live_apart() -> None:
    """Leaves the signals and the output of the terminal to the search."""
    # Handlers, unlike ignored signals, are not inherited by the processes of a cluster that is started here.
    _ignore_stops()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    if hasattr(os, "setsid"):
        os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _ignore_stops() -> None:
    for number in STOPS:
        signal.signal(number, lambda *_: None)


class Unreachable(Exception):
    """No cluster answers at an address."""


def _connect(ray: Any, job: Job) -> bool:
    """Connects to the cluster; returns whether it was started here, so that no machine can join it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if job.address == "auto" and _is_running():
        # Unlike its address, the word makes Ray read the token of the cluster.
        ray.init("auto", **quiet)
        return False
    if job.address not in ("auto", "local"):
        _knock(job.address)
        ray.init(job.address, **quiet)
        return False
    workers = job.workers or max(1, math.floor(cores() / (job.num_cpus or 1)))
    ray.init(
        "local",
        num_cpus=math.ceil(workers * job.num_cpus),
        include_dashboard=False,
        object_store_memory=STORE + 4 * len(job.start),
        **quiet,
    )
    return True


def _is_running() -> bool:
    """Returns whether a cluster runs on this machine."""
    # `ray.init("auto")` waits for minutes for a cluster that has crashed.
    services = importlib.import_module("ray._private.services")
    try:
        _knock(services.canonicalize_bootstrap_address_or_die("auto"))
    except (ConnectionError, Unreachable):
        return False
    return True


def _knock(address: str) -> None:
    """Checks that a machine listens at an address, because Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise Unreachable(f"no Ray cluster answers at {address} ({error.strerror or error})") from None


def _one_line(error: BaseException) -> str:
    if error.__cause__ is not None and "AuthenticationError" in str(error.__cause__):
        return f"{error}: it wants a token; set RAY_AUTH_MODE=token"
    return " ".join(f"{error}".split()) or type(error).__name__


class Gateway:
    """Keeps as many actors as the cluster offers, and gives each request to one that is ready.

    Args:
        connection: Connection to the search.
        job: What the gateway is started for.
    """

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection, self._job = connection, job
        wanted = {"CPU": job.num_cpus, "GPU": job.num_gpus, **job.resources}
        self._wanted = {name: amount for name, amount in wanted.items() if amount}
        self._ray: Any = None
        self._own = False
        self._sending = threading.Lock()
        self._starting: set[Any] = set()
        self._idle: deque[Any] = deque()
        self._busy: set[Any] = set()
        self._nodes: dict[Any, str] = {}  # the machine of each actor that takes requests
        self._requests: deque[tuple[int, bytes, float | None, bool]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed_starts = 0
        self._offered = 0
        self._needed = 0  # the most requests at once
        self._worked_at = time.monotonic()
        self._told: tuple[int, bool] | None = None
        self._changed = threading.Event()

    def tell(self, *message: Any) -> None:
        """Sends a message to the search."""
        with self._sending, contextlib.suppress(OSError):
            self._connection.send_bytes(pickle.dumps(message))

    def connect(self) -> None:
        """Connects to the cluster, or starts it.

        Raises:
            Exception: If that fails; the message is the cause.
        """
        self._ray = importlib.import_module("ray")
        self._own = _connect(self._ray, self._job)
        # Ray has taken SIGTERM over.
        _ignore_stops()
        self.tell("connected")

    def disconnect(self) -> None:
        """Disconnects from the cluster, or ends it if it was started here."""
        self._ray.shutdown()

    async def run(self) -> None:
        """Serves requests until the search closes the connection, or until there are no workers."""
        loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        job = self._job
        kind = self._ray.remote(max_restarts=0, max_task_retries=0)(Station)
        self._stations = kind.options(
            num_cpus=job.num_cpus, num_gpus=job.num_gpus, resources=job.resources, scheduling_strategy="SPREAD"
        )
        # Sent to each machine once, whatever the number of workers there.
        self._start = self._ray.put(job.start)
        threading.Thread(target=self._listen, args=(loop,), daemon=True).start()
        threading.Thread(target=self._watch, args=(loop,), daemon=True).start()
        await self._ended.wait()
        for actor in [*self._starting, *self._idle, *self._busy]:
            self._ray.kill(actor)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(EOFError, OSError):
            while (request := pickle.loads(self._connection.recv_bytes())) is not None:
                loop.call_soon_threadsafe(self._take, request)
        loop.call_soon_threadsafe(self._ended.set)

    def _over(self, reason: str) -> None:
        self.tell("over", reason)
        self._ended.set()

    # --- actors -------------------------------------------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Looks again and again at what the cluster offers, in a thread, because a look waits for the head of the cluster."""
        try:
            while True:
                loop.call_soon_threadsafe(self._adjust, *self._look())
                self._changed.wait(SECONDS_BETWEEN_LOOKS)
                self._changed.clear()
        except Exception as error:
            loop.call_soon_threadsafe(self._over, f"the Ray cluster does not answer ({_one_line(error)})")

    def _look(self) -> tuple[set[str], int]:
        """Returns the machines of the cluster, and the number of workers that have room on them."""
        there = {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}
        room = sum(min(math.floor(node.get(name, 0) / each) for name, each in self._wanted.items()) for node in there.values())
        return set(there), room if self._job.workers is None else min(room, self._job.workers)

    def _adjust(self, alive: set[str], offered: int) -> None:
        """Adds actors where there is room, and gives up actors that went away or have no place any more."""
        self._offered = offered
        self._drop([actor for actor in self._idle if self._nodes[actor] not in alive])
        working = len(self._idle) + len(self._busy)
        # A machine of the user's own starts more workers than it has cores only as candidates ask for them, as without Ray.
        wanted = min(offered, max(cores(), self._needed)) if self._own else offered
        for _ in range(wanted - working - len(self._starting)):
            self._spawn(self._employ(self._stations.remote()))
        for actor in list(self._starting)[: max(0, working + len(self._starting) - self._offered)]:
            self._ray.kill(actor)
        if working:
            self._worked_at = time.monotonic()
        elif self._own and alive and not offered:
            self._over(f"no worker has room on this machine: {self._resources()}")
        elif time.monotonic() - self._worked_at > self._job.patience:
            self._over(f"no worker was ready for {self._job.patience:g} s: {self._resources()}")
        self._tell_workers()

    def _resources(self) -> str:
        free, whole = self._ray.available_resources(), self._ray.cluster_resources()
        listed = ", ".join(f"{free.get(name, 0):g} of {whole.get(name, 0):g} {name}" for name in self._wanted)
        needed = ", ".join(f"{amount:g} {name}" for name, amount in self._wanted.items())
        return f"the cluster has {listed} free, and a worker needs {needed}"

    def _drop(self, actors: list[Any]) -> None:
        for actor in actors:
            if actor in self._idle:
                self._idle.remove(actor)
            self._nodes.pop(actor)
            self._ray.kill(actor)
        if actors:
            self._changed.set()

    def _tell_workers(self) -> None:
        ready = bool(self._idle or self._busy)
        if ready or self._told is not None:
            state = max(1, self._offered), ready
            if state != self._told:
                self._told = state
                self.tell("workers", *state)

    async def _employ(self, actor: Any) -> None:
        """Starts an actor; from then on it takes requests."""
        from ray.exceptions import RayError, RayTaskError

        self._starting.add(actor)
        try:
            node, _ = result_of(await actor.begin.remote(self._job.surroundings, self._start, self._job.forked))
        except RayTaskError as error:
            self._over(f"a worker cannot load this program: {_last_line(error)}")
        except RayError as error:
            # Its machine went away, or it was given up before it had a place.
            if getattr(error, "actor_init_failed", False):
                self._over(f"a worker cannot load this program: {_last_line(error)}")
        except DiedAtStart as death:
            self._failed_starts += 1
            if self._told is None or self._failed_starts >= STARTS:
                self._over(f"a worker process died as it started ({death})")
        except NotPortable as error:
            self._over(f"a worker cannot load the space or a score: {_one_line(error)}")
        except Unlike as error:
            self._over(_one_line(error))
        except RbflexEvoError as error:
            self._over(f"a worker cannot measure: {_one_line(error)}")
        else:
            self._failed_starts = 0
            self._nodes[actor] = node
            self._idle.append(actor)
        finally:
            self._starting.discard(actor)
            self._changed.set()
        self._tell_workers()
        self._dispatch()

    # --- requests -----------------------------------------------------------------------------------------------------------

    def _take(self, request: tuple[int, bytes, float | None, bool]) -> None:
        self._requests.append(request)
        self._dispatch()
        needed = len(self._requests) + len(self._busy)
        if needed > self._needed:
            self._needed = needed
            self._changed.set()

    def _dispatch(self) -> None:
        while self._idle and self._requests:
            actor, request = self._idle.popleft(), self._requests.popleft()
            self._busy.add(actor)
            self._spawn(self._run(actor, *request))

    async def _run(self, actor: Any, number: int, request: bytes, timeout: float | None, alone: bool) -> None:
        try:
            answer = await actor.call.remote(request, timeout, alone)
        except Exception as error:
            self._busy.discard(actor)
            # Its neighbours went away, too, if their machine did; otherwise they are started again.
            self._drop([actor, *(other for other in self._idle if self._nodes[other] == self._nodes[actor])])
            self.tell("lost", number, _last_line(error))
        else:
            self.tell("answer", number, answer)
            self._busy.discard(actor)
            self._idle.append(actor)
        self._dispatch()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._over(f"{type(error).__name__}: {_one_line(error)}")


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
