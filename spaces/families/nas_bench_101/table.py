"""Accuracies of NAS-Bench-101 in compact form: the notation and accuracy of each cell, in an npz or CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.npz_csv import CsvParameters, CsvTable, NpzParameters, NpzTable
from rbflex_evo.spaces.tables.table import Table


class NasBench101TableParameters(Parameters):
    """File and array names of an ``.npz`` file, or column names of a ``.csv`` or ``.csv.gz`` file.

    Attributes:
        path: Path of the file.
        notation: Cells as matrix rows and operations, or as tuples of NASLib.
        accuracy: Test accuracies in percent.
        dataset: Name of the data set in reports; None for the name of the accuracies.
    """

    path: str
    notation: str = "notation"
    accuracy: str = "accuracy"
    dataset: str | None = "cifar10"


class NasBench101Table(Table):
    """Accuracies of NAS-Bench-101 cells, which are found up to isomorphism and pruning."""

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
        """Returns the accuracy of the cell, or the mean over the cells that are isomorphic to it."""
        known = self._rows.accuracy(notation)
        return self._by_key.get(self._space.key(self._space.parse(notation))) if known is None else known

    @cached_property
    def _by_key(self) -> dict[str, float]:
        # Takes some tenths of a millisecond for each row, so it is built only when a cell is not found by its notation.
        found: dict[str, list[float]] = {}
        for notation, accuracy in self.accuracies().items():
            found.setdefault(self._space.key(self._space.parse(notation)), []).append(accuracy)
        return {key: sum(values) / len(values) for key, values in found.items()}
