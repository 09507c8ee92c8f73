"""Known accuracies of a space's architectures behind one interface, `Table`. Reported beside a search, never searched on.

Accuracies are test accuracies in percent, by the notation of the raw genotype as the space writes it.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rbflex_evo.spaces.errors import ConfigError, TableError, near_name, reason
from rbflex_evo.spaces.parameters import Parameters, parse
from rbflex_evo.spaces.registry import Registry
from rbflex_evo.spaces.space import SearchSpace

from .notations import checked_notations

TABLES = Registry("table")
TABLES.register("nats_bench", "rbflex_evo.spaces.families.nats_bench.table:NatsBenchTable")
TABLES.register("analog_nasbench", "rbflex_evo.spaces.families.nats_bench.analog_table:AnalogNasBenchTable")
TABLES.register("npz", "rbflex_evo.spaces.tables.table:NpzTable")
TABLES.register("csv", "rbflex_evo.spaces.tables.table:CsvTable")
TABLES.register("nasbench101", "rbflex_evo.spaces.families.nas_bench_101.table:NasBench101Table")
TABLES.register("nds", "rbflex_evo.spaces.families.nds.table:NdsTable")
TABLES.register("nafbee", "rbflex_evo.spaces.families.nafbee.table:NafbeeTable")
TABLES.register("transnas101", "rbflex_evo.spaces.families.transnas_bench_101.table:TransNasTable")


def create_table(name: str, space: SearchSpace, **values: object) -> Table:
    """Returns the registered table `name` for `space` with those parameters.

    Raises:
        UnknownNameError: if no table has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
        TableError: if the table is missing, unreadable or of another space.
    """
    table = TABLES.get(name)
    return table(parse(table.Parameters, values, "table"), space)


class Table(ABC):
    """Known accuracies of one space on one data set; a subclass gives `accuracies`, the rest follows.

    Attributes:
        name: the registered name.
        space: the name of the space that it belongs to.
        dataset: what the accuracies were measured on.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""
    Parameters: ClassVar[type[Parameters]] = Parameters

    space: str
    dataset: str

    @abstractmethod
    def accuracies(self) -> Mapping[str, float]:
        """Returns every known test accuracy in percent by notation; may take long the first time.

        Raises:
            TableError: if there is none or one cannot be read.
        """

    def accuracy(self, notation: str) -> float | None:
        """Returns one test accuracy in percent, None where the table does not know it."""
        return self.accuracies().get(notation)

    def validation(self, notation: str) -> float | None:
        """Returns one validation accuracy in percent, None where the table does not know it."""
        return None

    def __len__(self) -> int:
        return len(self.accuracies())

    def values(self) -> np.ndarray:
        """Returns float64 [len(table)], all known test accuracies in ascending order."""
        return self._sorted

    def best(self) -> tuple[str, float]:
        """Returns the notation and the accuracy of the best architecture; the first in the table's order among equals."""
        accuracies = self.accuracies()
        notation = max(accuracies, key=accuracies.__getitem__)
        return notation, accuracies[notation]

    def mean(self) -> float:
        """Returns the mean of all known accuracies."""
        return float(self._sorted.mean())

    def percentile(self, accuracy: float) -> float:
        """Returns the percentage of the table that lies at or below `accuracy`."""
        return 100.0 * float(np.searchsorted(self._sorted, accuracy, side="right")) / len(self)

    def check(self, space: SearchSpace) -> None:
        """Checks that the table belongs to `space`.

        Raises:
            TableError: if it belongs to another.
        """
        if space.name != self.space:
            raise TableError(
                f"table {self.name!r} is for space {self.space!r}, but the search space is {space.name!r}; "
                "drop the table or choose that space"
            )

    @cached_property
    def _sorted(self) -> np.ndarray:
        values = np.sort(np.fromiter(self.accuracies().values(), dtype=np.float64))
        values.flags.writeable = False
        return values


class NpzParameters(Parameters):
    """Names of the arrays of an ``.npz`` file, one row an architecture.

    Attributes:
        path: The file.
        accuracy: array [n] of test accuracies in percent, or [n, runs], whose mean over the runs is taken.
        notation: array [n] of strings in the space's notation.
        channels: array [n, genes] of numbers that make the notation when joined by colons (nats_sss); instead of `notation`.
        code: array [n, genes] of digits that make the notation when joined (nasbench_macro); instead of `notation`.
        validation: array [n] of validation accuracies in percent.
        dataset: what to call the data set in reports; None for the name of the accuracy array.
    """

    path: str
    accuracy: str
    notation: str = "arch_str"
    channels: str | None = None
    code: str | None = None
    validation: str | None = None
    dataset: str | None = None


