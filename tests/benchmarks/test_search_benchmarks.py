"""The benchmarks of searches on tabulated scores: what they choose, what they compare it with, and that their commands work.

Scores, accuracies, latencies and images are random numbers here, so that the tests need no one's tables.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.figures import search_plots
from benchmarks.published import latency_pareto, rank_searches, search_tables
from benchmarks.published import printed_searches as published_search
from benchmarks.published.search_tables import Row
from benchmarks.searches import every_strategy, size_baseline
from benchmarks.shared import replays, score_tables, scoring_seconds
from benchmarks.shared.samples import SIZES
from benchmarks.shared.score_tables import Choice, Scores
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import as_values, parse_config
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import ConfigError, create_space
from rbflex_evo.strategies import own_strategies

SCORES = {
    "nats_tss": ("rbflex", "naswot", "synflow", "logsynflow", "ni", "az_progressivity", "params"),
    "nats_sss": ("rbflex", "naswot", "synflow"),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tables of random scores of both spaces, as `tabulate` writes them."""
    folder = tmp_path_factory.mktemp("scores")
    rng = np.random.default_rng(0)
    paths = {}
    for name, scores in SCORES.items():
        space = create_space(name)
        first = dict.fromkeys(space.key(space.at(index)) for index in range(SIZES[name]))
        arrays = {"key": np.array(list(first)), "notation": np.array(list(first))}
        for score in scores:
            failed = rng.random(len(first)) < 0.02
            arrays[score] = np.where(failed, np.nan, rng.normal(size=len(first)).round(3))
            arrays[f"{score}_failure"] = np.where(failed, "no path", "")
        paths[name] = folder / f"{name}.npz"
        np.savez(paths[name], allow_pickle=False, **arrays)
    return paths


