"""Presets are chosen without the family that they are judged on, from taus that are scipy's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.shared.score_tables import Choice, worth
from benchmarks.transfer import choose_preset, stored
from benchmarks.transfer.judged import by_seed, choices, families, figures, is_count
from benchmarks.transfer.protocol import Bench, Candidate, choose, criterion, every_set, leave_one_out, weighted
from benchmarks.transfer.rank_sums import RankSums
from rbflex_evo.spaces import ConfigError

LABELS = ("rbflex", "layered", "naswot", "params", "flops")
FAMILIES = ("one", "two", "three", "four")


def setting(rng, networks=24, tasks=2):
    accuracies = np.round(rng.normal(size=(tasks, networks)), 1)
    scores = accuracies.mean(axis=0)[None, :, None] + rng.normal(size=(2, networks, len(LABELS))) * np.array([0.5, 1, 2, 3, 4])
    scores = np.round(scores, 1)
    scores[:, :2, 1] = np.nan
    scores[:, 1:3, 2] = np.nan
    size = np.arange(networks, dtype=float)
    names = np.array([f"n{i}" for i in range(networks)])
    known = np.array([f"task{i}" for i in range(tasks)])
    return stored.Measurements(size.astype(int), names, scores, size, size, known, accuracies, np.ones((2, networks), dtype=bool))


def made(seed=0, changed=()):
    """A file of four families, of which the accuracies of those in `changed` are reversed."""
    rng = np.random.default_rng(seed)
    settings = {name: setting(rng) for name in FAMILIES}
    for name in changed:
        settings[name].accuracies *= -1
    facts = {name: {"family": name, "choosing": True, "seconds": None, "form": {}, "note": ""} for name in FAMILIES}
    scores = {label: [label, {}] for label in LABELS}
    return stored.Transfer(LABELS, (0, 1), settings, {"settings": facts, "scores": scores, "inputs": 16})


@pytest.fixture
def transfer():
    return made()


def bench_of(found, networks=1000):
    return Bench(found, families(found), LABELS, networks)


@pytest.mark.parametrize("rule", ["linear", "log"])
@pytest.mark.parametrize(("members", "weights"), [((0,), (1,)), ((0, 3), (1, 1)), ((1, 2, 4), (1, 1, 1)), ((0, 1, 3), (3, 1, 2))])
def test_taus_of_rank_sums_are_scipys_of_the_librarys_utilities(transfer, rule, members, weights):
    one = transfer.settings["one"]
    choice = Choice("sum", tuple(LABELS[i] for i in members), rule if len(members) > 1 else "score", weights)
    expected = worth(choice, one.scores[0][:, list(members)].T)
    ranks = np.unique(expected, return_inverse=True)[1]
    found = RankSums(one.scores[0], one.accuracies).taus([members] * 2, [weights] * 2, rule)
    assert found[0] == pytest.approx([kendalltau(ranks, accuracies).statistic for accuracies in one.accuracies], abs=1e-12)
    assert np.array_equal(found[0], found[1])


def test_a_constant_score_and_one_that_failed_everywhere_have_no_tau():
    scores = np.column_stack([np.ones(5), np.full(5, np.nan), np.arange(5.0)])
    found = RankSums(scores, np.arange(5.0)[None]).taus([(0,), (1,), (2,)], [(1,)] * 3, "linear")
    assert np.isnan(found[:2]).all() and found[2] == 1.0


def test_the_figures_of_a_candidate_are_those_of_the_matrix(transfer):
    bench = bench_of(transfer)
    for candidate in (
        Candidate(("layered",)),
        Candidate(("layered", "params"), "log"),
        Candidate(("rbflex", "naswot"), "linear", (2, 1)),
    ):
        expected = figures(transfer, choose_preset.as_choice(candidate))
        assert bench.figures([candidate])[0] == pytest.approx([expected.by_family[family] for family in FAMILIES], abs=1e-12)
        assert criterion(bench.figures([candidate]))[0] == pytest.approx(expected.mean + expected.worst)


def test_each_seed_and_the_mean_of_the_seeds_have_a_tau_with_an_interval(transfer):
    choice = Choice("rbflex", ("rbflex",))
    seeds = by_seed(transfer, choice)
    for name, one in transfer.settings.items():
        scores = one.scores[:, :, LABELS.index("rbflex")]
        for task, accuracies in zip(one.tasks, one.accuracies, strict=True):
            found = seeds[name, task]
            expected = [kendalltau(each, accuracies).statistic for each in (*scores, scores.mean(axis=0))]
            assert [each.value for each in found] == pytest.approx(expected, abs=1e-9)
            assert all(each.low < each.value < each.high for each in found)


def test_every_set_is_there_once_and_weights_have_no_common_factor():
    sets = every_set("abc", 3, ("linear", "log"))
    assert len(sets) == len(set(sets)) == 3 + 2 * 3 + 2 * 1
    assert {one.weights for one in weighted(Candidate(("a", "b")), 2)} == {(1, 2), (2, 1)}
    assert Candidate(("a", "b"), "log", (1, 2)).label == "log: a + 2 b"


@pytest.mark.parametrize("weights", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_choice_never_reads_the_family_that_is_left_out(family, weights):
    sets = every_set(LABELS, 3, ("linear", "log"))
    same, other = (
        {one.family: one for one in leave_one_out(bench_of(found), sets, weights=weights, refined=5)}[family]
        for found in (made(), made(changed=[family]))
    )
    assert (same.candidate, same.criterion) == (other.candidate, other.criterion)
    assert same.figure == pytest.approx(-other.figure)


def test_the_choice_is_the_best_of_all(transfer):
    bench, sets = bench_of(transfer), every_set(LABELS, 3, ("linear", "log"))
    ranked = choose(bench, sets, FAMILIES)
    values = criterion(bench.figures(sets))
    assert ranked[0][1] == pytest.approx(values.max())
    assert [value for _, value in ranked] == sorted((round(value, 12) for value in values.tolist()), reverse=True)
    assert choose(bench, sets, FAMILIES, weights=2)[0][1] >= ranked[0][1]


def test_only_the_first_networks_choose():
    long, short = made(), made()
    for one in long.settings.values():
        one.accuracies[:, 10:] *= -1
    candidate = [Candidate(("layered", "flops"))]
    assert np.array_equal(bench_of(long, 10).figures(candidate), bench_of(short, 10).figures(candidate))


def test_a_seed_that_was_begun_does_not_count(transfer):
    expected = figures(transfer, Choice("layered", ("layered",)))
    one = made()
    for found in one.settings.values():
        found.measured[1, 5:] = False
        found.scores[1, 5:] = np.nan
    first = figures(one, Choice("layered", ("layered",)))
    assert first.mean != expected.mean and np.isfinite(first.mean)


def test_counts_and_presets_are_recognised(transfer):
    assert is_count("params") and is_count("flops") and not is_count("layered")
    assert [choice.label for choice in choices(transfer) if choice.preset] == ["rbflex_naswot"]


def test_the_command_writes_what_it_chose(tmp_path, transfer, capsys):
    stored.write(tmp_path / "transfer.npz", transfer)
    choose_preset.main([f"--folder={tmp_path}", "--members=3", "--weights=2", "--refined=3", "--top=5"])
    document = json.loads((tmp_path / "choose_preset.json").read_text())
    assert len(document["top"]) == 5 and document["chosen"]["members"] == document["top"][0]["members"]
    assert {what: len(rows) for what, rows in document["held_out"].items()} == {"preset": 4, "single score": 4, "count": 4}
    assert {row["members"][0] for row in document["held_out"]["count"]} <= {"params", "flops"}
    assert "| preset rbflex_naswot" in capsys.readouterr().out


def test_candidates_are_filtered_by_name_and_gradients(transfer):
    assert choose_preset.candidates_of(transfer, None, True) == list(LABELS)
    assert choose_preset.candidates_of(transfer, ["flops", "layered"], True) == ["flops", "layered"]
    with pytest.raises(ConfigError, match="layered"):
        choose_preset.candidates_of(transfer, ["layred"], True)
    transfer.document["scores"]["params"] = ["zico", {}]
    transfer.document["scores"]["flops"] = ["synflow", {}]
    assert choose_preset.candidates_of(transfer, None, False) == ["rbflex", "layered", "naswot"]


def test_a_file_is_read_as_it_was_written(tmp_path, transfer):
    transfer.settings["one"].reasons["layered"] = {"no path": 2}
    stored.write(tmp_path / "transfer.npz", transfer)
    found = stored.read(tmp_path / "transfer.npz")
    assert (found.scores, found.seeds, found.document) == (transfer.scores, transfer.seeds, transfer.document)
    assert found.settings["one"].reasons == {"layered": {"no path": 2}}
    assert np.array_equal(found.settings["two"].scores, transfer.settings["two"].scores, equal_nan=True)
    with pytest.raises(ConfigError, match="benchmarks transfer"):
        stored.read(tmp_path / "another.npz")
