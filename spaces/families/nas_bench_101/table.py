"""NAS-Bench-101's accuracies in compact form: one row a cell, its notation and its accuracy, in an npz or CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.npz_csv import CsvParameters, CsvTable, NpzParameters, NpzTable
from rbflex_evo.spaces.tables.table import Table


class NasBench101TableParameters(Parameters):
    """Names of the arrays of an ``.npz`` file, or of the columns of a ``.csv`` or ``.csv.gz`` file.

    Attributes:
        path: The file.
        notation: cells as rows of a matrix and operations, or as NASLib's tuples.
        accuracy: test accuracies in percent.
        dataset: Name of the data set in reports.
    """

    path: str
    notation: str = "notation"
    accuracy: str = "accuracy"
    dataset: str | None = "cifar10"


class NasBench101Table(Table):
    """Accuracies by architecture: a cell is found whatever the order of its nodes and whatever can be pruned from it."""

    name = "nasbench101"
    description = "NAS-Bench-101 in compact form: cells and accuracies of an .npz or .csv file, found under isomorphism"
    Parameters = NasBench101TableParameters

    def __init__(self, parameters: NasBench101TableParameters, space: SearchSpace) -> None:
        if space.name != "nasbench101":
            raise TableError(f"table {self.name!r} is for space 'nasbench101', but the search space is {space.name!r}")
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        self._space = space
        values = parameters.model_dump()
        if parameters.path.endswith(".npz"):
            self._rows: Table = NpzTable(NpzParameters(**values), space)
        else:
            self._rows = CsvTable(CsvParameters(**values), space)

    def accuracies(self) -> Mapping[str, float]:
        """Returns every known test accuracy in percent by notation, as written in the file."""
        return self._rows.accuracies()

    def accuracy(self, notation: str) -> float | None:
        """Returns the accuracy of the row that is this cell, or the mean of the rows that are isomorphic to it."""
        known = self._rows.accuracy(notation)
        return self._by_key.get(self._space.key(self._space.parse(notation))) if known is None else known

    @cached_property
    def _by_key(self) -> dict[str, float]:
        # Some tenths of a millisecond a row, so that only who asks for a cell that is written otherwise waits for it.
        found: dict[str, list[float]] = {}
        for notation, accuracy in self.accuracies().items():
            found.setdefault(self._space.key(self._space.parse(notation)), []).append(accuracy)
        return {key: sum(values) / len(values) for key, values in found.items()}
