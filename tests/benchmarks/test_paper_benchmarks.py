"""The papers' tables and figures come out of their commands, and what they compute is what they say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks.figures import small_multiples
from benchmarks.published import printed_scores as published
from benchmarks.published import rank_nas_table, rbflex_ablations, rbflex_stability, rbflex_tables, survey_top
from benchmarks.scores import every_score
from benchmarks.shared import comparison, independent, samples
from benchmarks.shared.comparison import Comparison
from benchmarks.shared.samples import Score
from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.fitness import create_batch
from rbflex_evo.fitness.proxies.rbflex.kernels import NormalisedRows, flat_log_determinants, linear_matrices, squared_distances
from rbflex_evo.fitness.proxies.rbflex.score import Rbflex, RbflexParameters
from rbflex_evo.spaces import UnknownNameError, create_space

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
needs_tables = pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
COMMANDS = {
    "rbflex_tables": (rbflex_tables, ["--scores", "rbflex", "naswot"], ["rbflex_tables.md", "rbflex_figure_13.png"]),
    "rbflex_stability": (rbflex_stability, [], ["rbflex_stability.md", "rbflex_figure_9.png", "rbflex_figure_9_distributions.png"]),
    "rbflex_ablations": (rbflex_ablations, [], ["rbflex_ablations.md", "rbflex_figure_10.png", "rbflex_figure_11.png"]),
    "rank_nas_table": (rank_nas_table, ["--scores", "synflow", "naswot"], ["rank_nas_table.md", "rank_nas_table.png"]),
    "every_score": (every_score, [], ["every_score.md"]),
    "survey_top": (survey_top, ["--scores", "rbflex", "naswot"], ["survey_top.md", "survey_top.png"]),
}


@needs_tables
@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_writes_its_tables_and_pictures(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))
    module, options, files = COMMANDS[name]
    folder = tmp_path / "results"
    module.main(["--benchdata", TABLES, "--quick", "--workers", "1", "--folder", str(folder), *options])
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, f"{name}.json"])
    assert all((folder / file).read_bytes().startswith(b"\x89PNG") for file in files if file.endswith("png"))
    assert "environment" in json.loads((folder / f"{name}.json").read_text())
    text = (folder / f"{name}.md").read_text()
    assert "published" in text or "Table IV" in text or "Spearman with others" in text


@pytest.mark.parametrize(
    ("chosen", "said"), [("nothing", "no row of this table is of nothing"), ("rbflex", "--benchdata names the folder")]
)
def test_a_wrong_score_or_folder_is_one_line(chosen, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        rbflex_tables.main(["--benchdata", str(tmp_path), "--scores", chosen])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_score_that_is_not_registered_is_named_before_anything_is_measured():
    with pytest.raises(UnknownNameError, match="unknown proxy 'nosuch'"):
        samples.wanted([Score("nosuch", ("nosuch",))], None)


def test_smaller_samples_are_the_start_of_larger_ones():
    small, large = samples.sample("nats_sss", 10), samples.sample("nats_sss", 500)
    np.testing.assert_array_equal(small, large[:10])
    assert len(set(large)) == 500 and large.max() < samples.SIZES["nats_sss"]
    accuracies = np.arange(1000.0)
    top = survey_top.top_sample(accuracies, 500)
    assert sorted(top) == list(range(950, 1000))
    np.testing.assert_array_equal(survey_top.top_sample(accuracies, 7), top[:7])


def test_scores_are_those_of_the_networks_in_order_and_failures_are_nan(tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path))
    space = create_space("nats_tss", channels=2, cells=1)
    batch = create_batch("noise", shape=[3, 8, 8], n=4)
    dead = space.index((0,) * 6)
    indices = np.array([11, dead, 284, 11])
    rows = [Score("first", ("naswot",)), Score("own", ("synflow",)), Score("sum", ("naswot", "synflow")),
            Score("published", ("rbflex",), {"mode": "published"})]  # fmt: skip
    found = samples.measure(space, indices, rows, batch, own_passes=3, workers=1)
    assert {label: len(values) for label, values in found.items()} == {"first": 4, "own": 3, "sum": 3, "published": 3}
    assert all(np.isnan(values[1]) and np.isfinite(values[[0, 2]]).all() for values in found.values())
    assert found["first"][0] == found["first"][3]
    np.testing.assert_array_equal(found["sum"][[0, 2]], sum(stats.rankdata(found[label][[0, 2]]) for label in ("first", "own")))


def test_the_walk_measures_what_the_evaluator_measures(tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path))
    space, batch = create_space("nats_sss"), create_batch("noise", shape=[3, 8, 8], n=4)
    measured = rbflex_ablations.walk(space, batch, 1, 1, genes=4)
    assert len(measured.indices) == 8
    expected = samples.measure(space, measured.indices, [Score("flat", ("rbflex",), {"gamma": "flat"})], batch, workers=1)["flat"]
    np.testing.assert_allclose(Rbflex(RbflexParameters(gamma="flat")).score_many(measured.statistics), expected, rtol=1e-4)


def statistics_of(vectors):
    """Statistics of networks [networks, N, L], the same vectors for X and Y."""
    grams = vectors @ vectors.transpose(0, 2, 1)
    one = {"gram": grams, "normalised_sums": vectors.sum(axis=2), "sums": vectors.sum(axis=2), "squares": (vectors**2).sum(axis=2),
           "live": np.full(len(grams), vectors.shape[2]), "length": np.full(len(grams), vectors.shape[2])}  # fmt: skip
    return {f"{part}_{name}": array for part in "kq" for name, array in one.items()}


def test_the_determinant_as_written_agrees_until_its_digits_are_gone():
    statistics = statistics_of(np.random.default_rng(0).random((3, 5, 40)))
    exact = Rbflex(RbflexParameters(gamma=[1e-2, 1e-3])).score_many(statistics)
    np.testing.assert_allclose(rbflex_ablations.plainly(statistics, (1e-2, 1e-3)), exact, rtol=1e-6)
    # exp(-1e-20 D) is 1 everywhere.
    assert np.isnan(rbflex_ablations.plainly(statistics, (1e-20, 1e-20))).all()


def test_the_unscaled_linear_kernel_is_the_determinant_of_the_gram_matrices():
    statistics = statistics_of(np.random.default_rng(0).random((3, 5, 40)))
    rows = NormalisedRows(statistics["k_gram"], statistics["k_normalised_sums"], statistics["k_live"])
    scaled = [2 * np.linalg.slogdet(matrix)[1] * 5 for matrix in linear_matrices(rows)]
    unscaled = [2 * np.linalg.slogdet(gram)[1] * 5 for gram in statistics["k_gram"]]
    np.testing.assert_allclose(np.array(scaled) + rbflex_ablations.scale(statistics), unscaled, rtol=1e-9)


def test_ablations_of_a_space_whose_accuracy_is_the_flat_score_find_it():
    rng = np.random.default_rng(0)
    vectors = rng.random((200, 6, 40)) * rng.uniform(0.2, 1, (200, 1, 1))
    statistics = statistics_of(vectors)
    flat = flat_log_determinants(squared_distances(statistics["k_gram"]))
    measured = rbflex_ablations.Measured(np.arange(200)[::-1].copy(), statistics)
    accuracies = stats.rankdata(flat)[::-1]
    found = rbflex_ablations.correlations(measured, accuracies, draws=3, networks=50)
    assert set(found) == {"Pearson", "Kendall"}
    assert set(found["Kendall"]) == {*rbflex_ablations.GAMMAS, *rbflex_ablations.RIVALS, rbflex_ablations.UNSCALED}
    assert found["Kendall"]["hda"].min() > 0.95 > found["Kendall"]["ssim"].max()


def test_the_t_test_is_students():
    first, second = np.random.default_rng(0).normal(0, 1, 10), np.random.default_rng(1).normal(1, 1, 10)
    pooled = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 10)
    t = (first.mean() - second.mean()) / pooled
    assert rbflex_ablations.p_value(first, second) == pytest.approx(2 * stats.t.sf(abs(t), 18), rel=1e-9)


def test_normalised_scores_start_at_minus_one_and_span_their_range():
    trials = np.array([[-200.0, -100.0, -50.0], [-400.0, -240.0, -80.0]])
    np.testing.assert_allclose(rbflex_stability.by_caption(trials), [[-1, -0.5, -0.25], [-1, -0.6, -0.2]])
    np.testing.assert_allclose(rbflex_stability.by_range(trials), [[0, 2 / 3, 1], [0, 0.5, 1]])
    low, high = rbflex_stability.deviations(rbflex_stability.by_caption(trials))
    assert (low, high) == pytest.approx((np.std([0.25, 0.2], ddof=1), np.std([0.5, 0.6], ddof=1)))
    assert rbflex_stability.agreement(trials) == 1


def test_a_deviation_of_another_size_has_a_sentence():
    assert rbflex_stability.sentence_of("nats_sss", "seeds", 1e-3, 1e-2, None) is None
    assert rbflex_stability.sentence_of("nats_sss", "seeds", 1e-3, 1e-2, 1.9e-3) is None
    assert "by min-max, the text's" in rbflex_stability.sentence_of("nats_sss", "seeds", 1e-3, 1e-2, 1.5e-2)
    assert "round-off in the paper" in rbflex_stability.sentence_of("nats_sss", "seeds", 1e-3, 1e-2, 1e-1)


def test_a_figure_agrees_if_it_is_inside_the_interval_or_close():
    def agrees(value, low, high, printed):
        return Comparison("row", "Kendall", Statistic(value, low, high), printed).agrees

    assert agrees(0.5, 0.3, 0.7, 0.69) and agrees(0.5, 0.49, 0.51, 0.54)
    assert agrees(0.5, 0.49, 0.51, 0.58) is False
    assert agrees(0.5, 0.4, 0.6, None) is None and agrees(None, None, None, 0.5) is None


def test_a_disagreement_has_a_sentence_and_an_agreement_none():
    good = Comparison("naswot", "Kendall", Statistic(0.6, 0.55, 0.65), 0.62)
    bad = Comparison("naswot, other layers", "Kendall", Statistic(0.6, 0.55, 0.65), 0.37, independent=0.61)
    (sentence,) = comparison.sentences([good, bad], {"naswot": {"Kendall": "a reason"}})
    assert "0.600 here, 0.370 published: a reason." in sentence and "0.610, closer to us" in sentence
    (unknown,) = comparison.sentences([bad], {})
    assert "neither the paper nor our settings say why" in unknown


def test_the_survey_is_held_against_what_it_says():
    def row(score, everywhere, top):
        some = Statistic(0.5)
        return survey_top.Row(score, Statistic(everywhere), Statistic(top), some, some, 60.0)

    rows = [row("params", 0.6, 0.1), row("zen", 0.3, 0.4), row("snip", 0.5, 0.2), row("rbflex", 0.9, 0.95)]
    best, drop = survey_top.claims("nats_tss", rows)
    assert "so it is here. By KT: params, snip, zen" in best and "so it is here. Not dropping: zen." in drop
    best, drop = survey_top.claims("nats_sss", rows)
    assert "so it is here" in best and "so it is here. Not dropping: zen." in drop
    best, drop = survey_top.claims("nats_tss", [row("params", 0.1, 0.2), *rows[1:]])
    assert "not so here" in best and "not so here" in drop


def test_a_survey_row_takes_the_first_of_half_the_sample():
    scores, accuracies = np.array([1.0, 2.0, 3.0, np.nan]), np.array([10.0, 20.0, 30.0, 40.0, 99.0])
    row = survey_top.judge("score", (scores, accuracies), (scores, accuracies), 5)
    # Of the 6 pairs, 3 hold the third, 2 of the others the second as best, and 1 the first.
    assert row.first == pytest.approx((3 * 30 + 2 * 20 + 10) / 6)
    assert row.kendall.value == pytest.approx(0.0) and row.change == 0


def test_every_printed_row_of_a_table_is_a_row_of_its_command():
    tables = [(rbflex_tables.ROWS, rows) for rows in published.RBFLEX_TABLE_1.values()]
    tables += [(rank_nas_table.ROWS, published.RANK_TABLE_1)]
    tables += [(survey_top.ROWS, set(rows) - {"best"}) for rows in published.SURVEY_TABLE_4.values()]
    for rows, printed in tables:
        assert set(printed) <= {row.label for row in rows}
    assert set(published.RBFLEX_FIG_10) <= set(rbflex_ablations.KERNELS)
    assert set(published.RBFLEX_FIG_11) == set(rbflex_ablations.RULES) == {"hda", *published.RBFLEX_FIG_11_P}


@needs_tables
def test_the_best_of_our_tables_is_the_survey_s_ground_truth():
    for name, printed in published.SURVEY_TABLE_4.items():
        assert samples.accuracies_of(Path(TABLES), name, "cifar100").max() == pytest.approx(printed["best"], abs=0.005)


@needs_tables
def test_scores_of_others_order_cells_as_their_authors_say():
    accuracies = samples.accuracies_of(Path(TABLES), "nats_tss", "cifar10")
    found = independent.scores_of_others(Path(TABLES), "cifar10")
    for row in ("naswot", "synflow"):
        indices, scores = found[row]
        tau = samples.correlation("kendall", scores, accuracies[indices])
        assert tau == pytest.approx(published.RANK_TABLE_1[row]["cifar10"][0], abs=0.01)
    assert independent.scores_of_others(Path(TABLES) / "nowhere", "cifar10") == {}


@needs_tables
def test_images_are_the_first_ones_or_those_of_a_seed():
    first, again, other = (samples.images_of(Path(TABLES), "imagenet16", 4, seed) for seed in (None, 1, 2))
    assert first.images.shape == (4, 3, 16, 16) and first.labels is None
    assert not torch.equal(again.images, other.images)
    assert samples.images_of(Path(TABLES), "cifar100").labels.max() < samples.CLASSES["cifar100"]


def test_pictures_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    small_multiples.draw_bands({"one": rng.random((3, 5)), "two": rng.random((3, 4))}, tmp_path / "bands.png", "t", 2, "x", "y")
    groups = {"Kendall": {"rbf": rng.random(5), "linear, unscaled": rng.random(5)}}
    small_multiples.draw_boxes(groups, {"Kendall": {"rbf": 0.5}}, tmp_path / "boxes.png", "t")
    small_multiples.draw_clouds({"rbflex": (rng.random(9), rng.random(9))}, tmp_path / "clouds.png", "t", "y")
    rows = [("a", 0.1, 0.5), ("b", 0.2, None)]
    small_multiples.draw_dumbbells({"p": rows}, ("ours", "published"), tmp_path / "dumbbells.png", "t", "x")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 4


def test_a_row_that_a_space_cannot_serve_is_left_out_with_its_reason():
    rows = [Score("first", ("naswot",)), Score("te_nas", ("ntk_cond", "linear_regions"))]
    there, sentences = samples.served(rows, create_space("nats_sss"))
    assert [row.label for row in there] == ["first"]
    assert len(sentences) == 1 and sentences[0].startswith("- te_nas, not on nats_sss: linear_regions counts")
    assert samples.served(rows, create_space("nats_tss")) == (rows, [])
