"""Fronts, crowding, the archive of a front and hypervolumes, each against its definition written out slowly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective import pareto
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint
from rbflex_evo.fitness.objective.objective import RANK, Objective, ObjectiveParameters, create_objective
from rbflex_evo.spaces import ConfigError

FEW = st.integers(0, 4).map(float)
POINTS = st.integers(2, 3).flatmap(lambda m: st.lists(st.lists(FEW, min_size=m, max_size=m), min_size=1, max_size=14).map(np.array))


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


def literal_fronts(values: np.ndarray) -> np.ndarray:
    """Peels off what nothing among the rest dominates."""
    result = np.full(len(values), -1)
    for number in itertools.count():
        left = np.flatnonzero(result < 0)
        if not len(left):
            return result
        for i in left:
            if not any(dominates(values[j], values[i]) for j in left):
                result[i] = -2
        result[result == -2] = number


def literal_crowding(front: np.ndarray) -> np.ndarray:
    """The paper's crowding-distance-assignment, objective by objective."""
    distance = np.zeros(len(front))
    for m in range(front.shape[1]):
        order = sorted(range(len(front)), key=lambda i: front[i][m])
        distance[order[0]] = distance[order[-1]] = np.inf
        span = front[order[-1]][m] - front[order[0]][m]
        for before, i, after in zip(order, order[1:-1], order[2:], strict=False):
            if span > 0:
                distance[i] += (front[after][m] - front[before][m]) / span
    return distance


