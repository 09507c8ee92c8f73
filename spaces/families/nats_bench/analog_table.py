"""AnalogNAS-Bench as a `Table`, read from the data file of its package without importing the package."""

from __future__ import annotations

import importlib.metadata
import pickle
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from rbflex_evo.spaces.errors import TableError, reason
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.percent import check_percent
from rbflex_evo.spaces.tables.table import LoadedTable


class AnalogNasBenchParameters(Parameters):
    """Parameters of the AnalogNAS-Bench table.

    Attributes:
        dataset: Data set; the package contains CIFAR-10 only.
    """

    dataset: Literal["cifar10"] = "cifar10"


class AnalogNasBenchTable(LoadedTable):
    """Baseline accuracies of AnalogNAS-Bench: every nats_tss cell, trained on CIFAR-10 with an independent recipe.

    The file is read without importing the package, which requires an outdated setuptools.
    """

    name = "analog_nasbench"
    description = "AnalogNAS-Bench: all nats_tss cells on CIFAR-10, from a pip package"
    Parameters = AnalogNasBenchParameters

    def __init__(self, parameters: AnalogNasBenchParameters, space: SearchSpace) -> None:
        self.space, self.dataset = "nats_tss", parameters.dataset
        self.check(space)
        self.loaded = _analog_accuracies(_analog_file())


def _analog_file() -> Path:
    try:
        files = importlib.metadata.files("analog-nasbench") or []
    except importlib.metadata.PackageNotFoundError:
        raise TableError("table 'analog_nasbench' needs a package: pip install \"rbflex-evo[tables]\"") from None
    paths = [Path(str(file.locate())) for file in files if file.parts[-2:] == ("analognasbench", "data.anb")]
    if not paths or not paths[0].is_file():
        raise TableError('the package analog-nasbench lacks its file data.anb: pip install --force-reinstall "rbflex-evo[tables]"')
    return paths[0]


class _Architecture:
    """Replaces the class of that name in the package; unpickling sets its attributes."""

    architecture: tuple[int, ...]
    baseline_accuracy: float


class _DriftMeasurement:
    """Replaces the class of that name in the package."""


class _AnalogUnpickler(pickle.Unpickler):
    """Admits only the two classes of AnalogNAS-Bench, so that a file cannot run code."""

    def find_class(self, module: str, name: str) -> type:
        if module == "analognasbench.data" and name == "Architecture":
            return _Architecture
        if module == "analognasbench.data" and name == "DriftMeasurement":
            return _DriftMeasurement
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not a class of the benchmark")


# Operations in the order of the package, and its positions of the edges 0>1, 0>2, 1>2, 0>3, 1>3, 2>3.
_ANALOG_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_ANALOG_EDGES = (0, 1, 3, 2, 4, 5)


@cache
def _analog_accuracies(path: Path) -> dict[str, float]:
    try:
        with path.open("rb") as file:
            cells = _AnalogUnpickler(file).load()
        found = {_analog_notation(cell): float(data.baseline_accuracy) for cell, data in cells.items()}
        check_percent(found, f"{str(path)!r}")
        return found
    except TableError:
        raise
    except Exception as error:
        raise TableError(f"{str(path)!r} is not AnalogNAS-Bench's data: {reason(error)}") from error


def _analog_notation(cell: Sequence[int]) -> str:
    a, b, c, d, e, f = (_ANALOG_OPERATIONS[cell[edge]] for edge in _ANALOG_EDGES)
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