class NpzTable(Table):
    """Accuracies from arrays of an ``.npz`` file."""

    name = "npz"
    description = "accuracies from named arrays of an .npz file"
    Parameters = NpzParameters

    def __init__(self, parameters: NpzParameters, space: SearchSpace) -> None:
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        if parameters.channels and parameters.code:
            raise ConfigError("'table.channels' and 'table.code' both say what the notation is; give one of them")
        wanted = {parameters.accuracy, parameters.notation, parameters.channels, parameters.code, parameters.validation}
        arrays = _Columns(parameters.path, *_read_npz(_existing(parameters.path), wanted))
        joined = parameters.channels or parameters.code
        if joined is None:
            notations = arrays.get(parameters.notation).tolist()
        else:
            separator = ":" if parameters.channels else ""
            notations = [separator.join(map(str, row)) for row in arrays.get(joined, 2).tolist()]
        names = checked_notations(parameters.path, space, notations)
        self._accuracies = arrays.numbers(parameters.accuracy, names)
        self._validations = arrays.numbers(parameters.validation, names) if parameters.validation else {}

    def accuracies(self) -> Mapping[str, float]:
        return self._accuracies

    def validation(self, notation: str) -> float | None:
        return self._validations.get(notation)


class CsvParameters(Parameters):
    """Names of the columns of a ``.csv`` or ``.csv.gz`` file with a header, one row an architecture.

    Attributes:
        path: The file.
        notation: column of the architectures in the space's notation.
        accuracy: column of test accuracies in percent.
        validation: column of validation accuracies in percent.
        dataset: what to call the data set in reports; None for the name of the accuracy column.
    """

    path: str
    notation: str = "notation"
    accuracy: str = "accuracy"
    validation: str | None = None
    dataset: str | None = None


class CsvTable(Table):
    """Accuracies from columns of a CSV file."""

    name = "csv"
    description = "accuracies from named columns of a .csv or .csv.gz file"
    Parameters = CsvParameters

    def __init__(self, parameters: CsvParameters, space: SearchSpace) -> None:
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        rows = read_csv(_existing(parameters.path))
        columns = _Columns(parameters.path, list(rows), rows)
        names = checked_notations(parameters.path, space, columns.get(parameters.notation).tolist())
        self._accuracies = columns.numbers(parameters.accuracy, names)
        self._validations = columns.numbers(parameters.validation, names) if parameters.validation else {}

    def accuracies(self) -> Mapping[str, float]:
        return self._accuracies

    def validation(self, notation: str) -> float | None:
        return self._validations.get(notation)


class _Columns:
    """Named columns of one file; every error names the file."""

    def __init__(self, path: str, names: Sequence[str], columns: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self.names = names
        self.columns = columns

    def get(self, name: str, dimensions: int = 1) -> np.ndarray:
        if name not in self.columns:
            raise TableError(f"{self.path!r} has no column or array {name!r}{near_name(name, self.names)}")
        column = self.columns[name]
        if column.ndim != dimensions:
            raise TableError(f"{name!r} of {self.path!r} has shape {column.shape}; expected {dimensions} dimension(s)")
        return column

    def numbers(self, name: str, notations: Sequence[str]) -> dict[str, float]:
        column = self.columns.get(name)
        if column is not None and column.ndim == 2 and column.size and np.issubdtype(column.dtype, np.number):
            column = column.mean(axis=1, dtype=np.float64)  # of the runs
        else:
            column = self.get(name)
        if len(column) != len(notations):
            raise TableError(
                f"{name!r} of {self.path!r} has {len(column)} rows, but there are {len(notations)} notations; expected one for each"
            )
        rows = enumerate(zip(notations, column, strict=True), start=1)
        return {notation: self._number(name, row, value) for row, (notation, value) in rows}

    def _number(self, name: str, row: int, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not np.isfinite(number):
            raise TableError(f"{name!r} of {self.path!r}, row {row}: expected an accuracy in percent, but it is {str(value)!r}")
        return number


def _existing(path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise TableError(f"no table file {path!r}; check table.path")
    return file


def _read_npz(file: Path, wanted: Collection[str | None]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the names of all arrays, and the wanted ones."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays.files, {name: arrays[name] for name in arrays.files if name in wanted}
    except Exception as error:
        raise TableError(f"{str(file)!r} is not an .npz file of plain arrays: {reason(error)}") from error


def read_csv(file: Path) -> dict[str, np.ndarray]:
    """Returns the columns of a .csv or .csv.gz file with a header, strings [rows] each.

    Raises:
        TableError: if it is no such file, or a row has another number of fields.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        header, *rows = list(csv.reader(text, strict=True)) or [[]]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{str(file)!r} is not a CSV file: {reason(error)}") from error
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise TableError(f"{str(file)!r}, row {number} has {len(row)} fields; expected {len(header)} as in its header")
    return {name.strip(): np.array([row[i] for row in rows], dtype=object) for i, name in enumerate(header)}
