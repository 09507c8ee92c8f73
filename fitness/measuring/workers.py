"""Where measuring happens: in this process, or in worker processes of one thread each.

One torch thread a worker makes sums the same for any number of workers; on a CPU, processes of one thread each are also
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
    """A worker process died."""


def default_workers(device: torch.device) -> int:
    """Returns one worker for an accelerator, and one a core for the CPU."""
    return cores() if device.type == "cpu" else 1


class Workers:
    """Runs a `Measurer`'s methods; `submit` and `submit_walk` return futures.

    Args:
        conditions: Conditions of the measurements.
        count: Number of worker processes; None for `default_workers` of the device.

    Raises:
        DeviceError: If several workers are asked for on an Apple device.
    """

    def __init__(self, conditions: Conditions, count: int | None = None) -> None:
        self.count = count or default_workers(conditions.device)
        if self.count > 1 and conditions.device.type == "mps":
            raise DeviceError(f"an Apple device takes one worker, but {self.count} were asked for")
        self._conditions = conditions
        self._pool: Processes | None = None
        self._own: Measurer | None = None

    def submit(self, requests: Sequence[Request]) -> Future[list[Measured]]:
        """Starts measuring; with one worker it is done when this returns."""
        return self._start("measure", list(requests))

    def submit_walk(self, genotypes: Sequence[Genotype], proxies: Mapping[str, Proxy]) -> Future[list[Measured]]:
        """Starts `Measurer.walk`; with one worker it is done when this returns."""
        return self._start("walk", list(genotypes), dict(proxies))

    def _start(self, method: str, *arguments: Any) -> Future[list[Measured]]:
        if self.count > 1:
            if self._pool is None:
                # As bytes: a tensor would be sent through shared memory, of which a container has little.
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
        """Stops the workers; what they have not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._own = None


_DIED = (
    "a worker process died, most likely because memory ran out; set workers: 1 or a smaller data.n and resume\n"
    'in a script of your own, it also dies where the call is not under: if __name__ == "__main__":'
)


def result_of(future: Future[list[Measured]]) -> list[Measured]:
    """Returns what a future measured.

    Raises:
        WorkerError: if its process died.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        raise WorkerError(_DIED) from None


@contextlib.contextmanager
def as_in_a_worker() -> Iterator[None]:
    """Computes as a worker process does: in one torch thread, and in none of the modes that a caller may have switched on."""
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
    return getattr(_worker, method)(*arguments)