@pytest.fixture(scope="module")
def benchdata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random accuracies, latencies and images."""
    folder = tmp_path_factory.mktemp("benchdata")
    rng = np.random.default_rng(1)
    for name, (file, arrays) in score_tables.ACCURACIES.items():
        space = create_space(name)
        columns = {array: rng.uniform(10, 95, SIZES[name]).astype(np.float32) for array in arrays.values()}
        columns["arch_str"] = np.array([space.notation(space.at(index)) for index in range(SIZES[name])])
        np.savez(folder / file, allow_pickle=False, **columns)
    devices = {device: rng.uniform(1, 30, SIZES["nats_tss"]).astype(np.float32) for device in latency_pareto.DRAWN}
    np.savez(folder / latency_pareto.FILE, allow_pickle=False, **devices)
    images = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "foolbox_samples.npz", cifar10_images=images, cifar10_labels=np.arange(20) % 10)
    return folder


COMMANDS = {
    "search_tables": (search_tables, ["nats_tss", "nats_sss"], ["rbflex_figure_15.png"]),
    "latency_pareto": (
        latency_pareto,
        ["nats_tss"],
        ["latency_pareto.png", "latency_pareto_1080ti_1.png", "latency_pareto_eyeriss.png"],
    ),
    "size_baseline": (size_baseline, ["nats_sss"], ["size_baseline.png"]),
    "every_strategy": (every_strategy, ["nats_tss"], ["every_strategy.png", "every_strategy-rbflex_search-compare"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_writes_its_tables_and_pictures(name: str, tables: dict[str, Path], benchdata: Path, tmp_path: Path) -> None:
    module, spaces, files = COMMANDS[name]
    given = [text for space in spaces for text in (f"--{space.removeprefix('nats_')}-scores", str(tables[space]))]
    module.main([*given, "--benchdata", str(benchdata), "--quick", "--workers", "1", "--folder", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*files, f"{name}.json", f"{name}.md"])
    assert all((tmp_path / file).read_bytes().startswith(b"\x89PNG") for file in files if file.endswith("png"))
    assert "environment" in json.loads((tmp_path / f"{name}.json").read_text())
    said = {
        "search_tables": ["quoted (weight sharing)", "93.30 ± 0.35", "Rank-based NAS's Table 2", "GA-rk"],
        "latency_pareto": ["params, flops, jacob_cov", "points below the best network"],
        "size_baseline": ["most multiply-accumulates", "Search by rbflex"],
        "every_strategy": ["argmax of the whole table", "93.30", "70.99", "large_space_evolution", "random search"],
    }
    text = (tmp_path / f"{name}.md").read_text()
    assert [words for words in said[name] if words not in text] == []


@pytest.mark.parametrize(
    ("module", "given", "said"),
    [
        (search_tables, [], "name a table of scores"),
        (search_tables, ["--tss-scores", "nowhere.npz"], "is no table of scores"),
        (every_strategy, ["--tss-scores", "nowhere.npz"], "is no table of scores"),
    ],
)
def test_a_missing_table_is_one_line(module, given, said, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        module.main([*given, "--benchdata", str(tmp_path), "--quick"])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_table_gives_every_network_the_score_of_its_key(tables: dict[str, Path]) -> None:
    scores = score_tables.read_scores(tables["nats_tss"], "nats_tss")
    space = scores.space
    with np.load(tables["nats_tss"]) as arrays:
        row = {key: i for i, key in enumerate(arrays["key"].tolist())}
        for index in (0, 11, 284, 9930, 15624):
            np.testing.assert_equal(scores.of["naswot"][index], arrays["naswot"][row[space.key(space.at(index))]])
    labels = {choice.label for choice in scores.choices}
    assert {"rbflex", "rank_nas", "rbflex_search", "rbflex_synflow"} <= labels
    assert "az_nas" not in labels and scores.missing["az_nas"] == ["az_expressivity", "az_trainability", "flops"]


def test_a_table_of_another_space_or_of_a_part_is_refused(tables: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no scores of .* of nats_tss; tabulate the whole space"):
        score_tables.read_scores(tables["nats_sss"], "nats_tss")
    with np.load(tables["nats_tss"]) as arrays:
        np.savez(tmp_path / "part.npz", **{name: array[1:] for name, array in arrays.items()})
    with pytest.raises(ConfigError, match="tabulate the whole space"):
        score_tables.read_scores(tmp_path / "part.npz", "nats_tss")


CHOICES = [
    Choice("one", ("a",)),
    Choice("sum", ("a", "b", "c"), "linear"),
    Choice("log", ("a", "b", "c"), "log"),
    Choice("weighted", ("a", "b", "c"), "log", (2.0, 1.0, 0.5)),
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.label)
def test_what_networks_are_worth_is_what_a_search_that_saw_them_says(choice: Choice) -> None:
    rng = np.random.default_rng(0)
    members = rng.integers(0, 9, (len(choice.members), 4, 30)).astype(float)  # with ties
    members[rng.random(members.shape) < 0.1] = np.nan
    found = score_tables.worth(choice, members)
    assert np.isneginf(found).any()
    objective = Objective(choice.members, choice.rule, choice.weights)
    for draw in range(4):
        view = ArchiveView(objective, str)
        for i, values in enumerate(members[:, draw].T):
            named = dict(zip(choice.members, values.tolist(), strict=True))
            failures = {name: "no path" for name, value in named.items() if np.isnan(value)}
            view.add(Evaluation((i,), str(i), {n: v for n, v in named.items() if n not in failures}, failures))
        np.testing.assert_array_equal(found[draw], view.utility([str(i) for i in range(30)]))


def test_networks_that_all_failed_are_worth_nothing_to_any_choice() -> None:
    for choice in CHOICES:
        assert np.isneginf(score_tables.worth(choice, np.full((len(choice.members), 2, 5), np.nan))).all()


def test_a_draw_finds_its_best_scored_network_and_draws_of_fewer_are_the_start_of_it() -> None:
    drawn = score_tables.draws(200, 50, 20)
    assert all(len(set(row)) == 50 for row in drawn) and drawn.max() < 200
    np.testing.assert_array_equal(drawn, score_tables.draws(200, 50, 20))
    values = np.random.default_rng(0).normal(size=200)
    values[:20] = np.nan
    scores = Scores(Path("none"), create_space("nats_tss"), {"a": values})
    found = score_tables.found(scores, CHOICES[0], drawn[:, :10])
    for row, network in zip(drawn, found, strict=True):
        best = max((index for index in row[:10]), key=lambda index: -np.inf if np.isnan(values[index]) else values[index])
        assert network == best


def test_the_printed_tables_hold_what_the_abstracts_say() -> None:
    for rows in published_search.RBFLEX_TABLE_3.values():
        sizes: dict[str, list[int]] = {}
        for row in rows:
            if row.size is not None:
                sizes.setdefault(row.method, []).append(row.size)
        assert len(sizes) == 8 and all(found == [10, 100, 1000] for found in sizes.values())
        assert {row.method for row in rows} >= {*published_search.TABLE_3_NAMES.values()}
    last = published_search.RBFLEX_TABLE_3["nats_tss"][-1]
    assert (last.method, last.size) == ("RBFleX-NAS", 1000)
    assert {data: last.figure(data)[0] for data in ("cifar10", "cifar100")} == published_search.RBFLEX_SEARCH


def test_the_random_row_tells_which_accuracies_are_printed() -> None:
    rng = np.random.default_rng(0)
    accuracies = {
        ("cifar10", "test"): rng.normal(91.1, 1.27, 32768),
        ("cifar10", "validation"): rng.normal(87.9, 1.28, 32768),
        ("cifar100", "validation"): rng.normal(62.4, 5.3, 32768),
    }
    first, second = search_tables.split_sentences("nats_sss", accuracies)
    by_test, by_validation = (float(number) for number in re.findall(r"([\d.]+) standard errors", first))
    assert by_test > 30 and by_validation < 2
    assert "62.43" in second


def test_a_printed_mean_above_the_best_of_every_draw_is_named() -> None:
    what = {("cifar10", "test"): (92.0, 0.5), ("cifar10", "validation"): (88.9, 0.5), ("cifar100", "validation"): (69.1, 0.5)}
    rows = [Row("rbflex", size, what, None) for size in (10, 100, 1000)]
    best = {(*kind, size): value for kind in what for size, value in ((10, 92.5), (100, 93.1), (1000, 93.4))}
    (first, second) = search_tables.disagreements("nats_sss", rows, best, 500)
    assert "92.00 / 92.00 / 92.00 here, 92.91 / 93.02 / 93.16 published" in first
    assert "at S = 10 92.91 is above 92.50" in first and "S = 100" not in first
    # Ours are validation accuracies there: they bound nothing that is printed of the test.
    assert "CIFAR-100" in second and "above" not in second


def test_figures_as_far_apart_as_draws_explain_are_not_remarked_on() -> None:
    printed = {row.size: row for row in published_search.RBFLEX_TABLE_3["nats_sss"] if row.method == "NASWOT"}
    rows = [
        Row(
            "naswot",
            size,
            {(data, "validation"): (printed[size].figure(data)[0] + 0.1, 0.5) for data in search_tables.DATA_SETS},
            None,
        )
        for size in (10, 100, 1000)
    ]
    best = dict.fromkeys(((data, "validation", size) for data in search_tables.DATA_SETS for size in (10, 100, 1000)), 100.0)
    assert search_tables.disagreements("nats_sss", rows, best, 500) == []


def test_the_mean_of_a_random_network_is_that_of_the_whole_space_and_the_ceiling_that_of_the_best_drawn() -> None:
    accuracies = {("cifar10", "test"): np.arange(100.0)}
    drawn = score_tables.draws(100, 20, 7)
    (row,) = search_tables.rows_of({("random", 10): drawn[:, 0]}, accuracies, {})
    assert row.ours["cifar10", "test"] == (49.5, np.arange(100.0).std())
    best = search_tables.ceilings(accuracies, drawn, (10, 20))
    assert best["cifar10", "test", 10] == drawn[:, :10].max(axis=1).mean() < best["cifar10", "test", 20]


def test_a_search_costs_what_its_networks_and_the_start_cost() -> None:
    assert scoring_seconds.Seconds(2.0, 0.5).search(1000) == 502.0


def test_rows_of_rank_nas_that_the_table_lacks_are_left_out(tables: dict[str, Path]) -> None:
    scores = score_tables.read_scores(tables["nats_sss"], "nats_sss")
    rows = rank_searches.chosen_of(argparse.Namespace(workers=1), scores, {}, 20, 2, 3)
    assert list(rows) == ["NASWOT"] and rows["NASWOT"].seconds is None
    text, _, data = rank_searches.table("nats_sss", rows, {("cifar10", "test"): np.full(32768, 90.0)})
    assert "quoted (training)" in text and "90.00 ± 0.00" in text
    assert [row["row"] for row in data if row["ours"]] == ["NASWOT"]


def test_within_each_limit_the_highest_score_is_taken_and_of_equals_the_quickest() -> None:
    rng = np.random.default_rng(0)
    latencies, values = rng.uniform(1, 9, 80).round(1), rng.integers(0, 12, 80).astype(float)
    values[rng.random(80) < 0.2] = np.nan
    limits = latency_pareto.limits_of(latencies, 10)
    assert limits[-1] == latencies.max() and (np.diff(limits) >= 0).all()
    found = latency_pareto.sweep(Choice("a", ("a",)), values[None], latencies, limits)
    for limit, network in zip(limits, found, strict=True):
        inside = [i for i in range(80) if latencies[i] <= limit and np.isfinite(values[i])]
        assert network == (max(inside, key=lambda i: (values[i], -latencies[i], -i)) if inside else -1)


def test_where_nothing_within_the_limit_has_a_score_there_is_no_gap() -> None:
    latencies, values = np.array([1.0, 2.0, 3.0]), np.array([[np.nan, 1.0, 2.0]])
    limits = np.array([1.0, 2.0, 3.0])
    chosen = latency_pareto.sweep(Choice("a", ("a",)), values, latencies, limits)
    assert chosen.tolist() == [-1, 1, 2]
    accuracies = np.array([50.0, 70.0, 60.0])
    best = latency_pareto.front(accuracies, latencies, limits)
    assert best.tolist() == [50.0, 70.0, 70.0]
    np.testing.assert_array_equal(latency_pareto.gaps_of(chosen, accuracies, best), [np.nan, 0.0, 10.0])


def test_a_preset_ranks_the_networks_within_the_limit_alone() -> None:
    # The first two tie while the third, between them in one member, is too slow to be seen; then it parts them.
    choice = Choice("sum", ("a", "b"), "linear")
    members = np.array([[3.0, 2.0, 2.5], [1.0, 2.0, 0.0]])
    found = latency_pareto.sweep(choice, members, np.array([2.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert found.tolist() == [1, 1, 0]


def test_an_unknown_device_is_one_line(benchdata: Path) -> None:
    with pytest.raises(ConfigError, match="no latencies of the device 'pixel33'; did you mean 'pixel3'"):
        latency_pareto.latencies_of(benchdata, ["pixel33"])


def test_the_size_baselines_are_the_largest_within_the_limit() -> None:
    costs = {"flops": np.array([5.0, 9.0, 9.0, 20.0]), "params": np.array([7.0, 1.0, 2.0, 30.0])}
    by_flops, by_params = size_baseline.baselines_of(costs, costs["flops"] <= 10)
    assert (by_flops.networks.tolist(), by_params.networks.tolist()) == ([1, 2], [0])


def searched(networks: list[int]) -> size_baseline.Searched:
    found = np.array(networks)
    values = {"random": np.full(len(found), 9.0), "genetic": np.full(len(found), 2.0), "annealing": np.full(len(found), 1.0)}
    return size_baseline.Searched(Choice("a", ("a",)), dict.fromkeys(values, found), values, 0)


def test_one_sentence_says_which_is_better_searching_or_taking_the_largest() -> None:
    accuracies = np.concatenate([np.linspace(80, 81, 10), [70.0, 90.0, 80.5]])
    search = searched(list(range(10)))
    said = size_baseline.sentence(search, [size_baseline.Baseline(str(i), np.array([i])) for i in (10, 11, 12)], accuracies)
    assert said.startswith("Search by a (genetic), 80.50 % on average, is better than the network with the 10 within the limit")
    assert "worse than the network with the 11" in said and "not told apart from the network with the 12" in said


def test_searches_of_the_size_space_stay_within_the_limit(tables: dict[str, Path]) -> None:
    scores = score_tables.read_scores(tables["nats_sss"], "nats_sss")
    limit = float(np.quantile(scores.costs["flops"], 0.3))
    options = argparse.Namespace(quick=True, workers=1)
    found = size_baseline.search(options, scores, scores.choices[0], limit, (30, 2))
    inside = scores.costs["flops"] <= limit
    assert all(inside[networks].all() for networks in found.networks.values())
    assert scores.of["rbflex"][found.exhaustive] == np.nanmax(scores.of["rbflex"][inside])
    assert all(np.isfinite(values).all() for values in found.values.values())


def test_a_replay_has_the_settings_that_its_table_was_made_with(tables: dict[str, Path], tmp_path: Path) -> None:
    scores = score_tables.read_scores(tables["nats_tss"], "nats_tss")
    choice = scores.choice("rank_nas")
    assert choice is not None
    plain = replays.config_of(scores, choice, ["random"], name="a", folder=tmp_path, evaluations=10, seeds=1)
    assert (plain.data.name, as_values(plain)["fitness"]["proxies"]["ni"]) == ("noise", {})
    objective = Assembly(plain).objective
    assert (objective.rule, objective.members) == ("linear", choice.members)
    made = parse_config(
        {
            "name": "made",
            "space": "nats_tss",
            "data": {"source": "noise", "shape": [3, 32, 32], "n": 8, "seed": 5},
            "fitness": {"proxies": {"ni": {}, "naswot": {"statistics": "batch"}}, "objective": {"score": "ni"}},
            "strategy": "random",
            "budget": {"evaluations": 1},
        }
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(as_values(made)))
    moved = Scores(tmp_path / "scores.npz", scores.space, scores.of)
    beside = replays.config_of(moved, choice, ["random"], name="a", folder=tmp_path, evaluations=10, seeds=1)
    assert beside.data.values["n"] == 8
    assert as_values(beside)["fitness"]["proxies"]["naswot"] == {"statistics": "batch"}


def test_every_registered_strategy_takes_part_and_random_search_is_first() -> None:
    names = [entry["name"] for entry in replays.all_strategies()]
    assert names[0] == "random" and sorted(names) == sorted(own_strategies())
    assert {"name": "large_space_evolution", "population": 32} in replays.all_strategies()


def test_a_preset_that_a_table_lacks_is_refused_with_what_is_missing(tables: dict[str, Path]) -> None:
    scores = score_tables.read_scores(tables["nats_sss"], "nats_sss")
    with pytest.raises(ConfigError, match="no scores for 'rbflex_search': it lacks az_progressivity"):
        every_strategy.choice_of(scores, "rbflex_search")


def test_a_score_to_search_the_size_space_by_is_never_replaced_by_another(tables: dict[str, Path]) -> None:
    scores = score_tables.read_scores(tables["nats_sss"], "nats_sss")
    assert [choice.label for choice in size_baseline.choices_of(scores, ["naswot"])] == ["naswot"]
    with pytest.raises(ConfigError, match="no scores for 'rbflex_search'; it can make rbflex, naswot"):
        size_baseline.choices_of(scores, ["naswot", "rbflex_search"])
    with pytest.raises(ConfigError, match="name what to search by with --by"):
        size_baseline.choices_of(Scores(scores.path, scores.space, {"depth": scores.of["rbflex"]}), None)


def gaps(tight: float, loose: float) -> dict[str, np.ndarray]:
    return {"pixel3": np.array([tight, tight, 5.0, loose])}


def test_what_the_survey_says_is_held_against_the_scores_that_there_are() -> None:
    found = {"params": gaps(3, 1), "flops": gaps(3, 2), "synflow": gaps(1, 6)}
    loose, tight, lacking, size = latency_pareto.claims(found, 4)
    assert "so it is here: by mean gap params 1.00, flops 2.00, synflow 6.00" in loose
    assert "synflow 1.00, params 3.00, flops 3.00" in tight and "jacob_cov" in lacking
    assert "0 of 1 scores and presets are closer. The closest of all is params" in size
    found["synflow"] = gaps(1, 0)
    assert "not so here: by mean gap synflow 0.00" in latency_pareto.claims(found, 4)[0]
    del found["synflow"]
    assert "no other of its scores to tell" in latency_pareto.claims(found, 4)[0]


def test_labels_keep_their_order_and_do_not_cover_each_other() -> None:
    places = search_plots.spread_out([5.0, 1.0, 1.1, 1.05, 9.0], (0.0, 24.0))
    assert places == sorted(places) and min(np.diff(places)) >= 1.0 - 1e-9


def test_the_true_front_is_what_no_quicker_network_is_as_good_as() -> None:
    rng = np.random.default_rng(0)
    latencies, accuracies = rng.integers(1, 20, 60).astype(float), rng.integers(0, 40, 60).astype(float)
    pairs = set(zip(latencies, accuracies, strict=True))
    expected = sorted((t, a) for t, a in pairs if all(other_a < a for other_t, other_a in pairs - {(t, a)} if other_t <= t))
    *front, last = latency_pareto.staircase(accuracies, latencies)
    assert front == expected
    assert last == (latencies.max(), accuracies.max())
