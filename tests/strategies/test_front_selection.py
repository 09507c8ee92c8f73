"""Tests of the orders within a front, each against its definition written out slowly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.fitness.objective.pareto import fronts, hypervolume
from rbflex_evo.spaces import ConfigError, VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.check_strategy import check_strategy
from rbflex_evo.strategies.conformance.synthetic import World, canonical
from rbflex_evo.strategies.front_selection import BELOW, order_of

ENCODING = VectorEncoding([5] * 6)
POINTS = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), min_size=1, max_size=12)


def a_front(points):
    rows = np.array(points)
    return rows[fronts(rows) == 0]


@given(POINTS)
def test_each_order_is_of_all_members(points):
    rows = a_front(points)
    for selection in ("crowding", "epsilon", "hypervolume"):
        assert sorted(order_of(rows, selection, 0.2).tolist()) == list(range(len(rows)))


@given(POINTS)
def test_by_hypervolume_the_member_that_adds_least_goes_first(points):
    rows = a_front(points)
    span = np.ptp(rows, axis=0)
    scaled = (rows - rows.min(axis=0)) / np.where(span > 0, span, 1.0)
    order, reference = order_of(rows, "hypervolume", 0.2).tolist(), np.full(2, -BELOW)
    while len(order) > 1:
        whole = hypervolume(scaled[order], reference)
        adds = {i: whole - hypervolume(scaled[[j for j in order if j != i]], reference) for i in order}
        last = order.pop()
        assert adds[last] <= min(adds.values()) + 1e-9


def test_by_epsilon_every_box_gives_one_member_before_any_gives_a_second():
    # Boxes of a half: three points in the upper left one, one in the lower right one.
    rows = np.array([[0.0, 10.0], [2.0, 9.5], [4.0, 9.0], [10.0, 0.0]])
    order = order_of(rows, "epsilon", 0.5).tolist()
    # Of the three, the one nearest to the best corner of its box comes first.
    assert order[:2] in ([2, 3], [3, 2])
    assert sorted(order[2:]) == [0, 1]


def test_by_crowding_equal_members_are_last():
    rows = np.array([[0.0, 4.0], [1.0, 3.0], [1.0, 3.0], [4.0, 0.0]])
    assert order_of(rows, "crowding", 0.1).tolist() == [0, 3, 1, 2]


@pytest.mark.parametrize("selection", ["epsilon", "hypervolume"])
def test_nsga2_keeps_the_contract_and_finds_a_small_front_with_every_selection(selection):
    check_strategy("nsga2", selection=selection, population=12)
    world, strategy = World(ENCODING, "pareto"), create_strategy("nsga2", ENCODING, 0, population=40, selection=selection)
    while len(world) < 1200:
        strategy.tell(world.evaluate(strategy.ask(1200 - len(world), world.view)), world.view)
    every = {canonical(genotype) for genotype in ENCODING.enumerate()}
    values = np.array([(-sum((gene - 1) ** 2 for gene in g) - 9000.0, -float(sum(g))) for g in every])
    true_front = {tuple(row) for row in values[fronts(values) == 0]}
    assert {tuple(world.archive.objectives([e.key])[0]) for e in world.archive.front()} == true_front


def test_a_box_without_boxes_is_refused_and_what_is_not_used_is_not_stored():
    with pytest.raises(ConfigError, match=r"epsilon 0\.1 has no effect without 'selection: epsilon'"):
        create_strategy("nsga2", ENCODING, epsilon=0.1)
    stored = {name: create_strategy("nsga2", ENCODING, selection=name).parameters.model_dump() for name in ("crowding", "epsilon")}
    assert stored["crowding"].keys() == {"population", "crossover", "mutation"}
    assert stored["epsilon"].keys() == {*stored["crowding"], "selection", "epsilon"}
