"""Execution of measurements in this process or in worker processes of one thread each.

With one torch thread per worker, sums are the same for any number of workers. On a CPU, processes of one thread each are also
faster than threads.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from rbflex_evo.fitness.passes.watch import own_precision
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import DeviceError, Genotype, RbflexEvoError

from .conditions import Conditions
from .measurer import Measured, Measurer
from .processes import Processes, cores

Request = tuple[Genotype, Mapping[str, Proxy]]


class WorkerError(RbflexEvoError, RuntimeError):
    """A worker process ended unexpectedly."""

    exit_code = 1


def default_workers(device: torch.device) -> int:
    """Returns one worker for an accelerator, and one per core for a CPU."""
    return cores() if device.type == "cpu" else 1


class Workers:
    """Runs the methods of a `Measurer` in worker processes, or in this process if there is only one worker.

    Args:
        conditions: Conditions of the measurements.
        count: Number of worker processes; None for `default_workers` of the device.

    Raises:
        DeviceError: If several workers are requested on an Apple device.
    """

    def __init__(self, conditions: Conditions, count: int | None = None) -> None:
        self.count = count or default_workers(conditions.device)
        if self.count > 1 and conditions.device.type == "mps":
            raise DeviceError(f"an Apple device takes one worker, but {self.count} were asked for")
        self._conditions = conditions
        self._pool: Processes | None = None
        self._own: Measurer | None = None

    def submit(self, requests: Sequence[Request]) -> Future[list[Measured]]:
        """Schedules `Measurer.measure`; with one worker, the future is done on return."""
        return self._start("measure", list(requests))

    def submit_walk(self, genotypes: Sequence[Genotype], proxies: Mapping[str, Proxy]) -> Future[list[Measured]]:
        """Schedules `Measurer.walk`; with one worker, the future is done on return."""
        return self._start("walk", list(genotypes), dict(proxies))

    def _start(self, method: str, *arguments: Any) -> Future[list[Measured]]:
        if self.count > 1:
            if self._pool is None:
                # As bytes, because torch sends tensors through shared memory, which is small in containers.
                self._pool = Processes(self.count, _start_worker, pickle.dumps(self._conditions))
            try:
                return self._pool.submit(_call, method, *arguments)
            except BrokenProcessPool:
                raise WorkerError(_DIED) from None
        future: Future[list[Measured]] = Future()
        with as_in_a_worker():
            if self._own is None:
                self._own = Measurer(self._conditions)
            future.set_result(getattr(self._own, method)(*arguments))
        return future

    def close(self) -> None:
        """Stops the workers and drops requests that have not started."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._own = None


_DIED = (
    "a worker process died, most likely because memory ran out; set workers: 1 or a smaller data.n and resume\n"
    'in a script of your own, it also dies where the call is not under: if __name__ == "__main__":'
)


def result_of(future: Future[list[Measured]]) -> list[Measured]:
    """Returns the result of a future.

    Raises:
        WorkerError: If the worker process died.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        raise WorkerError(_DIED) from None


@contextlib.contextmanager
def as_in_a_worker() -> Iterator[None]:
    """Sets one torch thread and switches off inference mode and autocast, as in a worker process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False), own_precision():
            yield
    finally:
        torch.set_num_threads(before)


_worker: Measurer | None = None


def _start_worker(conditions: bytes) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = Measurer(pickle.loads(conditions))


def _call(method: str, *arguments: Any) -> list[Measured]:
    assert _worker is not None
    measured: list[Measured] = getattr(_worker, method)(*arguments)
    return measured
