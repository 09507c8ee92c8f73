"""The objective against its literal definition, and the view's book-keeping."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective, ObjectiveParameters, create_objective
from rbflex_evo.spaces import ConfigError, parse
from tests.support.calls import calls_of

MEMBERS = ("rbflex", "naswot", "synflow")


def evaluation(key: object, *scores: float | None) -> Evaluation:
    """None stands for a failed score."""
    named = dict(zip(MEMBERS, scores, strict=False))
    return Evaluation(
        genotype=(0,),
        key=str(key),
        scores={name: score for name, score in named.items() if score is not None},
        failures={name: "dead" for name, score in named.items() if score is None},
    )


def view_of(objective: Objective, rows: Sequence[Sequence[float | None]]) -> ArchiveView:
    view = ArchiveView(objective, str)
    for i, row in enumerate(rows):
        view.add(evaluation(i, *row))
    return view


def keys_of(rows: Sequence[object]) -> list[str]:
    return [str(i) for i in range(len(rows))]


def literal_utilities(rows: Sequence[Sequence[float | None]], rule: str, weights: Sequence[float]) -> np.ndarray:
    """Section by section as the definition reads: rank the candidates without a failure, divide by m, combine."""
    result = np.full(len(rows), -np.inf)
    alive = [i for i, row in enumerate(rows) if None not in row]
    if alive:
        ranks = np.array([rankdata([rows[i][k] for i in alive]) for k in range(len(weights))])
        shares = ranks / len(alive)
        total = sum(weights)
        for position, i in enumerate(alive):
            if rule == "linear":
                result[i] = sum(w * s for w, s in zip(weights, shares[:, position], strict=True)) / total
            else:
                result[i] = math.prod(s ** (w / total) for w, s in zip(weights, shares[:, position], strict=True))
    return result


score = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))
table = st.lists(st.tuples(score, score, score), min_size=1, max_size=25)
whole_table = st.lists(st.tuples(*[st.integers(-50, 50).map(float)] * 3), min_size=1, max_size=25)
rule = st.sampled_from(["linear", "log"])
weights = st.tuples(*[st.floats(0.1, 10)] * 3)


@given(rows=table, rule=rule, weights=weights, reference=st.sampled_from(["archive", "generation"]))
def test_utilities_of_all_keys_equal_the_literal_definition(rows, rule, weights, reference):
    view = view_of(Objective(MEMBERS, rule, weights, reference), rows)
    np.testing.assert_allclose(view.utility(keys_of(rows)), literal_utilities(rows, rule, weights), atol=1e-9)


@given(rows=table, rule=rule, data=st.data())
def test_archive_utilities_of_some_keys_are_those_among_all_of_them(rows, rule, data):
    view = view_of(Objective(MEMBERS, rule), rows * 4)
    expected = literal_utilities(rows * 4, rule, (1, 1, 1))
    chosen = data.draw(st.lists(st.integers(0, len(rows) * 4 - 1), max_size=3))
    np.testing.assert_allclose(view.utility([str(i) for i in chosen]), expected[chosen], atol=1e-9)


@given(rows=table, rule=rule, data=st.data())
def test_generation_utilities_rank_only_the_keys_of_the_call_and_each_once(rows, rule, data):
    view = view_of(Objective(MEMBERS, rule, reference="generation"), rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, unique=True))
    expected = literal_utilities([rows[i] for i in chosen], rule, (1, 1, 1))
    keys = [str(i) for i in chosen]
    np.testing.assert_allclose(view.utility(keys), expected, atol=1e-9)
    np.testing.assert_allclose(view.utility([*keys, keys[0]])[:-1], expected, atol=1e-9)


@given(sample=whole_table, rows=table, rule=rule)
def test_sample_utilities_rank_each_candidate_as_if_inserted_into_the_sample(sample, rows, rule):
    view = view_of(Objective(MEMBERS, rule, reference="sample"), rows)
    view.set_reference([evaluation(f"sample {i}", *row) for i, row in enumerate(sample)])
    for key, row in zip(keys_of(rows), rows, strict=True):
        expected = literal_utilities([*sample, row], rule, (1, 1, 1))[-1]
        assert view.utility([key])[0] == pytest.approx(expected, abs=1e-9)


@given(sample=whole_table, rule=rule)
def test_equal_scores_are_worth_the_same_in_and_out_of_the_sample(sample, rule):
    view = ArchiveView(Objective(MEMBERS, rule, reference="sample"), str)
    inside, outside = evaluation("inside", *sample[0]), evaluation("outside", *sample[0])
    view.set_reference([inside, *(evaluation(i, *row) for i, row in enumerate(sample[1:]))])
    view.add(inside)
    view.add(outside)
    first, second = view.utility(["inside", "outside"])
    assert first == second


@given(rows=whole_table, rule=rule, member=st.integers(0, 2))
def test_a_monotone_transform_of_a_member_changes_nothing(rows, rule, member):
    stretched = [tuple(math.expm1(v / 10) + 3 * v - 9000 if k == member else v for k, v in enumerate(row)) for row in rows]
    objective = Objective(MEMBERS, rule)
    before, after = view_of(objective, rows), view_of(objective, stretched)
    assert before.ranking() == after.ranking()
    np.testing.assert_array_equal(before.utility(keys_of(rows)), after.utility(keys_of(rows)))


@given(rows=table, rule=rule)
def test_rank_utilities_lie_in_the_unit_interval_unless_failed(rows, rule):
    utilities = view_of(Objective(MEMBERS, rule), rows).utility(keys_of(rows))
    assert all(0 < u <= 1 or np.isneginf(u) for u in utilities)


@pytest.mark.parametrize("objective", [Objective(("rbflex",)), Objective(MEMBERS, "log")])
@given(rows=table)
@settings(max_examples=50)
def test_ranking_is_by_utility_then_by_told_order_with_failed_last(objective, rows):
    view = view_of(objective, rows)
    failed = [i for i, row in enumerate(rows) if None in row[: len(objective.members)]]
    utilities = view.utility(keys_of(rows))
    ranking = [int(key) for key in view.ranking()]
    assert ranking == sorted(range(len(rows)), key=lambda i: (-utilities[i], i))
    assert ranking[len(rows) - len(failed) :] == failed
    best = view.incumbent()
    assert best is None if len(failed) == len(rows) else best.key == str(ranking[0])


def test_utilities_are_recomputed_when_the_archive_grows():
    view = view_of(Objective(("rbflex", "naswot"), "linear"), [(1.0, 1.0), (2.0, 2.0)])
    assert view.utility(["0", "1"]).tolist() == [0.5, 1.0]
    view.add(evaluation("better", 3.0, 3.0))
    view.add(evaluation("best", 4.0, 4.0))
    assert view.utility(["0", "1"]).tolist() == [0.25, 0.5]
    assert view.incumbent().key == "best"


def test_the_order_of_two_candidates_may_turn_when_a_third_arrives():
    view = view_of(Objective(("rbflex", "naswot"), "linear"), [(10.0, 0.0), (9.0, 1.0), (0.0, 0.5)])
    assert view.ranking()[0] == "1"
    view.add(evaluation("between", 9.5, 0.0))
    view.add(evaluation("again", 9.6, 0.0))
    assert view.ranking()[0] == "0"


def test_log_punishes_one_bad_rank_where_linear_does_not():
    rows = [(1.0, 6.0), (3.0, 3.0), (2.0, 1.0), (4.0, 2.0), (5.0, 4.0), (6.0, 5.0)]
    assert view_of(Objective(("rbflex", "naswot"), "linear"), rows).utility(["0", "1"]).tolist() == pytest.approx([7 / 12, 6 / 12])
    one_bad, even = view_of(Objective(("rbflex", "naswot"), "log"), rows).utility(["0", "1"])
    assert one_bad < even


def test_weights_decide_between_members():
    rows = [(1.0, 2.0), (2.0, 1.0)]
    assert view_of(Objective(("rbflex", "naswot"), "linear", (3.0, 1.0)), rows).ranking() == ["1", "0"]
    assert view_of(Objective(("rbflex", "naswot"), "linear", (1.0, 3.0)), rows).ranking() == ["0", "1"]


def test_a_tie_by_definition_is_a_tie_in_the_last_bit():
    # The same three ranks in every order: the sums of logs differ in the last bits.
    rows = [(a, b, c) for a, b, c in [(1.0, 2.0, 7.0), (7.0, 1.0, 2.0), (2.0, 7.0, 1.0)]]
    rows += [(float(v), float(v), float(v)) for v in range(3, 7)]
    assert len(set(view_of(Objective(MEMBERS, "log"), rows).utility(["0", "1", "2"]))) == 1


def test_a_single_score_is_returned_raw_and_failures_of_other_proxies_do_not_count():
    view = view_of(Objective(("rbflex",)), [(-9203.0, None), (None, 1.0), (-8910.0, 3.0)])
    assert view.utility(["0", "1", "2"]).tolist() == [-9203.0, -math.inf, -8910.0]
    assert view.ranking() == ["2", "0", "1"]


def test_failed_candidates_are_in_no_reference_set():
    alive = [(1.0, 1.0), (2.0, 2.0)]
    objective = Objective(("rbflex", "naswot"), "log")
    without, among = view_of(objective, alive), view_of(objective, [*alive, (None, 9.0), (9.0, None)])
    np.testing.assert_array_equal(without.utility(["0", "1"]), among.utility(["0", "1"]))


def test_an_empty_view_has_no_incumbent_and_an_empty_ranking():
    view = ArchiveView(Objective(MEMBERS, "log"), str)
    assert view.incumbent() is None
    assert view.ranking() == []
    assert view.utility([]).shape == (0,)


def test_the_view_keeps_told_order_and_takes_a_key_once():
    view = ArchiveView(Objective(("rbflex",)), lambda genotype: f"key of {genotype}")
    first, second = evaluation("b", 1.0), evaluation("a", 2.0)
    assert view.add(first)
    assert view.add(second)
    assert not view.add(evaluation("b", 99.0))
    assert view.evaluations == [first, second]
    assert view.get("b") is first
    assert (len(view), view.seen("a"), view.seen("c")) == (2, True, False)
    assert view.key((1, 2)) == "key of (1, 2)"


def test_an_unknown_key_is_an_error_that_names_it():
    with pytest.raises(LookupError, match="'nowhere' was not evaluated"):
        ArchiveView(Objective(("rbflex",)), str).utility(["nowhere"])


@pytest.mark.parametrize("scores", [{}, {"rbflex": math.nan}, {"rbflex": math.inf}])
def test_a_member_without_a_finite_score_or_a_failure_is_refused(scores):
    view = ArchiveView(Objective(("rbflex",)), str)
    with pytest.raises(ValueError, match="finite score or a failure for 'rbflex'"):
        view.add(Evaluation((0,), "a", scores))
    assert not view.seen("a")


def test_a_sample_reference_must_be_set_and_hold_a_success():
    view = view_of(Objective(MEMBERS, "log", reference="sample"), [(1.0, 1.0, 1.0)])
    with pytest.raises(RuntimeError, match="before set_reference"):
        view.utility(["0"])
    with pytest.raises(ConfigError, match="enlarge 'sample'"):
        view.set_reference([evaluation("dead", None, 1.0, 1.0)])


def test_ten_utilities_among_a_hundred_thousand_take_hardly_more_calls_than_among_a_thousand():
    calls = []
    for count in (1_000, 100_000):
        view = ArchiveView(Objective(("rbflex", "naswot"), "log"), str)
        for i, (a, b) in enumerate(np.random.default_rng(0).normal(size=(count, 2)).tolist()):
            view.add(evaluation(i, a, b))
        view.utility(["0"])
        view.add(evaluation("last", 0.0, 0.0))
        keys = keys_of(range(10))
        calls.append(calls_of(lambda view=view, keys=keys: view.utility(keys)).total())
        np.testing.assert_array_equal(view.utility(keys), view.utility(keys_of(range(count)))[:10])
    # Two bisections a member and run, and there are at most log_16(100,000) + 1 = 5 runs.
    assert calls[1] < calls[0] + 100


def parsed(**values: object) -> ObjectiveParameters:
    return parse(ObjectiveParameters, values, "fitness.objective")


def test_configurations_become_objectives():
    assert create_objective(parsed(score="rbflex"), MEMBERS) == Objective(("rbflex",))
    ranked = parsed(rank=["rbflex", "synflow"], weights=[2, 1], rule="linear", reference="sample", sample=7)
    expected = Objective(("rbflex", "synflow"), "linear", (2.0, 1.0), "sample", 7)
    assert create_objective(ranked, MEMBERS) == expected
    assert create_objective(parsed(rank=list(MEMBERS)), MEMBERS) == Objective(MEMBERS, "log", (1.0, 1.0, 1.0), "archive")


@pytest.mark.parametrize("values", [{"score": "rbflex"}, {"rank": ["rbflex"], "rule": "linear"}])
def test_a_configuration_saved_with_its_defaults_reads_back(values):
    written = parsed(**values).model_dump()
    assert create_objective(parsed(**written), MEMBERS) == create_objective(parsed(**values), MEMBERS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "has none of 'score', 'rank' and 'pareto'"),
        ({"score": "rbflex", "rank": ["rbflex"]}, "has both of 'score' and 'rank'"),
        ({"score": "rbflx"}, "'fitness.objective.score': 'rbflx' is not a configured proxy; did you mean 'rbflex'?"),
        ({"rank": ["rbflex", "nasw0t"]}, "'nasw0t' is not a configured proxy; did you mean 'naswot'?"),
        ({"rank": []}, "'fitness.objective.rank' is empty"),
        ({"rank": ["rbflex", "rbflex"]}, "names 'rbflex' twice"),
        ({"rank": ["rbflex", "naswot"], "weights": [1]}, "one weight a member, 2, but it has 1"),
        ({"rank": ["rbflex"], "weights": [0]}, "must be positive, but one is 0"),
        ({"score": "rbflex", "rule": "linear"}, "'fitness.objective.rule' belongs to 'rank'"),
        ({"score": "rbflex", "weights": [1.0]}, "'fitness.objective.weights' belongs to 'rank'"),
        ({"rank": ["rbflex"], "sample": 5}, "needs 'reference: sample', but the reference is 'archive'"),
        ({"rank": ["rbflex"], "rule": "logarithm"}, "'fitness.objective.rule': input should be 'linear' or 'log'"),
        ({"rank": ["rbflex"], "sample": 0, "reference": "sample"}, "'fitness.objective.sample'"),
        ({"ranks": ["rbflex"]}, "unknown key 'fitness.objective.ranks'; did you mean 'rank'?"),
        ({"rank": ["rbflex"], "weights": [math.nan]}, "'fitness.objective.weights.0'"),
    ],
)
def test_a_wrong_objective_is_one_line_with_the_way_out(values, message):
    with pytest.raises(ConfigError) as error:
        create_objective(parsed(**values), MEMBERS)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_view_of_a_finished_run_is_the_view_that_the_run_ended_with() -> None:
    objective = Objective(("rbflex", "naswot"), "log", reference="sample")
    sample = [Evaluation((i,), f"s{i}", {"rbflex": float(i), "naswot": float(-i)}) for i in range(5)]
    told = [Evaluation((i,), str(i), {"rbflex": i / 2, "naswot": 0.5 - i}) for i in range(4)]
    view = ArchiveView(objective, str)
    for evaluation in told:
        view.add(evaluation)
    view.set_reference(sample)
    rebuilt = ArchiveView.of(objective, told, sample)
    assert rebuilt.evaluations == told
    np.testing.assert_array_equal(rebuilt.utility(["0", "1", "2", "3"]), view.utility(["0", "1", "2", "3"]))
    assert len(ArchiveView.of(objective, [])) == 0
