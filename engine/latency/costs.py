"""Where the costs come from that a predictor is fitted to: measurements on this machine, or a table of devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.costs.predictors.transfer import KnownDevices
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace, near_name
from rbflex_evo.spaces.tables.chips import chip_of
from rbflex_evo.spaces.tables.device_table import UNITS, open_device_table

from .measurements import Measurements
from .timing import CLOCKS, ONNX, Timing, TimingSettings, timer

TABLE = "table:"
# Draws without a new architecture after which a space counts as exhausted.
PATIENCE = 1000


class CostSource(ABC):
    """Costs of architectures of one space on one device.

    Attributes:
        device: Name of the device.
        quantity: "latency" or "energy".
        facts: What is needed to obtain such costs again, as JSON data.
    """

    device: str
    quantity: str = "latency"
    facts: Mapping[str, Any]

    @property
    def unit(self) -> str:
        """Unit of the costs."""
        return UNITS[self.quantity]

    @property
    def runtime(self) -> str:
        """What runs the networks, as `cut` knows it."""
        return ONNX if self.device == ONNX else "eager"

    @abstractmethod
    def sample(self, count: int, seed: int) -> list[Genotype]:
        """Returns distinct architectures that have a cost, at random."""

    @abstractmethod
    def costs(self, genotypes: Sequence[Genotype], journal: Path, progress: Callable[[], None]) -> tuple[np.ndarray, list[Timing]]:
        """Returns the costs of architectures, float64 [architectures], and how they were timed, empty if they were not.

        Args:
            genotypes: Architectures of `sample`.
            journal: Journal of measurements.
            progress: Called after each architecture.
        """


class Measured(CostSource):
    """Latencies that are measured on this machine."""

    def __init__(self, space: SearchSpace, settings: TimingSettings) -> None:
        from rbflex_evo.engine.export.onnx_file import check_packages
        from rbflex_evo.fitness.passes.device import find_device

        if settings.device == ONNX:
            check_packages()
        else:
            find_device(settings.device)
        self.space, self.settings, self.device = space, settings, settings.device
        # A check measures whole networks.
        self.facts = replace(settings, operations=False).as_values()

    def sample(self, count: int, seed: int) -> list[Genotype]:
        """Returns the representatives of distinct keys."""
        rng = np.random.Generator(np.random.PCG64(seed))
        found: dict[str, Genotype] = {}
        misses = 0
        while len(found) < count and misses < PATIENCE:
            key = self.space.key(self.space.encoding.sample(rng))
            misses = misses + 1 if key in found else 0
            found.setdefault(key, self.space.representative(key))
        return list(found.values())

    def costs(self, genotypes: Sequence[Genotype], journal: Path, progress: Callable[[], None]) -> tuple[np.ndarray, list[Timing]]:
        """Measures what the journal does not hold."""
        measurements = Measurements(journal, self.space, self.settings)
        timings = []
        with timer(self.space, self.settings) as time:
            for _, timing in measurements.measured(genotypes, time):
                timings.append(timing)
                progress()
        return np.array([timing.median for timing in timings]), timings


class Tabulated(CostSource):
    """Costs of a table of devices."""

    def __init__(self, space: SearchSpace, metric: str, path: str, dataset: str | None) -> None:
        table = open_device_table(path, space)
        cost = table.find(metric if ":" in metric else f"latency:{metric}", dataset)
        self.device, self.quantity = cost.device, cost.quantity
        self.facts = {"device": f"{TABLE}{cost.name}", "path": path, "dataset": cost.dataset}
        self._values = table.values(cost)
        self._rows = table.rows(self._values)
        self._genotypes = list(table.genotypes(len(self._values)))

    def sample(self, count: int, seed: int) -> list[Genotype]:
        """Returns architectures of the table with a cost above 0."""
        rng = np.random.Generator(np.random.PCG64(seed))
        rows = np.flatnonzero(self._values > 0)
        return [self._genotypes[row] for row in rng.permutation(rows)[:count]]

    def costs(self, genotypes: Sequence[Genotype], journal: Path, progress: Callable[[], None]) -> tuple[np.ndarray, list[Timing]]:
        """Looks the costs up."""
        rows = [self._rows(genotype) for genotype in genotypes]
        return np.array([self._values[row] for row in rows if row is not None]), []


def cost_source(
    space: SearchSpace,
    device: str,
    path: str | None = None,
    dataset: str | None = None,
    warm_up: int = 5,
    repeats: int = 31,
    clock: str = "wall",
    operations: bool = False,
) -> CostSource:
    """Returns the source of costs that a command names.

    Args:
        space: Search space.
        device: "cpu" or another device of torch, "onnx", or "table:" with a device or a metric of a table.
        path: Path of the table.
        dataset: Data set of the table.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards.
        clock: Name of a clock of `CLOCKS`.
        operations: Whether every operation is timed, too.

    Raises:
        ConfigError: If a path is missing, or given without a table, or the clock does not fit the device, or operations are to
            be timed elsewhere than in torch.
        DeviceError: If the device is not available.
        TableError: If the table lacks the device, or is of another space.
    """
    if operations and (device == ONNX or device.startswith(TABLE)):
        raise ConfigError(f"layers are timed in torch, but the device is {device!r}; use --device cpu, or --kind lookup")
    if device.startswith(TABLE):
        if path is None:
            raise ConfigError(f"--device {device} needs --path, the file of the table")
        return Tabulated(space, device.removeprefix(TABLE), path, dataset)
    if path is not None or dataset is not None:
        raise ConfigError(f"--path and --dataset are for --device table:NAME, but the device is {device!r}; leave them out")
    if clock not in CLOCKS:
        raise ConfigError(f"unknown clock {clock!r}{near_name(clock, CLOCKS)}")
    if clock == "processor" and device not in ("cpu", ONNX):
        raise ConfigError(f"the clock 'processor' does not count while {device!r} computes; use --clock wall")
    return Measured(space, TimingSettings(device, warm_up, repeats, clock, operations))


def known_devices(space: SearchSpace, path: str, without: Sequence[str]) -> KnownDevices:
    """Returns the devices of a table that are of other chips than some devices.

    Args:
        space: Search space of the table.
        path: Path of the table.
        without: Names of devices.

    Raises:
        ConfigError: If fewer than two devices remain.
        TableError: If the table is missing or of another space.
    """
    table = open_device_table(path, space)
    chips = {chip_of(device) for device in without}
    first = table.datasets[0] if table.datasets else None
    costs = [cost for cost in table.costs() if cost.dataset == first and chip_of(cost.device) not in chips]
    if len(costs) < 2:
        raise ConfigError(
            f"{path!r} has {len(costs)} devices of other chips than {', '.join(sorted(chips))}; expected at least two"
        )
    values = np.stack([table.values(cost) for cost in costs], axis=1)
    names, of_chips = tuple(cost.name for cost in costs), tuple(chip_of(cost.device) for cost in costs)
    return KnownDevices(names, of_chips, values, list(table.genotypes(len(values))))
