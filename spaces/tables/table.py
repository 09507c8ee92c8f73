"""Known accuracies of a space's architectures behind one interface, `Table`. Reported beside a search, never searched on.

Accuracies are test accuracies in percent, by the notation of the raw genotype as the space writes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters, parse
from rbflex_evo.spaces.registry import Registry
from rbflex_evo.spaces.space import SearchSpace

TABLES = Registry("table")
TABLES.register("nats_bench", "rbflex_evo.spaces.families.nats_bench.table:NatsBenchTable")
TABLES.register("analog_nasbench", "rbflex_evo.spaces.families.nats_bench.analog_table:AnalogNasBenchTable")
TABLES.register("npz", "rbflex_evo.spaces.tables.npz_csv:NpzTable")
TABLES.register("csv", "rbflex_evo.spaces.tables.npz_csv:CsvTable")
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
    kind = TABLES.get(name)
    table: Table = kind(parse(kind.Parameters, values, "table"), space)
    return table


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


class LoadedTable(Table):
    """A table whose accuracies are all read when it is created.

    Attributes:
        loaded: Test accuracies in percent by notation.
        validations: Validation accuracies in percent by notation, as far as they are known.
    """

    loaded: Mapping[str, float]
    validations: Mapping[str, float] = MappingProxyType({})

    def accuracies(self) -> Mapping[str, float]:
        """Returns every known test accuracy in percent by notation."""
        return self.loaded

    def validation(self, notation: str) -> float | None:
        """Returns one validation accuracy in percent, or None if the table does not contain it."""
        return self.validations.get(notation)
