"""Known costs of the architectures of a space on devices, read from an ``.npz`` file: one array [architectures] for each device.

A cost is called by its quantity and device, ``latency:pixel3``. The kinds of files differ in how arrays are called and in how rows
belong to architectures:

    name of an array    DEVICE, DEVICE_latency or DEVICE_energy; HW-NAS-Bench puts the data set first
    row                 the index of the architecture in the benchmark, or its notation in another array
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import TableError, near_name, shown
from rbflex_evo.spaces.registry import Registry
from rbflex_evo.spaces.space import SearchSpace

from .files import existing_file, read_npz

UNITS = {"latency": "ms", "energy": "mJ"}

DEVICE_TABLES = Registry("device table")
DEVICE_TABLES.register("hw_nas_bench", "rbflex_evo.spaces.families.nats_bench.device_tables:HwNasBenchTable")
DEVICE_TABLES.register("fbnet", "rbflex_evo.spaces.families.inverted_residuals.fbnet_table:FbnetTable")
DEVICE_TABLES.register("help_nb201", "rbflex_evo.spaces.families.nats_bench.device_tables:HelpTable")
DEVICE_TABLES.register("npz", "rbflex_evo.spaces.tables.device_npz:NpzDeviceTable")


@dataclass(frozen=True)
class DeviceCost:
    """A cost that a table knows.

    Attributes:
        quantity: "latency" in ms or "energy" in mJ.
        device: Name of the device in the file.
        array: Name of the array of the file.
        dataset: Name of the data set whose images the network reads; None if the file tells none.
    """

    quantity: str
    device: str
    array: str
    dataset: str | None = None

    @property
    def name(self) -> str:
        """Name of the metric, as in ``latency:pixel3``."""
        return f"{self.quantity}:{self.device}"

    @property
    def unit(self) -> str:
        """Unit of the cost."""
        return UNITS[self.quantity]


class DeviceTable(ABC):
    """Costs of one space on devices. Subclasses say which files are theirs and which row an architecture has.

    Args:
        path: Path of the ``.npz`` file.
        names: Names of its arrays.
        space: The space that the table must belong to.
        notation: Name of the array of notations, for kinds of `named_notations`.

    Attributes:
        name: Registered name.
        description: One line for ``list devices``.
        spaces: Names of the spaces that have such a table; empty for any space.
        published: Names of the metrics that the published file has; empty if they depend on the file.
        datasets: Names of the data sets, the default first; empty if the file tells none.
        named_notations: Whether the array of notations may be named.

    Raises:
        TableError: From the constructor, if the file is of another space.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    spaces: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[tuple[str, ...]] = ()
    datasets: ClassVar[tuple[str, ...]] = ()
    named_notations: ClassVar[bool] = False

    def __init__(self, path: str, names: Sequence[str], space: SearchSpace, notation: str | None = None) -> None:
        self.path, self.names, self.space, self.notation = path, names, space, notation
        if notation is not None and not self.named_notations:
            raise TableError(f"'notation' is for the device table 'npz', but {path!r} is a {self.name!r}; leave it out")
        if self.spaces and space.name not in self.spaces:
            raise TableError(
                f"{path!r} is a device table {self.name!r}, which is for {' and '.join(self.spaces)}, but the search space is "
                f"{space.name!r}; name a file of that space"
            )

    @classmethod
    @abstractmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Returns whether a file with arrays of these names is of this kind."""

    @abstractmethod
    def notations(self) -> Sequence[str] | None:
        """Returns the architectures of the rows in the notation of the space, or None if the rows are in its official order."""

    def costs(self) -> list[DeviceCost]:
        """Returns every cost of the file, in the order of its arrays."""
        return [cost for name in self.names if (cost := self.cost_of(name)) is not None]

    def cost_of(self, array: str) -> DeviceCost | None:
        """Returns the cost that an array holds by its name, or None if it holds none."""
        found = re.fullmatch(r"(.+)_(latency|energy)", array)
        return DeviceCost(found[2], found[1], array) if found else DeviceCost("latency", array, array)

    def find(self, name: str, dataset: str | None = None) -> DeviceCost:
        """Returns the cost of a metric, as ``latency:pixel3``.

        Args:
            name: Name of the metric.
            dataset: Name of a data set; None for the first of `datasets`.

        Raises:
            TableError: If the file has no such cost, or no such data set.
        """
        if dataset is not None and dataset not in self.datasets:
            known = near_name(dataset, self.datasets) if self.datasets else "; leave out 'dataset'"
            raise TableError(f"{self.path!r} has no data set {shown(dataset)}{known}")
        wanted = dataset or (self.datasets[0] if self.datasets else None)
        costs = {cost.name: cost for cost in self.costs() if cost.dataset == wanted}
        if name not in costs:
            raise TableError(
                f"{self.path!r} has no {name!r}{near_name(name, costs)}; rbflex-evo list devices {self.space.name} --path FILE "
                "lists what it has"
            )
        return costs[name]

    def values(self, cost: DeviceCost) -> np.ndarray:
        """Returns the costs of all rows, float64 [rows].

        Raises:
            TableError: If the array is not one finite number for each row.
        """
        column = self._read(cost.array)
        if column.ndim != 1 or column.dtype.kind not in "fiu":
            raise TableError(
                f"{cost.array!r} of {self.path!r} is of shape {column.shape} and type {column.dtype}; "
                "expected one number an architecture"
            )
        found = column.astype(np.float64)
        wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
        if wrong.size:
            raise TableError(
                f"{cost.array!r} of {self.path!r}, row {wrong[0] + 1} is {found[wrong[0]]:g}; expected a number of {cost.unit} "
                "of at least 0"
            )
        return found

    def rows(self, values: np.ndarray) -> Callable[[Genotype], int | None]:
        """Returns the function from genotypes to rows of `values`, None for an architecture without a row.

        Raises:
            TableError: If there are not as many values as architectures.
        """
        notations = self._checked_notations
        if notations is None:
            return self._official(len(values))
        if len(notations) != len(values):
            raise TableError(
                f"{self.path!r} has {len(values)} rows of a device, but there are {len(notations)} notations; expected one for each"
            )
        positions = {notation: row for row, notation in enumerate(notations)}
        # A network may be in the file by another of its genotypes.
        of_keys = {self.space.key(self.space.parse(notation)): row for notation, row in reversed(positions.items())}

        def row(genotype: Genotype) -> int | None:
            found = positions.get(self.space.notation(genotype))
            return of_keys.get(self.space.key(genotype)) if found is None else found

        return row

    def genotypes(self, rows: int) -> Iterator[Genotype]:
        """Yields the genotype of each of the first `rows` rows."""
        notations = self._checked_notations
        return (self.space.at(row) if notations is None else self.space.parse(notations[row]) for row in range(rows))

    def digest(self, cost: DeviceCost) -> str:
        """Returns a hash of what is read of the file for a cost: its array, and the notations."""
        found = hashlib.sha256()
        for array in (self._read(cost.array), np.array(self._checked_notations or [])):
            found.update(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes())
        return found.hexdigest()

    @cached_property
    def _checked_notations(self) -> Sequence[str] | None:
        return self.notations()

    def _read(self, array: str) -> np.ndarray:
        return read_npz(existing_file(self.path), {array})[1][array]

    def _official(self, rows: int) -> Callable[[Genotype], int | None]:
        index: Callable[[Genotype], int] | None = getattr(self.space, "index", None)
        if index is None:
            raise TableError(
                f"{self.space.name} has no official order for the rows of {self.path!r}; name the array of notations, 'notation'"
            )
        if rows != self.space.encoding.size:
            raise TableError(
                f"{self.path!r} is a table of another space: it has {rows:,} rows, but {self.space.name} has "
                f"{self.space.encoding.size:,} architectures"
            )
        return index


def open_device_table(path: str, space: SearchSpace, table: str | None = None, notation: str | None = None) -> DeviceTable:
    """Returns the device table of a file.

    Args:
        path: Path of the file.
        space: The space that the table must belong to.
        table: Registered name of its kind; None to tell it from the names of the arrays.
        notation: Name of the array of notations, for the kind "npz".

    Raises:
        TableError: If the file is missing, unreadable, of another kind or of another space.
        UnknownNameError: If no kind has that name.
    """
    names, _ = read_npz(existing_file(path), ())
    kinds: Mapping[str, type[DeviceTable]] = {kind: DEVICE_TABLES.get(kind) for kind in DEVICE_TABLES.names()}
    if notation is not None and table is None:
        table = "npz"
    if table is None:
        table = next((kind for kind, known in kinds.items() if kind != "npz" and known.fits(names)), "npz")
    elif not DEVICE_TABLES.get(table).fits(names):
        raise TableError(f"{path!r} is no device table {table!r}; it has the arrays {', '.join(names[:4])} ...")
    return kinds[table](path, names, space, notation)
