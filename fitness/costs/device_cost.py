"""Costs on a device, read from a table of measurements or estimates, as of HW-NAS-Bench and HELP.

    latency:pixel3: {max: 8.0, path: hwnasbench.npz, dataset: cifar100}

The numbers are those of the benchmark's network of an architecture, whatever width and depth the space has been given.
"""

from __future__ import annotations

from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import Parameters, SearchSpace, TableError
from rbflex_evo.spaces.tables.device_table import UNITS, open_device_table

from .metric import CostSubject, Metric


class DeviceCostParameters(Parameters):
    """Parameters of a cost on a device.

    Attributes:
        path: Path of an ``.npz`` file with one array [architectures] of numbers for each device.
        table: Kind of the file, as listed by ``list devices``; None to tell it from the names of its arrays.
        dataset: Data set whose images the networks read, where the file has several; None for its first.
        notation: Name of the array of architectures in the notation of the space, where rows are not in an official order.
    """

    path: str
    table: str | None = None
    dataset: str | None = None
    notation: str | None = None


class DeviceLatency(Metric):
    """Latency on a device of a table."""

    name = "latency:DEVICE"
    description = "milliseconds of a forward on a device, as latency:pixel3, from a table of devices"
    unit = UNITS["latency"]
    walkable = True
    Parameters = DeviceCostParameters
    parameters: DeviceCostParameters

    def __init__(self, parameters: DeviceCostParameters, space: SearchSpace, name: str | None = None) -> None:
        super().__init__(parameters, space, name)
        if name is None:
            raise TableError(f"{self.name!r} needs the name of a device, as in {self.name.replace('DEVICE', 'raspi4')!r}")
        table = open_device_table(parameters.path, space, parameters.table, parameters.notation)
        cost = table.find(name, parameters.dataset)
        self._values = table.values(cost)
        self._rows = table.rows(self._values)
        self.file = table.digest(cost)

    def cost(self, architecture: CostSubject) -> float:
        """Looks up the cost."""
        row = self._rows(architecture.genotype)
        if row is None:
            raise CandidateFailed(f"{self.parameters.path} has no row of it")
        return float(self._values[row])


class DeviceEnergy(DeviceLatency):
    """Energy on a device of a table."""

    name = "energy:DEVICE"
    description = "millijoules of a forward on a device, as energy:edgegpu, from a table of devices"
    unit = UNITS["energy"]
