"""Execution of measurements in worker processes of one thread each, or in this process where nothing can go wrong.

With one torch thread per worker, sums are the same for any number of workers. On a CPU, processes of one thread each are also
faster than threads. A candidate that kills its process (memory, a fault in compiled code) fails with this reason: the candidates
that the process had in hand are measured again, each alone in a new process. What a worker had in hand whose machine went away is
measured by another one. Where the workers are is the matter of an executor (`executors`).
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from rbflex_evo.fitness.passes.device import Card, find_device, found_cards
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError, DeviceError, Genotype
from rbflex_evo.spaces.fingerprint import Unsure, strangers
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

from .conditions import Conditions
from .executors.executor import DiedAtStart, Executor, NotPortable, Pool, ProcessDied, TookTooLong, WorkerError, WorkerLost
from .executors.local import Local
from .executors.processes import may_have_children
from .fingerprint import proxy_code, space_code
from .measurer import Measured, Measurer

Request = tuple[Genotype, Mapping[str, Proxy]]

# Bytes of inputs up to which one worker measures the spaces and scores of this package in the process of its parent: they run
# no code but this package's, and their activations do not exhaust a memory. The start of a process costs a second.
SMALL_INPUTS = 2**20


# A request that loses so many workers in a row is treated as one that kills its process: it may exhaust the memory of machines.
LOSSES = 3


class WorkerWarning(UserWarning):
    """Warns that candidates are measured in this process, so that a candidate that kills its process ends the search."""


class Workers:
    """Runs the methods of a `Measurer` in worker processes.

    Measuring stays in this process if `in_process` asks for it; if there is one worker on an Apple device, or for small inputs, a
    space and scores of this package and no timeout; and, with a warning and one worker, where a process of its own is
    impossible: in a daemonic process, and for code that another process can neither import nor be sent.

    Args:
        conditions: Conditions of the measurements.
        count: Number of workers, and the largest one where workers come and go; None for what suits executor and device.
        proxies: Scores that will be measured, at least one of each class.
        timeout: Seconds after which a candidate fails; None for no limit.
        in_process: Whether to measure in this process whatever the candidates may do.
        cards: Cards that the workers share evenly; None for those of `conditions.device` on this machine.
        executor: Where the workers are; None for processes of this machine.

    Raises:
        ConfigError: If a timeout is set and measuring must stay in this process.
        DeviceError: If several workers are requested on an Apple device.
    """

    def __init__(
        self,
        conditions: Conditions,
        count: int | None = None,
        *,
        proxies: Sequence[Proxy] = (),
        timeout: float | None = None,
        in_process: bool = False,
        cards: Sequence[Card] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.cards = list(cards or found_cards(conditions.device))
        self._executor = executor or Local()
        self._asked = count
        self._in_process = False
        self._pool: Pool | None = None
        if self.count > 1 and conditions.device.type == "mps":
            raise DeviceError(f"an Apple device takes one worker, but {self.count} were asked for")
        self.peak_memory = 0
        self._conditions, self._proxies, self._timeout = conditions, list(proxies), timeout
        self._threads: ThreadPoolExecutor | None = None
        self._gate = Gate()
        self._own: Measurer | None = None
        alone = self._executor.here and self.count == 1 and timeout is None and self._is_safe()
        self._in_process = in_process or alone
        if not self._in_process and not may_have_children():
            self._stay("a daemonic process may have no children")

    @property
    def in_process(self) -> bool:
        """True if this process measures itself, so that `submit` returns when all is measured; final once `begin` was called."""
        return self._in_process

    @property
    def count(self) -> int:
        """Number of workers; known once they have begun, and changing where workers come and go."""
        if self._in_process:
            return 1
        if self._pool is not None:
            return self._pool.count
        return self._asked or self._executor.default_count(self.cards)

    @property
    def able(self) -> bool:
        """False while all workers have gone and others may come."""
        return self._pool is None or self._pool.able

    def submit(self, requests: Sequence[Request]) -> Future[list[Measured]]:
        """Schedules `Measurer.measure`; if measuring stays in this process, the future is done on return."""
        return self._start(list(requests), walked=False)

    def submit_walk(self, genotypes: Sequence[Genotype], proxies: Mapping[str, Proxy]) -> Future[list[Measured]]:
        """Schedules `Measurer.walk`; if measuring stays in this process, the future is done on return."""
        return self._start([(genotype, proxies) for genotype in genotypes], walked=True)

    def close(self) -> None:
        """Stops the workers and drops requests that are not finished; `begin` starts new ones."""
        if self._pool is not None and self._threads is not None:
            self._pool.close()
            self._threads.shutdown(wait=True, cancel_futures=True)
            self.peak_memory = max(self.peak_memory, self._pool.peak_memory)
        self._pool = self._threads = self._own = None

    def begin(self) -> None:
        """Starts a worker, so that `count` is known; it is 1 from now on if measuring must stay in this process.

        Raises:
            WorkerError: If the process dies as it starts, or a worker elsewhere cannot load the space or a score.
        """
        if self._in_process or self._pool is not None:
            return
        shared = self._conditions, self._proxies, _code(self._conditions, self._proxies)
        try:
            pool = self._executor.open(_start_worker, shared, count=self._asked, cards=self.cards)
            pool.begin()
        except NotPortable as error:
            self._stay(f"a process of its own cannot load the space or a score: {error}")
        except DiedAtStart as death:
            if self.count > 1:
                raise WorkerError(_died(death)) from None
            self._stay(f"a process of its own died as it started ({death})")
        else:
            self._pool, self._threads = pool, ThreadPoolExecutor(pool.most)

    def _is_safe(self) -> bool:
        """Returns True if only this package's code runs and memory suffices, and on an Apple device, where all else is untested."""
        ours = not any(strangers(part) for part in (self._conditions.space, *self._proxies))
        return self._conditions.device.type == "mps" or (ours and self._conditions.batch.images.nbytes <= SMALL_INPUTS)

    def _stay(self, reason: str) -> None:
        if not self._executor.here:
            raise WorkerError(f"the executor {self._executor.name} cannot be used, because {reason}")
        if self._timeout is not None:
            raise ConfigError(f"timeout: {self._timeout:g} cannot be kept, because {reason}; leave timeout out")
        one = "" if self.count == 1 else f", with one worker instead of {self.count}"
        text = f"candidates are measured in this process{one}, because {reason}; one that kills the process ends the search"
        warnings.warn(text, WorkerWarning, stacklevel=2)
        self._in_process = True

    def _start(self, requests: list[Request], *, walked: bool) -> Future[list[Measured]]:
        self.begin()
        if self._threads is not None:
            return self._threads.submit(self._measured, requests, walked)
        future: Future[list[Measured]] = Future()
        with as_in_a_worker():
            if self._own is None:
                self._own = Measurer(self._conditions)
            future.set_result(_measure(self._own, requests, walked))
        return future

    def _measured(self, requests: list[Request], walked: bool) -> list[Measured]:
        """Measures in one of the processes; runs in a thread of its own."""
        assert self._pool is not None
        if self._timeout is not None and len(requests) > 1:
            return [measured for request in requests for measured in self._measured([request], walked)]
        try:
            with self._gate.together():
                return self._within_time(self._pool.call, requests, walked)
        except DiedAtStart as death:
            raise WorkerError(_died(death)) from None
        except ProcessDied:
            return [self._alone(request, walked) for request in requests]

    def _alone(self, request: Request, walked: bool) -> Measured:
        """Measures one candidate while nothing else is measured; it is to blame only if it kills a new process, too."""
        assert self._pool is not None
        started = time.perf_counter()
        with self._gate.alone():
            for call in (self._pool.call, self._pool.call_alone):
                try:
                    return self._within_time(call, [request], walked)[0]
                except DiedAtStart as death:
                    raise WorkerError(_died(death)) from None
                except ProcessDied as death:
                    cause = str(death)
        return _failed(request, f"the process that measured it died ({cause})", time.perf_counter() - started)

    def _within_time(self, call: Callable[..., list[Measured]], requests: list[Request], walked: bool) -> list[Measured]:
        for _ in range(LOSSES):
            try:
                return call(_in_a_worker, requests, walked, timeout=self._timeout)
            except TookTooLong:
                assert self._timeout is not None
                return [_failed(request, f"took longer than timeout: {self._timeout:g} s", self._timeout) for request in requests]
            except WorkerLost as loss:
                cause = str(loss)
        raise ProcessDied(f"its worker was lost {LOSSES} times in a row, the last time because {cause}")


