"""MAP-Elites: the best network in every cell of a grid over costs (Mouret & Clune, 2015, arXiv 1504.04909).

    grid <- empty                                       one axis for each cost, such as params and FLOPs
    evaluate `initial` unseen genotypes at random       the evaluations of a warm start count
    repeat:
        for each of `batch` children, asked together:
            parents <- elites of two cells, drawn uniformly
            child   <- parents crossed, with probability `crossover`, and mutated
        put each child into the cell of its costs, where it stays if it is better than the elite of the cell

One search so finds a family of networks of all sizes, where a search for one optimum finds a single one and NSGA-II a front. The
grid is an archive of pyribs (Tjanaka et al., GECCO 2023). Children come from the operators of the encoding: the emitters of pyribs
draw vectors of real numbers from generators of their own, which a run could not save as plain data.

Utilities of a rank aggregate change with every evaluation. So `kept` candidates of a cell stay known, and the archive is filled
again from their current utilities for every batch. Bounds that are not given are those of the first `initial` candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator, model_validator

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.grid import Axis, Grid, axes_of, check_ribs
from rbflex_evo.spaces import ConfigError, Encoding, Genotype
from rbflex_evo.spaces import Parameters as AnyParameters

from .strategy import Strategy, View
from .unseen import Unseen

MOST_CELLS = 1_000_000


class MeasureParameters(AnyParameters):
    """One axis of the grid.

    Attributes:
        min: Lower bound; None for the smallest value among the first candidates.
        max: Upper bound; None for the largest value among them.
        cells: Number of equal parts between the bounds.
    """

    min: float | None = None
    max: float | None = None
    cells: int = Field(20, ge=1)

    @model_validator(mode="after")
    def _is_range(self) -> MeasureParameters:
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        return self


class MapElitesParameters(AnyParameters):
    """Parameters of MAP-Elites.

    Attributes:
        measures: Axes of the grid by the name of a cost, such as ``{params: {}, flops: {max: 6.0e8, cells: 30}}``.
        initial: Number of random candidates before children are made.
        batch: Number of children per ask.
        crossover: Probability that two parents are crossed.
        mutation: Probability that a gene of a child mutates; at least one does.
        kept: Number of candidates of a cell that stay known, of which the best at the time is the elite.
        bounds: Where bounds that are not given come from: the first candidates ("sample"), or the smallest and the largest cost
            of the whole space within the limits ("proved"), which a search then proves before it begins.
        reference: Utility that counts nothing for the QD score in the report; None for the lowest score of the run, or 0 for ranks.
    """

    measures: dict[str, MeasureParameters] = Field(
        default_factory=lambda: {"params": MeasureParameters(cells=20), "flops": MeasureParameters(cells=20)}, min_length=1
    )
    initial: int = Field(100, ge=1)
    batch: int = Field(20, ge=1)
    crossover: float = Field(0.5, ge=0, le=1)
    mutation: float = Field(0.1, ge=0, le=1)
    kept: int = Field(5, ge=1)
    bounds: Literal["sample", "proved"] = "sample"
    reference: float | None = None

    @field_validator("measures")
    @classmethod
    def _is_small(cls, measures: dict[str, MeasureParameters]) -> dict[str, MeasureParameters]:
        cells = int(np.prod([float(measure.cells) for measure in measures.values()]))
        if cells > MOST_CELLS:
            raise ValueError(f"a grid may have {MOST_CELLS:,} cells, but it has {cells:,}")
        return measures

    def axes(self, costs: np.ndarray) -> tuple[Axis, ...]:
        """Returns the axes of the grid, with missing bounds from costs [n, measures]."""
        return axes_of([(name, one.min, one.max, one.cells) for name, one in self.measures.items()], costs)


class Placed(NamedTuple):
    """An evaluated candidate with the costs that place it."""

    genotype: Genotype
    key: str
    costs: tuple[float, ...]


class MapElites(Strategy):
    """MAP-Elites over any encoding, with costs as measures.

    Parents are elites of cells drawn uniformly. `MapElitesParameters` describes the parameters.
    """

    name = "map_elites"
    description = "quality diversity: the best network in every cell of a grid over costs, with pyribs"
    packages = ("ribs",)
    Parameters: ClassVar[type[AnyParameters]] = MapElitesParameters
    parameters: MapElitesParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: MapElitesParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        check_ribs()
        self._unseen = Unseen(encoding)
        self._told = 0
        # Candidates that wait for the bounds of the grid, and then those of each cell, best first when they were placed.
        self._waiting: list[Placed] = []
        self._cells: dict[int, list[Placed]] = {}
        self._grid: Grid | None = None

    @classmethod
    def costs_read(cls, parameters: AnyParameters) -> tuple[str, ...]:
        """Returns the names of the costs that the strategy reads."""
        assert isinstance(parameters, MapElitesParameters)
        return tuple(parameters.measures)

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns unseen random genotypes until `initial` are told, then children of elites."""
        missing = self.parameters.initial - self._told
        if missing > 0 or not self._cells:
            count = min(n, missing if missing > 0 else self.parameters.batch)
            genotypes = self._unseen.draw_up_to(count, self.rng, view, set())
        else:
            genotypes = self._unseen.each_or_near(self._children(min(n, self.parameters.batch), view), self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    def _children(self, count: int, view: View) -> Iterator[Genotype]:
        elites = self._elites(view)
        for i in range(0, count, 2):
            pair = tuple(elites[int(self.rng.integers(len(elites)))] for _ in range(2))
            if self.rng.random() < self.parameters.crossover:
                pair = self.encoding.crossover(pair[0], pair[1], self.rng)
            for child in pair[: count - i]:
                yield self.encoding.mutate(child, self.rng, self.parameters.mutation)

    def _elites(self, view: View) -> list[Genotype]:
        """Returns the elite of each occupied cell, by its current utility, in the order of the cells."""
        assert self._grid is not None
        known = [placed for cell in sorted(self._cells) for placed in self._cells[cell]]
        utilities = view.utility([placed.key for placed in known])
        found = self._grid.elites(utilities, np.array([placed.costs for placed in known]))
        return [known[i].genotype for i in found.positions]

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Puts candidates that did not fail and keep the constraints into the cells of their costs."""
        self._told += len(evaluations)
        keys = [evaluation.key for evaluation in evaluations if not evaluation.failed]
        feasible = {key for key, broken in zip(keys, view.violations(keys), strict=True) if broken == 0}
        self._waiting += [self._placed(one) for one in evaluations if one.key in feasible]
        if self._told < self.parameters.initial or not self._waiting:
            return
        costs = np.array([placed.costs for placed in self._waiting])
        if self._grid is None:
            self._grid = Grid(self.parameters.axes(costs))
        changed = set()
        for placed, cell in zip(self._waiting, self._grid.cells_of(costs).tolist(), strict=True):
            self._cells.setdefault(cell, []).append(placed)
            changed.add(cell)
        self._waiting = []
        for cell in sorted(changed):
            found = list({placed.key: placed for placed in self._cells[cell]}.values())
            order = np.argsort(-view.utility([placed.key for placed in found]), kind="stable")
            self._cells[cell] = [found[i] for i in order[: self.parameters.kept]]

    def _placed(self, evaluation: Evaluation) -> Placed:
        try:
            costs = tuple(float(evaluation.costs[name]) for name in self.parameters.measures)
        except KeyError as missing:
            raise ConfigError(
                f"map_elites reads the cost {missing.args[0]!r}, which this search does not count; name it in the constraints"
            ) from None
        return Placed(evaluation.genotype, evaluation.key, costs)

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        bounds = None if self._grid is None else [[axis.lower, axis.upper] for axis in self._grid.axes]
        cells = [[cell, [_to_json(placed) for placed in self._cells[cell]]] for cell in sorted(self._cells)]
        return {"told": self._told, "bounds": bounds, "waiting": list(map(_to_json, self._waiting)), "cells": cells}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self._told = state["told"]
        self._waiting = list(map(_from_json, state["waiting"]))
        self._cells = {cell: list(map(_from_json, placed)) for cell, placed in state["cells"]}
        if state["bounds"] is None:
            self._grid = None
            return
        measures = zip(self.parameters.measures.items(), state["bounds"], strict=True)
        self._grid = Grid(tuple(Axis(name, low, high, one.cells) for (name, one), (low, high) in measures))


def _to_json(placed: Placed) -> dict[str, Any]:
    return {"genotype": list(placed.genotype), "key": placed.key, "costs": list(placed.costs)}


def _from_json(data: Mapping[str, Any]) -> Placed:
    return Placed(tuple(data["genotype"]), data["key"], tuple(data["costs"]))
