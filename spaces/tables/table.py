"""Known accuracies of the architectures of a space, behind one interface, `Table`.

They are reported next to the results of a search; the search itself never reads them.

Accuracies are test accuracies in percent, by the notation of the raw genotype.
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
TABLES.register("autoformer", "rbflex_evo.spaces.families.autoformer.table:AutoFormerTable")
TABLES.register("flexibert", "rbflex_evo.spaces.families.flexibert.table:FlexiBertTable")
TABLES.register("npz", "rbflex_evo.spaces.tables.npz_csv:NpzTable")
TABLES.register("csv", "rbflex_evo.spaces.tables.npz_csv:CsvTable")
TABLES.register("nasbench101", "rbflex_evo.spaces.families.nas_bench_101.table:NasBench101Table")
TABLES.register("nds", "rbflex_evo.spaces.families.nds.table:NdsTable")
TABLES.register("nafbee", "rbflex_evo.spaces.families.nafbee.table:NafbeeTable")
TABLES.register("timm", "rbflex_evo.spaces.families.models.table:TimmTable")
TABLES.register("transnas101", "rbflex_evo.spaces.families.transnas_bench_101.table:TransNasTable")
TABLES.register("vitbench101", "rbflex_evo.spaces.families.pit.table:VitBenchTable")


def create_table(name: str, space: SearchSpace, **values: object) -> Table:
    """Returns a registered table.

    Args:
        name: Registered name.
        space: The space that the table must belong to.
        **values: Parameters of the table.

    Raises:
        UnknownNameError: If no table has that name.
        ConfigError: If a parameter is unknown or has a wrong type.
        TableError: If the table is missing, unreadable or belongs to another space.
    """
    kind = TABLES.get(name)
    table: Table = kind(parse(kind.Parameters, values, "table"), space)
    return table


class Table(ABC):
    """Known accuracies of one space on one data set. Subclasses implement `accuracies`.

    Attributes:
        name: Registered name.
        space: Name of the space that the table belongs to.
        dataset: Name of the data set of the accuracies.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""
    Parameters: ClassVar[type[Parameters]] = Parameters

    space: str
    dataset: str

    @abstractmethod
    def accuracies(self) -> Mapping[str, float]:
        """Returns every known test accuracy in percent by notation; the first call may take long.

        Raises:
            TableError: If there is no accuracy, or one cannot be read.
        """

    def accuracy(self, notation: str) -> float | None:
        """Returns one test accuracy in percent, or None if the table does not contain it."""
        return self.accuracies().get(notation)

    def validation(self, notation: str) -> float | None:
        """Returns one validation accuracy in percent, or None if the table does not contain it."""
        return None

    def runs(self, notation: str) -> tuple[float, ...]:
        """Returns the test accuracies of the architecture's training runs in percent, whose mean is its accuracy.

        All architectures have the same runs in the same order, NaN where one is missing. The tuple is empty if the table holds
        one figure for each architecture, or does not contain this one.
        """
        return ()

    def __len__(self) -> int:
        return len(self.accuracies())

    def values(self) -> np.ndarray:
        """Returns all known test accuracies in ascending order, float64 [len(table)]."""
        return self._sorted

    def best(self) -> tuple[str, float]:
        """Returns the notation and the accuracy of the best architecture, the first in the order of the table among equals."""
        accuracies = self.accuracies()
        notation = max(accuracies, key=accuracies.__getitem__)
        return notation, accuracies[notation]

    def mean(self) -> float:
        """Returns the mean of all known accuracies."""
        return float(self._sorted.mean())

    def percentile(self, accuracy: float) -> float:
        """Returns the percentage of known accuracies that are at most `accuracy`."""
        return 100.0 * float(np.searchsorted(self._sorted, accuracy, side="right")) / len(self)

    def check(self, space: SearchSpace) -> None:
        """Checks that the table belongs to `space`.

        Raises:
            TableError: If it belongs to another space.
        """
        if space.name != self.space:
            raise TableError(
                f"table {self.name!r} is for space {self.space!r}, but the search space is {space.name!r}; "
                "remove the table or choose that space"
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
        trained: Test accuracies in percent of each training run by notation; empty if there is one figure each.
    """

    loaded: Mapping[str, float]
    validations: Mapping[str, float] = MappingProxyType({})
    trained: Mapping[str, tuple[float, ...]] = MappingProxyType({})

    def accuracies(self) -> Mapping[str, float]:
        """Returns every known test accuracy in percent by notation."""
        return self.loaded

    def validation(self, notation: str) -> float | None:
        """Returns one validation accuracy in percent, or None if the table does not contain it."""
        return self.validations.get(notation)

    def runs(self, notation: str) -> tuple[float, ...]:
        """Returns the test accuracies of the architecture's training runs in percent; empty if there is one figure each."""
        return self.trained.get(notation, ())
