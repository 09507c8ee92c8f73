"""Tests of the comparison of all strategies, on small budgets and on rows that are written by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.searches import ranking, strategies
from benchmarks.searches.contenders import REFERENCE, Contender, Search, contenders, search
from benchmarks.searches.landscapes import GENES, Source, nk
from rbflex_evo.strategies import STRATEGIES
from rbflex_evo.strategies.auto import Winner

SIZES = {"one": 1000, "two": 2000, "three": None}
SCALES = {f"{space} / score": ranking.Scale(0.0, 10.0) for space in SIZES}


def rows(values, budgets=(100, 1000), seeds=(0, 1)):
    """Returns rows of every space by the value of each strategy."""
    return [
        ranking.Row(space, f"{space} / score", 1, strategy, budget, seed, value, 0.0)
        for space in SIZES
        for strategy, value in values(space).items()
        for budget in budgets
        for seed in seeds
    ]


def test_an_nk_landscape_changes_with_every_gene_that_a_contribution_reads():
    value, again = nk(3), nk(3)
    rng = np.random.default_rng(0)
    keys = ["".join(map(str, rng.integers(0, 4, GENES))) for _ in range(20)]
    assert [value(key) for key in keys] == [again(key) for key in keys]
    assert all(0.0 < value(key) < 1.0 for key in keys)
    flipped = [key[:i] + str((int(key[i]) + 1) % 4) + key[i + 1 :] for key in keys[:1] for i in range(GENES)]
    assert value(keys[0]) not in {value(key) for key in flipped}
    assert nk(5)(keys[0]) != value(keys[0])


@pytest.mark.parametrize("space", ["nasbench_macro", "synthetic"])
@pytest.mark.parametrize("front", [False, True])
def test_a_search_counts_unique_networks_and_is_the_same_for_the_same_seed(space, front):
    source = Source(space, None, None)
    landscape = source.front() if front else source.landscape(source.names[0])
    who = [contender for contender in contenders() if not contender.slow and (contender.own or not front)]
    for contender in who:
        found = [search(landscape, contender, 30, seed) for seed in (0, 0)]
        assert found[0] == found[1] and found[0] == found[0]


def test_the_reference_loop_spends_exactly_its_budget():
    from benchmarks.searches.contenders import ea_simple

    source = Source("synthetic", None, None)
    found = Search(source.landscape("nk_2"), 70)
    ea_simple(found, 1)
    assert len(found.view) == 70


def test_every_strategy_of_ours_is_a_contender_and_auto_is_none():
    own = {contender.name for contender in contenders() if contender.own}
    assert own <= set(STRATEGIES.names()) and "auto" not in own and {"genetic", "random"} <= own
    assert Contender(REFERENCE, None, own=False) in contenders()


def test_ranks_share_ties_and_regrets_are_shares_of_what_separates_a_typical_network_from_the_best():
    found = ranking.compare(rows(lambda space: {"good": 10.0, "same": 10.0, "poor": 5.0}), ["poor"], SIZES, SCALES)
    standings = {standing.strategy: standing for standing in found.standings}
    assert {name: one.rank for name, one in standings.items()} == {"good": 1.5, "same": 1.5, "poor": 3.5, "auto": 3.5}
    assert standings["poor"].regrets == {100: 0.5, 1000: 0.5} and standings["good"].regrets[100] == 0.0
    assert standings["good"].behind == (-2.0, -2.0, -2.0) and standings["auto"].behind is None
    assert (found.landscapes, found.seeds, found.blocks) == (3, 2, 12)


def test_auto_is_judged_by_winners_of_the_other_spaces():
    found = rows(lambda space: {"specialist": 9.0 if space == "one" else 1.0, "common": 2.0})
    compared = ranking.compare(found, ["specialist", "common"], SIZES, SCALES)
    auto = next(standing for standing in compared.standings if standing.strategy == "auto")
    # A table that was made with the space would have taken the specialist on it.
    assert auto.regrets[100] == pytest.approx(0.8)


def test_winners_are_by_class_of_space_and_budget_and_read_by_auto():
    def values(space):
        return {"small one": 3.0 if SIZES[space] else 1.0, "other": 2.0}

    table = ranking.winners(rows(values), SIZES)
    assert [(row["evaluations"], row["size"], row["strategy"]) for row in table] == [
        (316, 50_000, "small one"),
        (None, 50_000, "small one"),
        (316, None, "small one"),
        (None, None, "small one"),
    ]
    assert all(Winner.model_validate(row) for row in table)


def test_seeds_that_are_not_complete_are_left_out():
    every = rows(lambda space: {"one": 1.0, "two": 2.0})
    kept = ranking.complete(every[:-1])
    assert {row.seed for row in kept} == {0} and len(kept) == len(every) // 2
    with pytest.raises(ValueError, match="no seed is complete"):
        ranking.complete([row for row in every if (row.seed, row.strategy) != (0, "one") and (row.seed, row.space) != (1, "two")])


def test_the_command_writes_tables_a_picture_and_winners_and_resumes(tmp_path):
    options = ["--folder", str(tmp_path), "--spaces", "nasbench_macro", "synthetic", "--budgets", "8"]
    options += ["--seeds", "1", "--workers", "1", "--minutes", "5", "--write-winners", str(tmp_path / "auto.json")]
    strategies.main(options)
    assert (tmp_path / "strategies.png").stat().st_size > 10_000
    document = json.loads((tmp_path / "strategies.json").read_text())
    assert {one["strategy"] for one in document["One objective"]["standings"]} >= {"auto", "genetic", REFERENCE}
    text = (tmp_path / "strategies.md").read_text()
    assert "regret at 8, %" in text and "Difference of the mean rank from that of `auto`" in text
    winners = json.loads((tmp_path / "auto.json").read_text())
    assert winners["command"] == "python -m benchmarks strategies"
    assert {row["objectives"] for row in winners["winners"]} == {1, 2}
    done = (tmp_path / "strategies.jsonl").read_text()
    (tmp_path / "strategies.jsonl").write_text(done[: -len(done.splitlines()[-1]) // 2])
    strategies.main(options)
    again = strategies.rows_of(tmp_path / "strategies.jsonl")
    first = [json.loads(line) for line in done.splitlines()]
    timeless = {tuple(v for k, v in line.items() if k != "seconds") for line in first}
    assert {(r.space, r.landscape, r.objectives, r.strategy, r.budget, r.seed, r.value) for r in again} == timeless