def literal_hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Counts the unit cells of the integer grid that some point dominates."""
    tops = [range(int(low), int(high)) for low, high in zip(reference, values.max(axis=0), strict=True)]
    return float(sum(any((np.array(cell) + 1 <= point).all() for point in values) for cell in itertools.product(*tops)))


@given(POINTS)
def test_fronts_are_those_of_peeling_off_what_nothing_dominates(values):
    assert pareto.fronts(values).tolist() == literal_fronts(values).tolist()


@given(POINTS)
def test_crowding_is_that_of_the_paper(values):
    values = np.unique(values, axis=0)
    front = values[literal_fronts(values) == 0]
    np.testing.assert_allclose(pareto.crowding(front), literal_crowding(front))


@given(POINTS)
def test_utilities_order_by_front_and_then_by_crowding_and_lie_in_0_to_1(values):
    utilities = pareto.utilities(values)
    assert ((utilities > 0) & (utilities <= 1)).all()
    distinct, places = np.unique(values, axis=0, return_inverse=True)
    front = literal_fronts(distinct)
    crowd = np.zeros(len(distinct))
    for number in set(front):
        crowd[front == number] = literal_crowding(distinct[front == number])
    places = places.reshape(-1)
    worth = [(-front[place], round(crowd[place], 9)) for place in places]
    for (i, a), (j, b) in itertools.product(enumerate(worth), repeat=2):
        assert (utilities[i] > utilities[j]) == (a > b), (i, j)


@given(POINTS)
def test_a_front_that_grows_holds_what_nothing_dominates_in_the_order_it_came(values):
    front = pareto.Front(values.shape[1])
    for i, row in enumerate(values):
        entered = front.add(i, row)
        seen = values[: i + 1]
        expected = [j for j in range(i + 1) if not any(dominates(other, seen[j]) for other in seen)]
        assert front.positions == expected
        assert entered == (i in expected)
        assert front.rows.tolist() == seen[expected].tolist()


@given(POINTS)
def test_the_hypervolume_is_the_number_of_dominated_cells(values):
    reference = np.zeros(values.shape[1])
    assert pareto.hypervolume(values, reference) == pytest.approx(literal_hypervolume(values, reference))


@given(POINTS, st.booleans())
def test_hypervolumes_against_evaluations_are_those_of_every_prefix(values, failing):
    told = np.where(np.arange(len(values))[:, None] % 3 == 1, np.nan, values) if failing else values
    known = told[~np.isnan(told).any(axis=1)]
    found = pareto.volumes(told, np.zeros(values.shape[1]))
    assert found is not None
    ideal = np.maximum(known.max(axis=0), 0)
    box = np.prod(np.where(ideal > 0, ideal, 1.0))
    held = np.searchsorted(found.counts, np.arange(1, len(told) + 1), side="right") - 1
    for count, position in enumerate(held, start=1):
        rows = told[:count][~np.isnan(told[:count]).any(axis=1)]
        expected = literal_hypervolume(rows, np.zeros(values.shape[1])) if len(rows) else 0.0
        share = found.shares[position] if position >= 0 else 0.0
        assert share == pytest.approx(expected / box, abs=1e-9)
    assert found.volume == pytest.approx(literal_hypervolume(known, np.zeros(values.shape[1])))


def test_without_a_given_point_volumes_stand_on_the_worst_values_of_the_run():
    values = np.array([[-9000.0, -3e8], [-8000.0, -2e8], [-8500.0, -1e8]])
    found = pareto.volumes(values)
    assert found is not None
    assert found.reference.tolist() == [-9000.0, -3e8]
    assert found.ideal.tolist() == [-8000.0, -1e8]
    # Two boxes of (1, 1/2) and (1/2, 1) in units of the whole one, which overlap in a quarter.
    assert found.shares.tolist() == [0.0, 0.5, 0.75]
    assert found.volume == pytest.approx(0.75 * 1000 * 2e8)
    assert pareto.volumes(np.full((3, 2), np.nan)) is None


def test_the_order_of_a_front_begins_at_its_knee_and_other_fronts_follow():
    values = np.array([[0.0, 10.0], [10.0, 0.0], [8.0, 8.0], [7.0, 7.0], [9.0, 4.0]])
    assert pareto.by_front(values).tolist() == [2, 4, 0, 1, 3]
    assert pareto.by_front(np.empty((0, 2))).tolist() == []


def told(rows: list[tuple[float, float, float]]) -> list[Evaluation]:
    return [Evaluation((i,), str(i), {"a": a, "b": b}, {}, 0.0, {"cost": cost}) for i, (a, b, cost) in enumerate(rows)]


AGGREGATE = Objective(("a", "b"), "log", weights=(2.0, 1.0))
RANKED = Objective((RANK, "cost"), "pareto", minimised=("cost",), aggregate=AGGREGATE)
ROWS_OF_THREE = st.lists(st.tuples(FEW, FEW, FEW), min_size=1, max_size=14)


@given(ROWS_OF_THREE)
def test_a_rank_aggregate_is_one_objective_of_a_front_and_is_that_of_its_own_search(rows):
    front, alone = ArchiveView.of(RANKED, told(rows)), ArchiveView.of(AGGREGATE, told(rows))
    keys = [str(i) for i in range(len(rows))]
    expected = np.stack([alone.utility(keys), [-cost for _, _, cost in rows]], axis=1)
    np.testing.assert_array_equal(front.objectives(keys), expected)
    assert {e.key for e in front.front()} == {keys[i] for i in np.flatnonzero(literal_fronts(expected) == 0)}
    assert front.incumbent() is not None and front.incumbent().key == front.ranking()[0] == front.best_first()[0].key
    np.testing.assert_array_equal(front.utility(keys), pareto.utilities(expected))


def test_the_ranks_of_a_front_leave_out_what_failed_or_is_infeasible():
    rows = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (9.0, 9.0, 9.0)]
    evaluations = [*told(rows), Evaluation((3,), "3", {"a": 1.0}, {"b": "dead"}, 0.0, {"cost": 0.0})]
    view = ArchiveView.of(RANKED, evaluations, constraints=[Constraint("cost", maximum=5.0)])
    assert [e.key for e in view.front()] == ["1", "0"]
    found = view.objectives(["0", "1", "3"])
    assert found[:2, 0].tolist() == [0.5, 1.0] and np.isnan(found[2]).all()
    infeasible = ArchiveView.of(RANKED, told(rows), constraints=[Constraint("cost", maximum=0.5)])
    assert infeasible.front() == [] and infeasible.incumbent() is None
    assert np.isfinite(infeasible.objectives(["0", "2"])).all()


def test_the_ranks_of_a_front_may_be_against_a_fixed_sample():
    objective = create_objective(
        ObjectiveParameters(pareto=[{"rank": ["a", "b"], "reference": "sample", "sample": 2}, {"minimise": "params"}]), ["a", "b"]
    )
    assert (objective.reference, objective.sample, objective.scores) == ("sample", 2, ("a", "b"))
    evaluations = [Evaluation((i,), str(i), {"a": i, "b": i}, {}, 0.0, {"params": 9.0 - i}) for i in range(3)]
    view = ArchiveView.of(objective, evaluations, evaluations[1:])
    np.testing.assert_allclose(view.objectives(["0", "1", "2"])[:, 0], [1 / 3, 1 / 2, 5 / 6])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"rank": ["a", "c"]}, {"minimise": "params"}], "'fitness.objective.pareto.rank.rank': 'c' is not a configured proxy"),
        ([{"rank": ["a", "b"], "rul": "log"}, {"minimise": "params"}], "unknown key 'fitness.objective.pareto.rank.rul'"),
        ([{"rank": ["a"]}, {"rank": ["b"]}], "names 'rank' twice"),
        ([{"rank": ["a", "b"]}], "must have at least two members, one of them a proxy or a rank"),
        ([{"minimise": "params"}, {"minimise": "flops"}], "must have at least two members, one of them a proxy or a rank"),
        ([{"rank": ["a", "b"], "reference": "generation"}, {"minimise": "params"}], "must be archive or sample"),
        ([{"rang": ["a", "b"]}, {"minimise": "params"}], "and ranks such as {rank: [rbflex, naswot]}, but one is"),
    ],
)
def test_a_wrong_rank_among_several_objectives_is_one_line(entries, message):
    with pytest.raises(ConfigError) as error:
        create_objective(ObjectiveParameters(pareto=entries), ["a", "b"])
    assert message in str(error.value)
