"""MAP-Elites keeps the best candidate of each cell, under utilities that change, and resumes from plain data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rbflex_evo.fitness.objective.grid import Axis, Grid, axes_of
from rbflex_evo.spaces import ConfigError, VectorEncoding
from rbflex_evo.strategies import Strategy, create_strategy
from rbflex_evo.strategies.conformance.check_strategy import check_strategy
from rbflex_evo.strategies.conformance.synthetic import World
from rbflex_evo.strategies.map_elites import MapElites

pytest.importorskip("ribs", reason="needs the extra ribs")

ENCODING = VectorEncoding([5] * 6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "values", [{}, {"measures": {"size": {"cells": 7}}, "initial": 10, "batch": 3, "kept": 1}, {"crossover": 0.0, "mutation": 1.0}]
)
def test_it_keeps_the_contract(values: dict[str, Any]) -> None:
    check_strategy("map_elites", **values)


def run(strategy: Strategy, world: World, evaluations: int) -> None:
    while len(world) < evaluations:
        genotypes = strategy.ask(evaluations - len(world), world.view)
        strategy.tell(world.evaluate(genotypes), world.view)


def made(**values: Any) -> MapElites:
    strategy = create_strategy(
        "map_elites", ENCODING, 0, **{"initial": 20, "measures": {"a": {"cells": 4}, "b": {"cells": 3}}, **values}
    )
    assert isinstance(strategy, MapElites)
    return strategy


@pytest.mark.parametrize("objective", ["score", "archive", "pareto"])
def test_the_elites_are_the_best_of_their_cells_by_their_current_utility(objective: str) -> None:
    strategy, world = made(kept=1000), World(ENCODING, objective)
    run(strategy, world, 150)
    assert strategy._grid is not None
    known = [placed for placed in strategy._cells.values() for placed in placed]
    assert len(known) == 150
    utilities = dict(zip((one.key for one in known), world.view.utility([one.key for one in known]), strict=True))
    elites = strategy._elites(world.view)
    assert len(elites) == len(strategy._cells)
    for cell, genotype in zip(sorted(strategy._cells), elites, strict=True):
        inside = {one.key: one for one in strategy._cells[cell]}
        assert utilities[world.view.key(genotype)] == max(utilities[key] for key in inside)
        assert all(strategy._grid.cells_of(np.array([one.costs])) == [cell] for one in inside.values())


def test_a_state_that_was_written_to_json_proposes_the_same() -> None:
    for evaluations in (10, 20, 90):
        strategy, world = made(), World(ENCODING, "archive")
        run(strategy, world, evaluations)
        other = made()
        other.load_state_dict(json.loads(json.dumps(strategy.state_dict())))
        assert other.ask(50, world.view) == strategy.ask(50, world.copy().view)


def qd_score(name: str, seed: int, **values: Any) -> float:
    encoding = VectorEncoding([4] * 16)
    strategy, world = create_strategy(name, encoding, seed, **values), World(encoding)
    run(strategy, world, 400)
    told = world.archive.evaluations
    costs = np.array([[world.evaluate([one.genotype])[0].costs[name] for name in ("a", "b")] for one in told])
    grid = Grid((Axis("a", 0.0, 100.0, 20), Axis("b", 0.0, 100.0, 20)))
    return grid.elites(world.archive.utility([one.key for one in told]), costs, reference=-9070.0).qd_score


def test_its_qd_score_is_above_that_of_random_search() -> None:
    bounds = {"min": 0, "max": 100, "cells": 20}
    map_elites = [qd_score("map_elites", seed, initial=60, measures={"a": bounds, "b": bounds}) for seed in range(3)]
    assert np.mean(map_elites) > np.mean([qd_score("random", seed) for seed in range(3)])


def test_failed_and_infeasible_candidates_are_in_no_cell() -> None:
    strategy, world = made(), World(ENCODING, succeeds_every=3, limit=10, handling="deb")
    run(strategy, world, 120)
    keys = {placed.key for cell in strategy._cells.values() for placed in cell}
    assert keys
    assert all(world.view.violations([key])[0] == 0 for key in keys)
    assert all(np.isfinite(world.view.utility([key])[0]) for key in keys)


def test_wrong_measures_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="must be below max"):
        made(measures={"a": {"min": 3, "max": 2}})
    with pytest.raises(ConfigError, match="a grid may have 1,000,000 cells"):
        made(measures={"a": {"cells": 2000}, "b": {"cells": 2000}})
    with pytest.raises(ConfigError, match="measures"):
        made(measures={})


def test_a_grid_has_the_first_best_of_each_cell_and_its_coverage_and_qd_score() -> None:
    grid = Grid((Axis("a", 0.0, 4.0, 4), Axis("b", 0.0, 2.0, 2)))
    costs = np.array([[0.5, 0.5], [0.9, 0.1], [3.9, 1.5], [9.0, 9.0], [2.0, 0.0]])
    found = grid.elites(np.array([1.0, 3.0, 2.0, 2.0, -1.0]), costs, reference=-2.0)
    assert grid.size == 8
    assert grid.places_of(found.cells).tolist() == [[0, 0], [2, 0], [3, 1]]
    assert found.positions.tolist() == [1, 4, 2]
    assert found.coverage == 3 / 8
    assert found.qd_score == (3 + 2) + (-1 + 2) + (2 + 2)
    assert len(grid.elites(np.empty(0), np.empty((0, 2))).cells) == 0


def test_missing_bounds_are_those_of_a_sample() -> None:
    sample = np.array([[1.0, 5.0], [3.0, 5.0]])
    assert axes_of([("a", None, 9.0, 2), ("b", None, None, 3)], sample) == (Axis("a", 1.0, 9.0, 2), Axis("b", 5.0, 10.0, 3))
