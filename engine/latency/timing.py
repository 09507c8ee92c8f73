"""Latency of one network in a process of its own: torch on a device of this machine, or ONNX Runtime on its CPU.

A forward pass of one input is repeated until the network is warm, then timed; one thread. The latency is the median, and its
interval holds the true median with 95 % confidence, as order statistics of the sample give it.

On a machine that other programs use, the time of the processor is what a forward would take without them; it counts only while the
thread runs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.spaces import FailedError, Genotype, SearchSpace, create_space

ONNX = "onnx"
CLOCKS = {"wall": time.perf_counter, "processor": time.thread_time}


@dataclass(frozen=True)
class TimingSettings:
    """How a network is timed.

    Attributes:
        device: "cpu" or another device of torch, or "onnx" for ONNX Runtime on the CPU.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards.
        clock: "wall", or "processor" for the time of the processor, on the CPU only.
        operations: Whether every operation is timed, too.
    """

    device: str = "cpu"
    warm_up: int = 5
    repeats: int = 31
    clock: str = "wall"
    operations: bool = False

    def as_values(self) -> dict[str, Any]:
        """Returns the settings as JSON data; what files of older versions lack only if it is set."""
        return {name: value for name, value in asdict(self).items() if name != "operations" or value}


@dataclass(frozen=True)
class Timing:
    """Latency of one network in milliseconds.

    Attributes:
        median: Median of the timed forwards.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        operations: Median of each operation, in the order of `recorded`; empty if they were not timed.
    """

    median: float
    low: float
    high: float
    operations: tuple[float, ...] = ()


def timing_of(times: Sequence[float]) -> Timing:
    """Returns the median of times and its 95 % interval."""
    from scipy.stats import binom

    ordered = np.sort(times)
    below = int(binom.ppf(0.025, len(ordered), 0.5))
    low, high = ordered[max(below - 1, 0)], ordered[min(len(ordered) - below, len(ordered) - 1)]
    return Timing(six_digits(float(np.median(ordered))), six_digits(float(low)), six_digits(float(high)))


class Timer:
    """Times networks of a space one after the other in a process of its own.

    Args:
        space: Search space of the networks; one that `create_space` makes from its identity.
        settings: How networks are timed.
    """

    def __init__(self, space: SearchSpace, settings: TimingSettings) -> None:
        self._space = {key: value for key, value in space.identity.items() if key != "version"}
        self._settings = settings
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))

    def __call__(self, genotype: Genotype) -> Timing:
        """Returns the latency of the network of a genotype.

        Raises:
            FailedError: If the process died.
        """
        try:
            timing = timing_of(self._pool.submit(timed, self._space, genotype, self._settings).result())
            if not self._settings.operations:
                return timing
            return replace(timing, operations=self._pool.submit(timed_operations, self._space, genotype, self._settings).result())
        except BrokenProcessPool as error:
            raise FailedError("the process that measures died; run the command again to go on") from error

    def close(self) -> None:
        """Ends the process."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def timer(space: SearchSpace, settings: TimingSettings) -> Iterator[Timer]:
    """Context with a `Timer`."""
    made = Timer(space, settings)
    try:
        yield made
    finally:
        made.close()


def timed(space: Mapping[str, Any], genotype: Genotype, settings: TimingSettings) -> list[float]:
    """Returns the milliseconds of the timed forwards of a network.

    Args:
        space: Name and parameters of the space.
        genotype: Architecture.
        settings: How the network is timed.
    """
    from rbflex_evo.fitness.costs.latency import forward_times
    from rbflex_evo.fitness.passes.device import find_device

    built, network = _built(space, genotype)
    if settings.device == ONNX:
        return _onnx_times(network, built, settings)
    device = find_device(settings.device)
    clock = CLOCKS[settings.clock]
    return forward_times(network.to(device), built.example_inputs(1), device, settings.warm_up, settings.repeats, clock)


def timed_operations(space: Mapping[str, Any], genotype: Genotype, settings: TimingSettings) -> tuple[float, ...]:
    """Returns the median milliseconds of every operation of a network, in the order of `recorded`.

    Args:
        space: Name and parameters of the space.
        genotype: Architecture.
        settings: How the network is timed.

    Raises:
        FailedError: If the network runs other operations than were recorded, so that times have no owners.
    """
    from rbflex_evo.fitness.passes.device import find_device
    from rbflex_evo.fitness.passes.recorded import recorded

    from .operations import operation_times

    built, network = _built(space, genotype)
    device = find_device(settings.device)
    clock = CLOCKS[settings.clock]
    times = operation_times(network.to(device), built.example_inputs(1), device, settings.warm_up, settings.repeats, clock)
    names = [operation.name for operation in recorded(built, genotype)[0]]
    if [name for name, _ in times] != names:
        raise FailedError(
            f"{built.notation(genotype)}: {len(times)} operations were timed on {settings.device}, but its kernels are "
            f"{len(names)} other operations; use --kind lookup"
        )
    return tuple(six_digits(taken) for _, taken in times)


def _built(space: Mapping[str, Any], genotype: Genotype) -> tuple[SearchSpace, Any]:
    from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised

    built = create_space(space["name"], **{key: value for key, value in space.items() if key != "name"})
    return built, build_initialised(built, genotype, WeightParameters()).eval()


def _onnx_times(network: Any, space: SearchSpace, settings: TimingSettings) -> list[float]:
    import onnxruntime

    from rbflex_evo.engine.export.onnx_file import write_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_onnx(network, space.example_inputs(2), path)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {"input": space.example_inputs(1).numpy()}
    times, clock = [], CLOCKS[settings.clock]
    for repeat in range(settings.warm_up + settings.repeats):
        start = clock()
        session.run(None, given)
        if repeat >= settings.warm_up:
            times.append(1000 * (clock() - start))
    return times
