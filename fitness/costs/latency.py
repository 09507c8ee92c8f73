"""Latency as a cost: measured on a device of this machine, or read from a table of other devices."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import Genotype, Parameters, SearchSpace, TableError, near_name
from rbflex_evo.spaces.errors import reason
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings
from rbflex_evo.spaces.tables.notations import checked_notations

from .metric import CostSubject, Metric

if TYPE_CHECKING:
    from torch import nn


class LatencyParameters(Parameters):
    """Parameters of the measurement.

    Attributes:
        device: Device that is timed.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards; their median is the latency.
    """

    device: str = "cpu"
    warm_up: int = Field(5, ge=0)
    repeats: int = Field(21, ge=1)


class Latency(Metric):
    """Median time of a forward pass of one input, measured on this machine; differs between measurements."""

    name = "latency"
    description = "milliseconds of one input's forward, the median of several measured on the named device, one thread"
    unit = "ms"
    repeatable = False
    Parameters = LatencyParameters
    parameters: LatencyParameters

    def __init__(self, parameters: LatencyParameters, space: SearchSpace) -> None:
        from rbflex_evo.fitness.passes.device import find_device

        super().__init__(parameters, space)
        self.device = find_device(parameters.device)

    def cost(self, architecture: CostSubject) -> float:
        """Measures the latency in milliseconds."""
        import torch

        network = architecture.network.to(self.device)
        images = self.space.example_inputs(1).to(self.device)
        try:
            with own_settings(), own_random_state(), torch.inference_mode():
                for _ in range(self.parameters.warm_up):
                    self._forward(network, images)
                seconds = [self._forward(network, images) for _ in range(self.parameters.repeats)]
        finally:
            architecture.network.to("cpu")
        return six_digits(1000 * statistics.median(seconds))

    def _forward(self, network: nn.Module, images: Any) -> float:
        from rbflex_evo.fitness.passes.device import wait_for

        # An accelerator computes asynchronously, so wait for it before each reading of the clock.
        wait_for(self.device)
        start = time.perf_counter()
        network(images)
        wait_for(self.device)
        return time.perf_counter() - start


class LatencyTableParameters(Parameters):
    """Parameters of `LatencyTable`.

    Attributes:
        path: Path of an ``.npz`` file with one array [architectures] of milliseconds per device.
        device: Name of the array of the device.
        notation: Name of the array of architectures in the notation of the space; None if the rows are in the official order
            of the benchmark.
    """

    path: str
    device: str
    notation: str | None = None


class LatencyTable(Metric):
    """Latencies of a device in a table, as of HW-NAS-Bench (Li et al., ICLR 2021) and HELP (Lee et al., NeurIPS 2021)."""

    name = "latency_table"
    description = "milliseconds of one input's forward on a device, from its array in an .npz file"
    unit = "ms"
    walkable = True
    Parameters = LatencyTableParameters
    parameters: LatencyTableParameters

    def __init__(self, parameters: LatencyTableParameters, space: SearchSpace) -> None:
        super().__init__(parameters, space)
        arrays = _read(parameters, space)
        self._column = arrays[parameters.device]
        self.file = _hash(arrays)
        self._rows: Callable[[Genotype], int | None]
        if parameters.notation is None:
            self._rows = _official_rows(parameters, space, len(self._column))
            return
        notations = checked_notations(parameters.path, space, arrays[parameters.notation].tolist())
        if len(notations) != len(self._column):
            raise TableError(
                f"{parameters.device!r} of {parameters.path!r} has {len(self._column)} rows, but there are "
                f"{len(notations)} notations; expected one for each"
            )
        positions = {notation: row for row, notation in enumerate(notations)}
        self._rows = lambda genotype: positions.get(space.notation(genotype))

    def cost(self, architecture: CostSubject) -> float:
        """Looks up the latency in milliseconds."""
        row = self._rows(architecture.genotype)
        if row is None:
            raise CandidateFailed(f"{self.parameters.path} has no row of it")
        return float(self._column[row])


def _hash(arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return found.hexdigest()


def _read(parameters: LatencyTableParameters, space: SearchSpace) -> dict[str, np.ndarray]:
    file = Path(parameters.path).expanduser()
    if not file.is_file():
        raise TableError(f"no latency table {parameters.path!r}; check its path")
    wanted = [name for name in (parameters.device, parameters.notation) if name is not None]
    try:
        with np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in wanted if name not in arrays.files]
            if missing:
                raise TableError(f"{parameters.path!r} has no column {missing[0]!r}{near_name(missing[0], arrays.files)}")
            found = {name: arrays[name] for name in wanted}
    except TableError:
        raise
    except Exception as error:
        raise TableError(f"{parameters.path!r} is not an .npz file of plain arrays: {reason(error)}") from error
    if parameters.notation is not None and (names := found[parameters.notation]).ndim != 1:
        raise TableError(f"{parameters.notation!r} of {parameters.path!r} is of shape {names.shape}; expected one notation a row")
    column = found[parameters.device]
    if column.ndim != 1 or column.dtype.kind not in "fiu":
        raise TableError(
            f"{parameters.device!r} of {parameters.path!r} is of shape {column.shape} and type {column.dtype}; "
            "expected one number an architecture"
        )
    return found


def _official_rows(parameters: LatencyTableParameters, space: SearchSpace, rows: int) -> Callable[[Genotype], int]:
    index = getattr(space, "index", None)
    if index is None:
        raise TableError(
            f"{space.name} has no official order for the rows of {parameters.path!r}; name the array of architectures, 'notation'"
        )
    if rows != space.encoding.size:
        raise TableError(
            f"{parameters.path!r} is a table of another space: it has {rows:,} rows, but {space.name} has {space.encoding.size:,} "
            "architectures"
        )
    return index  # type: ignore[no-any-return]
