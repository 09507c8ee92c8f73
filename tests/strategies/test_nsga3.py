"""Tests of NSGA-III: reference directions, survivors, constraints, and a known front that it finds."""

from __future__ import annotations

import numpy as np
import pytest

from rbflex_evo.fitness.objective.pareto import fronts
from rbflex_evo.spaces import ConfigError, VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, canonical
from rbflex_evo.strategies.nsga2 import Individual, Worth
from rbflex_evo.strategies.nsga3 import Nsga3, Nsga3Parameters, fewest_divisions
from rbflex_evo.strategies.population import Member

ENCODING = VectorEncoding([5] * 6)


def individuals(rows, violations=None):
    broken = violations or [0.0] * len(rows)
    return [
        Individual(Member((i,), str(i)), Worth(np.array(row), violation))
        for i, (row, violation) in enumerate(zip(rows, broken, strict=True))
    ]


def survivors(rows, violations=None, **values):
    chosen = Nsga3(ENCODING, 0, Nsga3Parameters(**values))._survivors(individuals(rows, violations))
    return sorted(int(one.member.key) for one in chosen)


def test_it_finds_the_whole_front_of_a_small_space():
    world, strategy = World(ENCODING, "pareto"), create_strategy("nsga3", ENCODING, 0, population=40)
    while len(world) < 1200:
        strategy.tell(world.evaluate(strategy.ask(1200 - len(world), world.view)), world.view)
    every = {canonical(genotype) for genotype in ENCODING.enumerate()}
    values = np.array([(-sum((gene - 1) ** 2 for gene in g) - 9000.0, -float(sum(g))) for g in every])
    true_front = {tuple(row) for row in values[fronts(values) == 0]}
    assert {tuple(world.archive.objectives([e.key])[0]) for e in world.archive.front()} == true_front


def test_survivors_are_nearest_to_the_reference_directions():
    # A straight front of 21 points; three directions ask for its ends and its middle.
    rows = [(i / 20, 1 - i / 20) for i in range(21)]
    assert survivors(rows, population=3, reference_points=[[1, 0], [1, 1], [0, 1]]) == [0, 10, 20]
    assert survivors(rows, population=2, reference_points=[[1, 0], [0, 1]]) == [0, 20]


def test_whole_fronts_come_first():
    front = [(float(i), 10.0 - i) for i in range(5)]
    behind = [(i - 1.0, 9.0 - i) for i in range(5)]
    assert set(range(5)) <= set(survivors([*front, *behind], population=7))


def test_feasible_members_come_before_infeasible_ones_and_failed_ones_are_last():
    rows = [(1.0, 1.0), (5.0, 5.0), (9.0, 9.0), (np.nan, np.nan)]
    violations = [0.0, 2.0, 1.0, 0.0]
    assert survivors(rows, violations, population=2) == [0, 2]
    assert survivors(rows, violations, population=3) == [0, 1, 2]
    assert survivors(rows, violations, population=4) == [0, 1, 2, 3]


@pytest.mark.parametrize(("objectives", "wanted", "expected"), [(1, 100, 1), (2, 40, 39), (3, 91, 12), (3, 92, 13), (5, 2, 1)])
def test_the_fewest_divisions_give_a_direction_for_each_member(objectives, wanted, expected):
    assert fewest_divisions(objectives, wanted) == expected


@pytest.mark.parametrize("points", [[[1.0, -1.0]], [[0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0, 0.0]], [[]]])
def test_points_that_are_no_directions_are_refused(points):
    with pytest.raises(ConfigError, match="reference_points must have one number of at least 0 for each objective"):
        create_strategy("nsga3", ENCODING, reference_points=points)


def test_directions_of_another_number_of_objectives_are_refused_after_the_first_batch():
    world, strategy = World(ENCODING, "pareto"), create_strategy("nsga3", ENCODING, reference_points=[[1.0, 1.0, 1.0]])
    told = world.evaluate(strategy.ask(5, world.view))
    with pytest.raises(ConfigError, match="have 3 numbers each, but the search has 2 objectives"):
        strategy.tell(told, world.view)
