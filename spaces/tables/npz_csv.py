"""Tables from named arrays of an ``.npz`` file and from named columns of a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rbflex_evo.spaces.errors import ConfigError, TableError, near_name, shown
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace

from .files import existing_file, read_csv, read_npz
from .notations import checked_notations
from .percent import check_percent
from .table import LoadedTable


class NpzParameters(Parameters):
    """File and array names of an ``.npz`` table with one row for each architecture.

    Attributes:
        path: Path of the file.
        accuracy: Array [n] of test accuracies in percent, or [n, runs], which is averaged over the runs.
        notation: Array [n] of strings in the notation of the space.
        channels: Array [n, genes] of numbers that give the notation when joined by colons (nats_sss), instead of `notation`.
        code: Array [n, genes] of digits that give the notation when joined (nasbench_macro), instead of `notation`.
        validation: Array [n] of validation accuracies in percent.
        dataset: Name of the data set in reports; None for the name of the accuracy array.
    """

    path: str
    accuracy: str
    notation: str = "arch_str"
    channels: str | None = None
    code: str | None = None
    validation: str | None = None
    dataset: str | None = None


class NpzTable(LoadedTable):
    """Accuracies from named arrays of an ``.npz`` file."""

    name = "npz"
    description = "accuracies from named arrays of an .npz file"
    Parameters = NpzParameters

    def __init__(self, parameters: NpzParameters, space: SearchSpace) -> None:
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        if parameters.channels and parameters.code:
            raise ConfigError("'table.channels' and 'table.code' both give the notation; set one of them")
        wanted = {parameters.accuracy, parameters.notation, parameters.channels, parameters.code, parameters.validation}
        arrays = Columns(parameters.path, *read_npz(existing_file(parameters.path), wanted))
        joined = parameters.channels or parameters.code
        if joined is None:
            notations = arrays.get(parameters.notation).tolist()
        else:
            separator = ":" if parameters.channels else ""
            notations = [separator.join(map(str, row)) for row in arrays.get(joined, 2).tolist()]
        names = checked_notations(parameters.path, space, notations)
        self.loaded = arrays.percentages(parameters.accuracy, names)
        self.trained = arrays.runs(parameters.accuracy, names)
        self.validations = arrays.percentages(parameters.validation, names) if parameters.validation else {}


class CsvParameters(Parameters):
    """File and column names of a ``.csv`` or ``.csv.gz`` table with a header and one row for each architecture.

    Attributes:
        path: Path of the file.
        notation: Column of the architectures in the notation of the space.
        accuracy: Column of test accuracies in percent.
        validation: Column of validation accuracies in percent.
        dataset: Name of the data set in reports; None for the name of the accuracy column.
    """

    path: str
    notation: str = "notation"
    accuracy: str = "accuracy"
    validation: str | None = None
    dataset: str | None = None


class CsvTable(LoadedTable):
    """Accuracies from named columns of a CSV file."""

    name = "csv"
    description = "accuracies from named columns of a .csv or .csv.gz file"
    Parameters = CsvParameters

    def __init__(self, parameters: CsvParameters, space: SearchSpace) -> None:
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        rows = read_csv(existing_file(parameters.path))
        columns = Columns(parameters.path, list(rows), rows)
        names = checked_notations(parameters.path, space, columns.get(parameters.notation).tolist())
        self.loaded = columns.percentages(parameters.accuracy, names)
        self.validations = columns.percentages(parameters.validation, names) if parameters.validation else {}


class Columns:
    """Named columns of one file; every error names the file."""

    def __init__(self, path: str, names: Sequence[str], columns: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self.names = names
        self.columns = columns

    def get(self, name: str, dimensions: int = 1) -> np.ndarray:
        """Returns the column or array of a name.

        Raises:
            TableError: If there is none, or it has another number of dimensions.
        """
        if name not in self.columns:
            raise TableError(f"{self.path!r} has no column or array {name!r}{near_name(name, self.names)}")
        column = self.columns[name]
        if column.ndim != dimensions:
            raise TableError(f"{name!r} of {self.path!r} has shape {column.shape}; expected {dimensions} dimension(s)")
        return column

    def percentages(self, name: str, notations: Sequence[str]) -> dict[str, float]:
        """Returns the accuracies of a column by notation, averaged over runs if it has two dimensions.

        Raises:
            TableError: If the column has another number of rows, or an entry is not a number in percent.
        """
        rows = self._rows(name, notations)
        check_percent(rows, f"{name!r} of {self.path!r}")
        return dict(zip(notations, rows.mean(axis=1).tolist(), strict=True))

    def runs(self, name: str, notations: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Returns the accuracies of every run of a column by notation; none if it has fewer than two runs."""
        rows = self._rows(name, notations)
        return dict(zip(notations, map(tuple, rows.tolist()), strict=True)) if rows.shape[1] > 1 else {}

    def numbers(self, name: str, notations: Sequence[str]) -> dict[str, float]:
        """Returns the numbers of a column in any unit by notation, averaged over runs if it has two dimensions.

        Raises:
            TableError: If the column has another number of rows, or an entry is not a finite number.
        """
        return dict(zip(notations, self._rows(name, notations).mean(axis=1).tolist(), strict=True))

    def _rows(self, name: str, notations: Sequence[str]) -> np.ndarray:
        """Returns the numbers of a column, float64 [rows, runs]."""
        column = self.columns.get(name)
        if column is None or column.ndim != 2 or not column.size:
            column = self.get(name)
        if len(column) != len(notations):
            raise TableError(
                f"{name!r} of {self.path!r} has {len(column)} rows, but there are {len(notations)} notations; expected one for each"
            )
        rows = column.reshape(len(column), -1)
        if rows.dtype.kind not in "fiu":
            rows = np.array([[self._number(value) for value in row] for row in rows])
        wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if wrong.size:
            value = next(value for value in np.ravel(column[wrong[0]]) if not np.isfinite(self._number(value)))
            raise TableError(
                f"{name!r} of {self.path!r}, row {wrong[0] + 1}: expected an accuracy in percent, but it is {shown(str(value))}"
            )
        return rows.astype(np.float64)

    @staticmethod
    def _number(value: Any) -> float:
        """Returns a number, or NaN for what is none; Python reads ``1_0`` as ten, which no table means."""
        if isinstance(value, bool | np.bool_) or "_" in str(value):
            return float("nan")
        try:
            return float(value)
        except (TypeError, ValueError):
            return float("nan")
