"""A grid over costs, and the best candidate in each of its cells, kept by the archive of pyribs.

    cell      of a candidate: each cost is between two bounds, divided into equal parts; what lies outside is in the outermost part
    elite     the feasible candidate of largest utility in a cell, the earliest of equals
    coverage  share of the cells that have an elite
    QD score  sum over the elites of utility - reference (Pugh, Soros & Stanley, Frontiers in Robotics and AI 3, 2016)

The sum depends on the reference, so QD scores are compared under one reference and one grid only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.spaces import ConfigError

if TYPE_CHECKING:
    from ribs.archives import GridArchive


@dataclass(frozen=True)
class Axis:
    """One cost of a grid.

    Attributes:
        name: Name of the metric.
        lower: Lower bound.
        upper: Upper bound, larger than `lower`.
        cells: Number of equal parts between the bounds.
    """

    name: str
    lower: float
    upper: float
    cells: int


@dataclass(frozen=True)
class Elites:
    """The best candidates of a grid.

    Attributes:
        cells: Number of the cell of each elite, ascending, int64 [elites].
        positions: Position of each elite among the candidates, int64 [elites].
        coverage: Share of the cells that have an elite.
        qd_score: Sum of the elites' utilities minus the reference.
    """

    cells: np.ndarray
    positions: np.ndarray
    coverage: float
    qd_score: float


@dataclass(frozen=True)
class Grid:
    """A grid over one or more costs.

    Raises:
        ConfigError: If ribs is not installed.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        check_ribs()

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod([axis.cells for axis in self.axes]))

    def _archive(self, reference: float = 0.0) -> GridArchive:
        from ribs.archives import GridArchive

        return GridArchive(
            solution_dim=(),
            dims=[axis.cells for axis in self.axes],
            ranges=[(axis.lower, axis.upper) for axis in self.axes],
            qd_score_offset=reference,
            solution_dtype=np.int64,
            seed=0,
        )

    @cached_property
    def _empty(self) -> GridArchive:
        return self._archive()

    def cells_of(self, costs: np.ndarray) -> np.ndarray:
        """Returns the number of the cell of each row of costs [n, axes], int64 [n]."""
        return np.asarray(self._empty.index_of(costs), dtype=np.int64) if len(costs) else np.empty(0, dtype=np.int64)

    def places_of(self, cells: np.ndarray) -> np.ndarray:
        """Returns the parts of each axis that cells are in, int64 [n, axes]."""
        found: Any = self._empty.int_to_grid_index(cells) if len(cells) else np.empty((0, len(self.axes)))
        return np.asarray(found, dtype=np.int64)

    def elites(self, utilities: np.ndarray, costs: np.ndarray, reference: float = 0.0) -> Elites:
        """Returns the best candidate of each cell.

        Args:
            utilities: Utility of each candidate, finite, float64 [n].
            costs: Costs of each candidate, float64 [n, axes].
            reference: Utility that counts nothing for the QD score.
        """
        if not len(utilities):
            return Elites(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 0.0, 0.0)
        archive = self._archive(reference)
        archive.add(np.arange(len(utilities)), utilities, costs)
        found: Any = archive.data(["index", "solution"])
        cells, positions = np.asarray(found["index"], dtype=np.int64), np.asarray(found["solution"], dtype=np.int64)
        order = np.argsort(cells)
        return Elites(cells[order], positions[order], float(archive.stats.coverage), float(archive.stats.qd_score))


def check_ribs() -> None:
    """Checks that pyribs is installed.

    Raises:
        ConfigError: If it is not.
    """
    try:
        import ribs.archives  # noqa: F401
    except ImportError as error:
        raise ConfigError("a grid of elites needs pyribs: install it (pip install 'rbflex-evo[ribs]')") from error


def axes_of(given: Sequence[tuple[str, float | None, float | None, int]], costs: np.ndarray) -> tuple[Axis, ...]:
    """Returns the axes of a grid, with missing bounds taken from a sample.

    Args:
        given: Name, lower bound, upper bound and number of parts of each axis.
        costs: Costs of a sample, float64 [n, axes], at least one row; only used for missing bounds.
    """
    axes = []
    for (name, lower, upper, cells), column in zip(given, costs.T, strict=True):
        low = float(column.min()) if lower is None else lower
        high = float(column.max()) if upper is None else upper
        # A sample may have one value only, or lie beyond a given bound.
        axes.append(Axis(name, low, high if high > low else low + max(1.0, abs(low)), cells))
    return tuple(axes)
