"""What is computed from the runs of a comparison, on runs that are written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rbflex_evo.engine.comparison.document import RunSpread
from rbflex_evo.engine.comparison.facts import common_values
from rbflex_evo.engine.comparison.judgement import (
    Reference,
    RunCurve,
    anytime,
    at,
    contender_rows,
    evaluations_to,
    grid,
    pairs,
    spread,
)
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint
from rbflex_evo.fitness.objective.objective import Objective

TIMES = {"time_evaluations": 10, "time_scoring": 0.02, "time_strategy": 0.03}


def curve(label: str, seed: int, changed: list[int], values: list[float], accuracies: list[float] | None = None) -> RunCurve:
    known = {"digits": np.array(accuracies, dtype=np.float64)} if accuracies is not None else {}
    keys = [f"{value}" for value in values]
    return RunCurve(label, seed, 10, np.array(changed, dtype=np.int64), np.array(values, dtype=np.float64), known, keys, TIMES)


def test_the_grid_goes_from_one_to_the_budget() -> None:
    assert grid(5).tolist() == [1, 2, 3, 4, 5]
    assert (grid(1000)[0], grid(1000)[-1], len(grid(1000))) == (1, 1000, 100)
    assert grid(1).tolist() == [1]


def test_a_curve_holds_its_incumbent_until_the_next_one() -> None:
    run = curve("a", 0, [2, 5], [1.0, 3.0])
    np.testing.assert_equal(at(run, run.values, np.arange(1, 7)), [np.nan, 1, 1, 1, 3, 3])


def test_the_99th_percentile_is_reached_by_the_first_incumbent_above_it() -> None:
    run = curve("a", 0, [2, 5, 9], [1.0, 3.0, 2.0])
    assert [evaluations_to(run, threshold) for threshold in (0.5, 1.5, 3.0, 3.5)] == [2, 5, 5, None]


def test_curves_of_regret_are_those_of_the_score_turned_over() -> None:
    runs = {"a": [curve("a", seed, [1, 3], [float(seed), 5.0 + seed], [50.0, 60.0 - seed]) for seed in range(4)]}
    reference = Reference(np.array([0.0, 9.0, np.nan]), {"digits": 70.0})
    found = anytime(runs, reference, 4)
    assert found.evaluations == [1, 2, 3, 4]
    assert found.score["a"].mean == pytest.approx([1.5, 1.5, 6.5, 6.5])
    assert found.regret["a"].mean == pytest.approx([7.5, 7.5, 2.5, 2.5])
    assert found.regret["a"].low == pytest.approx([9 - high for high in found.score["a"].high])
    assert found.accuracy["digits"]["a"].mean == pytest.approx([50, 50, 58.5, 58.5])
    assert found.accuracy_regret["digits"]["a"].mean == pytest.approx([20, 20, 11.5, 11.5])


def test_a_curve_begins_where_every_run_has_an_incumbent() -> None:
    runs = {"a": [curve("a", 0, [1], [1.0]), curve("a", 1, [3], [2.0])]}
    assert anytime(runs, Reference(np.array([5.0])), 4).score["a"].mean == [None, None, 1.5, 1.5]


def test_the_row_of_a_contender_is_over_its_last_incumbents() -> None:
    runs = {"a": [curve("a", 0, [1, 4], [1.0, 9.0], [50.0, 60.0]), curve("a", 1, [2], [4.0], [70.0]), curve("a", 2, [], [], [])]}
    (row,) = contender_rows(runs, Reference(np.array([1.0, 4.0, 9.0]), {"digits": 80.0}))
    assert row.score.deviation == pytest.approx(12.5**0.5)
    assert row.score == RunSpread(mean=6.5, deviation=row.score.deviation, best=9.0, median=6.5, worst=4.0, known=2)
    assert (row.regret.mean, row.at_best, row.reached) == (2.5, 1, 1)
    assert row.evaluations_to_99th_percentile is None
    assert (row.accuracy["digits"].mean, row.accuracy["digits"].regret) == (65.0, 15.0)
    assert (row.time.scoring_ms, row.time.strategy_ms) == (pytest.approx(2.0), pytest.approx(3.0))


def test_the_median_of_the_evaluations_counts_runs_that_never_came_there() -> None:
    runs = {"a": [curve("a", seed, [changed], [value]) for seed, (changed, value) in enumerate([(3, 9), (7, 9), (1, 0)])]}
    assert contender_rows(runs, Reference(np.array([0.0, 9.0])))[0].evaluations_to_99th_percentile == 7


def test_equal_values_have_no_deviation() -> None:
    assert spread(np.full(10, 0.1)).deviation == 0.0
    assert spread(np.array([1.0])).deviation is None
    assert spread(np.array([np.nan])).mean is None


def test_pairs_are_runs_of_one_seed_and_corrected_in_their_family() -> None:
    rng = np.random.default_rng(0)
    better = {seed: float(rng.random()) for seed in range(12)}
    runs = {
        "random": [curve("random", seed, [1], [value]) for seed, value in better.items()],
        "good": [curve("good", seed, [1], [value + 1 + seed / 100]) for seed, value in better.items() if seed != 3],
        "same": [curve("same", seed, [1], [value]) for seed, value in better.items()],
    }
    found = pairs(runs, ["random"])
    assert [(row.first, row.second, row.seeds) for row in found.all] == [
        ("random", "good", 11),
        ("random", "same", 12),
        ("good", "same", 11),
    ]
    good, same = found.against_random
    assert (good.first, good.wins, good.losses, good.effect) == ("good", 11, 0, 1.0)
    # Exact: 2 of the 2^11 signs are as one-sided.
    assert good.p == pytest.approx(2 / 2**11) and good.p_holm == pytest.approx(4 / 2**11)
    assert (same.ties, same.p, same.p_holm) == (12, 1.0, 1.0)
    assert [row.p_holm for row in found.all] == pytest.approx([6 / 2**11, 1.0, 6 / 2**11])


def evaluations() -> list[Evaluation]:
    rows = [(1.0, 5.0), (2.0, 1.0), (3.0, 3.0), (3.0, 4.0)]
    told = [Evaluation((i,), str(i), {"a": a, "b": b}) for i, (a, b) in enumerate(rows)]
    return [*told, Evaluation((9,), "9", {"a": 4.0}, {"b": "dead"})]


def test_a_single_score_is_its_own_value() -> None:
    np.testing.assert_equal(common_values(Objective(("b",)), evaluations()), [5, 1, 3, 4, np.nan])


@pytest.mark.parametrize("reference", ["archive", "sample", "generation"])
def test_rank_aggregates_are_valued_among_all_whatever_a_search_ranked_against(reference: str) -> None:
    found = common_values(Objective(("a", "b"), rule="linear", weights=(1.0, 3.0), reference=reference), evaluations())
    ranks_a, ranks_b = np.array([1, 2, 3.5, 3.5]), np.array([4, 1, 2, 3])
    np.testing.assert_allclose(found, [*((ranks_a + 3 * ranks_b) / 16), np.nan])


def test_what_breaks_a_limit_is_worth_nothing_and_ranked_against_nothing() -> None:
    rows = (("p", 1.0, 5), ("q", 9.0, 50), ("r", 3.0, 6))
    known = [Evaluation((), key, {"a": value}, costs={"params": cost}) for key, value, cost in rows]
    limits = (Constraint("params", maximum=10),)
    np.testing.assert_equal(common_values(Objective(("a",)), known, limits), [1, np.nan, 3])
    np.testing.assert_allclose(common_values(Objective(("a",), rule="linear"), known, limits), [0.5, np.nan, 1])


def test_incumbents_are_what_a_search_would_have_returned() -> None:
    from rbflex_evo.engine.comparison.trace import incumbents, moments_of
    from rbflex_evo.spaces import create_space

    space = create_space("toy", genes=6)
    rng = np.random.default_rng(0)
    genotypes = list({space.key(g): g for g in (space.encoding.sample(rng) for _ in range(80))}.values())
    told = [Evaluation(g, space.key(g), {"a": float(rng.random()), "b": float(rng.random())}) for g in genotypes]
    objective = Objective(("a", "b"), rule="log")
    changed, keys, notations = incumbents(ArchiveView(objective, space.key), space, [], told)
    for number in range(1, len(told) + 1):
        view = ArchiveView(objective, space.key)
        for evaluation in told[:number]:
            view.add(evaluation)
        leader = view.incumbent()
        position = int(np.searchsorted(changed, number, side="right")) - 1
        assert leader is not None and keys[position] == leader.key
        assert notations[position] == space.notation(leader.genotype)
    assert moments_of(3).tolist() == [1, 2, 3]
    assert (moments_of(50_000)[-1], len(moments_of(50_000))) == (50_000, 4000)
