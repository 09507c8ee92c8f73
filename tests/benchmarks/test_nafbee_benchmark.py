"""RBFleX's Tables IV and V come out of their command, and what it computes is what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks.published import nafbee
from benchmarks.published import printed_scores as published
from rbflex_evo.fitness.measuring.arrivals import Arrivals
from rbflex_evo.spaces.families.nafbee.activations import ACTIVATIONS

RNG = np.random.default_rng(0)
KNOWN = {name: 90.0 - i for i, name in enumerate(ACTIVATIONS)}
PRINTED = RNG.normal(size=11)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command in a folder of its own and returns what it wrote."""
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))

    def run(network, *options):
        nafbee.main(["--quick", "--workers=1", f"--network={network}", f"--folder={tmp_path}", *map(str, options)])
        return json.loads((tmp_path / f"nafbee_{network}.json").read_text()), (tmp_path / f"nafbee_{network}.md").read_text()

    return run


@pytest.fixture
def known(tmp_path):
    rows = [
        f"{i},{network},{name},{accuracy},{score}"
        for network in ("VGG19", "BERT")
        for i, ((name, accuracy), score) in enumerate(zip(KNOWN.items(), PRINTED.tolist(), strict=True), start=1)
    ]
    path = tmp_path / "known.csv"
    # In another order than the benchmark's: rows are found by name.
    path.write_text("\n".join(["id,network,activation,accuracy,rbflex", *reversed(rows)]))
    return path


@pytest.mark.parametrize(("network", "scores"), [("vgg19", ["rbflex", "naswot"]), ("bert", ["rbflex", "naswot", "grad_norm"])])
def test_scores_of_several_seeds_are_held_against_accuracies_and_the_paper(command, known, network, scores):
    document, text = command(network, f"--table={known}", "--seeds=2", "--scores", *scores)
    rows = document["rows"]
    assert list(rows) == ["rbflex", "rbflex, gamma of all", *scores[1:]]
    values = np.array(rows["rbflex"]["scores"])
    assert values.shape == (2, 11) and not np.array_equal(values[0], values[1])
    assert values[0, ACTIVATIONS.index("CELU")] == values[0, ACTIVATIONS.index("ELU")]
    for seed in range(2):
        assert rows["rbflex"]["kendall"][seed] == pytest.approx(stats.kendalltau(values[seed], list(KNOWN.values())).statistic)
        assert rows["rbflex"]["pearson"][seed] == pytest.approx(stats.pearsonr(values[seed], list(KNOWN.values())).statistic)
    line = next(line for line in text.splitlines() if line.startswith("| rbflex  "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    pearson, kendall = published.RBFLEX_NAFBEE[network]["rbflex"]
    assert (cells[3], cells[6]) == (f"{pearson:.3f}", f"{kendall:.3f}")
    assert cells[4] == f"{stats.pearsonr(PRINTED, list(KNOWN.values())).statistic:.3f}"
    assert cells[7] == f"{stats.kendalltau(PRINTED, list(KNOWN.values())).statistic:.3f}"


def test_another_run_measures_nothing_again_and_another_seed_only_itself(command, known, monkeypatch):
    first, _ = command("vgg19", f"--table={known}", "--seeds=1", "--scores", "naswot")
    measured = []
    send = Arrivals.send

    def watched(self, call, positions, requests, take):
        measured.append(len(requests))
        send(self, call, positions, requests, take)

    monkeypatch.setattr(Arrivals, "send", watched)
    again, _ = command("vgg19", f"--table={known}", "--seeds=2", "--scores", "naswot")
    assert measured == [0, 10]
    assert again["rows"]["naswot"]["scores"][0] == first["rows"]["naswot"]["scores"][0]


def test_vgg_11s_activations_get_places(command):
    document, text = command("vgg11", "--seeds=2", "--scores", "rbflex")
    places = np.array(document["rows"]["rbflex"])
    assert places.shape == (2, 10) and (places.sum(axis=1) == 55).all()
    assert "| GELU |" in text and "ReLU6" in text


def test_places_count_from_the_highest_score_and_failed_ones_come_last():
    scores = np.array([[1.0, 3.0, np.nan, 3.0], [4.0, 1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(nafbee.places(scores), [[3, 1.5, 4, 1.5], [1, 4, 3, 2]])
    assert nafbee.place_of_the_best(scores, np.array([1.0, 2.0, 3.0, 0.0])) == 3.5


def test_a_spread_is_mean_and_deviation_of_what_is_defined():
    assert nafbee.spread(np.array([0.1, 0.3, np.nan])) == "0.200 ± 0.141"
    assert nafbee.spread(np.array([0.5, np.nan])) == "0.500"
    assert nafbee.spread(np.array([np.nan])) == "undefined"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--network=bert"], "--table names the file of known accuracies"),
        (["--network=vgg19", "--table=nowhere.csv"], "no table file 'nowhere.csv'"),
        (["--network=vgg11", "--table=nowhere.csv"], "but the search space is 'nafbee_vgg11'"),
        (["--network=vgg11", "--scores", "nosuch"], "no row of this table is of nosuch"),
        (["--network=vgg11", "--images=nowhere.npz"], "no file 'nowhere.npz'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_is_measured(options, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        nafbee.main(options)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_table_must_have_all_eleven(tmp_path, capsys):
    path = tmp_path / "NAFBee_VGG19.json"
    path.write_text(json.dumps({"1": {"network": "VGG19", "activation": "ReLU", "accuracy": 91.0}}))
    with pytest.raises(SystemExit):
        nafbee.main([f"--table={path}"])
    assert "has no accuracy of GELU, SiLU, LeakyReLU" in capsys.readouterr().err
