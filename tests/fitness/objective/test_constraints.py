"""Violations, Deb's order and what a configuration may say, each against the definition."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint, deb_utilities, read_constraints, violation, written
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import ConfigError, RbflexEvoError, UnknownNameError

LIMITS = (Constraint("params", maximum=100.0), Constraint("depth", minimum=4.0))


@pytest.mark.parametrize(
    ("constraint", "cost", "expected"),
    [
        (Constraint("params", maximum=100.0), 150.0, 0.5),
        (Constraint("params", maximum=100.0), 100.0, 0.0),
        (Constraint("depth", minimum=4.0), 1.0, 0.75),
        (Constraint("depth", minimum=4.0, maximum=8.0), 6.0, 0.0),
        (Constraint("depth", minimum=4.0, maximum=8.0), 10.0, 0.25),
        (Constraint("depth", maximum=0.0), 3.0, 3.0),
    ],
)
def test_a_violation_is_the_distance_to_the_bound_in_units_of_the_bound(constraint, cost, expected):
    assert constraint.violation(cost) == expected


def test_violations_add_up():
    assert violation(LIMITS, {"params": 150.0, "depth": 1.0, "flops": 1e9}) == 1.25


def test_constraints_are_written_as_one_reads_them():
    assert str(Constraint("params", maximum=1e6)) == "params <= 1,000,000"
    assert str(Constraint("depth", minimum=4.0)) == "depth >= 4"
    assert str(Constraint("latency", 0.5, 2.25)) == "0.5 <= latency <= 2.25"
    assert written(73306.0) == "73,306"
    assert written(3.14159265) == "3.14159"


def deb(a: tuple[float | None, float], b: tuple[float | None, float]) -> int:
    """Deb's three rules and the failed ones behind all, literally: 1 if a is better, -1 if b is, 0 if neither."""
    (utility_a, broken_a), (utility_b, broken_b) = a, b
    if utility_a is None or utility_b is None:
        return (utility_a is not None) - (utility_b is not None)
    if broken_a == 0 and broken_b == 0:
        return (utility_a > utility_b) - (utility_a < utility_b)
    if broken_a == 0 or broken_b == 0:
        return 1 if broken_a == 0 else -1
    return (broken_a < broken_b) - (broken_a > broken_b)


CANDIDATES = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)),
        st.one_of(st.just(50.0), st.floats(0, 1e9)),
        st.one_of(st.just(5.0), st.integers(0, 9).map(float)),
    ),
    min_size=1,
    max_size=14,
)


def evaluation(key: int, score: float | None, params: float, depth: float) -> Evaluation:
    scores = {} if score is None else {"rbflex": score, "naswot": -score}
    failures = dict.fromkeys(("rbflex", "naswot"), "dead") if score is None else {}
    return Evaluation((0,), str(key), scores, failures, costs={"params": params, "depth": depth})


OBJECTIVES = [
    Objective(("rbflex",)),
    Objective(("rbflex", "naswot"), "log", (3.0, 1.0)),
    Objective(("rbflex", "naswot"), "linear", (3.0, 1.0), "generation"),
    Objective(("rbflex", "depth"), "pareto", minimised=("depth",)),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["score", "archive", "generation", "pareto"])
@given(candidates=CANDIDATES)
def test_utilities_order_as_debs_rules_do(objective, candidates):
    told = [evaluation(i, *candidate) for i, candidate in enumerate(candidates)]
    broken = [violation(LIMITS, e.costs) for e in told]
    view, allowed = ArchiveView(objective, str, LIMITS), ArchiveView(objective, str)
    for e, b in zip(told, broken, strict=True):
        view.add(e)
        if b == 0:
            allowed.add(e)
    # What feasible candidates are worth among themselves is what they would be worth if there were no others.
    feasible = [e.key for e in allowed.evaluations]
    worth = dict(zip(feasible, allowed.utility(feasible).tolist(), strict=True))
    literal = [(None if e.failed else worth.get(e.key, 0.0), b) for e, b in zip(told, broken, strict=True)]
    utilities = view.utility([e.key for e in told]).tolist()
    for i, j in itertools.combinations(range(len(told)), 2):
        order = (utilities[i] > utilities[j]) - (utilities[i] < utilities[j])
        assert order == deb(literal[i], literal[j]), (literal[i], literal[j])
    if objective.rule != "score":
        assert all(0 < u <= 1 or e.failed for u, e in zip(utilities, told, strict=True))
    best_first = [int(e.key) for e in view.best_first()]
    assert sorted(best_first) == [i for i, e in enumerate(told) if not e.failed and broken[i] == 0]
    incumbent = view.incumbent()
    assert (incumbent is None) == (not best_first)
    if incumbent is not None and objective.rule != "pareto":
        order = sorted(best_first, key=functools.cmp_to_key(lambda i, j: -deb(literal[i], literal[j])))
        assert incumbent.key == str(order[0]) == str(best_first[0])
    if objective.rule == "pareto":
        assert {e.key for e in view.front()} <= set(map(str, best_first))


def test_a_large_floor_loses_no_step_between_infeasible_candidates():
    utilities = deb_utilities(np.array([-1e300, 0.0, 0.0]), np.array([0.0, 1e-12, 2e-12]), bounded=False)
    assert utilities[0] > utilities[1] > utilities[2]


def test_a_cost_that_failed_fails_the_candidate_and_a_missing_one_is_an_error():
    view = ArchiveView(Objective(("rbflex",)), str, LIMITS)
    view.add(Evaluation((0,), "a", {"rbflex": 1.0}, {"params": "no row of it"}, costs={"depth": 5.0}))
    assert view.utility(["a"]).tolist() == [-np.inf]
    assert view.violations(["a"]).tolist() == [np.inf]
    with pytest.raises(ValueError, match="'b' must have a cost or a failure for 'depth'"):
        view.add(Evaluation((0,), "b", {"rbflex": 1.0}, costs={"params": 5.0}))


def test_a_section_is_read_with_its_metrics_parameters():
    found = read_constraints({"params": {"max": 1e6}, "latency": {"max": 5, "repeats": 3}, "handling": "deb", "rejections": 7})
    assert found.limits == (Constraint("params", None, 1e6), Constraint("latency", None, 5.0))
    assert found.metrics == {"params": {}, "latency": {"repeats": 3}}
    assert (found.handling, found.rejections) == ("deb", 7)
    assert (found.ordering, found.rejecting) == (found.limits, ())
    assert read_constraints({}).limits == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"parms": {"max": 1.0}}, "unknown metric 'parms'; did you mean 'params'?"),
        ({"params": {"min": 3.0, "max": 2.0}}, "'fitness.constraints.params': min 3 is above max 2"),
        ({"params": {}}, "'fitness.constraints.params' has no bound; give it a 'max' or a 'min'"),
        ({"latency": {"device": "cpu"}}, "'fitness.constraints.latency' has no bound"),
        ({"params": 1e6}, "'fitness.constraints.params': should be bounds such as {max: 1.0e6}, but it is 1000000.0"),
        ({"params": {"maxx": 1.0}}, "unknown key 'fitness.constraints.params.maxx'; did you mean 'max'?"),
        ({"params": {"max": "many"}}, "'fitness.constraints.params.max': input should be a valid number"),
        ({"params": {"max": 1.0}, "handling": "rejct"}, "'fitness.constraints.handling': input should be 'reject' or 'deb'"),
    ],
)
def test_a_wrong_section_is_one_line_with_the_way_out(section, message):
    with pytest.raises(RbflexEvoError) as error:
        read_constraints(section)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ConfigError | UnknownNameError)