class Gate:
    """Lets many threads in together, or one alone. A thread that wants to be alone goes before later threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._wanting_alone = 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Context that excludes only `alone`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._wanting_alone)
            self._inside += 1
        with self._leaving():
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Context that excludes every other thread."""
        with self._changed:
            self._wanting_alone += 1
            self._changed.wait_for(lambda: not self._inside)
            self._inside += 1
        try:
            with self._leaving():
                yield
        finally:
            with self._changed:
                self._wanting_alone -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def _leaving(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


def _died(death: DiedAtStart) -> str:
    return f"a worker process died as it started ({death}); if memory ran out, set workers: 1 or a smaller data.n, and resume"


def _failed(request: Request, reason: str, seconds: float) -> Measured:
    # Not lasting: a larger or faster machine may measure it.
    return Measured({}, dict.fromkeys(request[1], reason), frozenset(), seconds)


@contextlib.contextmanager
def as_in_a_worker() -> Iterator[None]:
    """Isolates a measurement from the calling program, in the same way in this process and in a worker process."""
    with own_settings(), own_random_state():
        yield


_worker: Measurer | None = None


def _code(conditions: Conditions, proxies: Sequence[Proxy]) -> list[dict[str, object]] | None:
    """Returns what identifies the code of a space and scores of other packages; None if it cannot be identified."""
    try:
        return [space_code(conditions.space), *map(proxy_code, proxies)]
    except Unsure:
        return None


def _start_worker(conditions: Conditions, proxies: list[Proxy], code: list[dict[str, object]] | None, device: torch.device) -> None:
    global _worker
    # What the main program changes after its imports, such as a global, is not changed in a new process.
    if code is not None and code != _code(conditions, proxies):
        raise NotPortable("the code of the space or a score, or a value that it reads, was changed after it was imported")
    if device.type != "cpu":
        find_device(str(device))
    torch.set_num_threads(1)
    # Modules that a space imports may change settings.
    with as_in_a_worker():
        _worker = Measurer(replace(conditions, device=device))


def _in_a_worker(requests: list[Request], walked: bool) -> list[Measured]:
    assert _worker is not None
    with as_in_a_worker():
        return _measure(_worker, requests, walked)


def _measure(measurer: Measurer, requests: list[Request], walked: bool) -> list[Measured]:
    if walked:
        return measurer.walk([genotype for genotype, _ in requests], requests[0][1])
    return measurer.measure(requests)
