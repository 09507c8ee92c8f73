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
from dataclasses import asdict, dataclass
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
    """

    device: str = "cpu"
    warm_up: int = 5
    repeats: int = 31
    clock: str = "wall"

    def as_values(self) -> dict[str, Any]:
        """Returns the settings as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Timing:
    """Latency of one network in milliseconds.

    Attributes:
        median: Median of the timed forwards.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
    """

    median: float
    low: float
    high: float


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
            return timing_of(self._pool.submit(timed, self._space, genotype, self._settings).result())
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
    from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised

    name, values = space["name"], {key: value for key, value in space.items() if key != "name"}
    built = create_space(name, **values)
    network = build_initialised(built, genotype, WeightParameters()).eval()
    if settings.device == ONNX:
        return _onnx_times(network, built, settings)
    device = find_device(settings.device)
    clock = CLOCKS[settings.clock]
    return forward_times(network.to(device), built.example_inputs(1), device, settings.warm_up, settings.repeats, clock)


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
