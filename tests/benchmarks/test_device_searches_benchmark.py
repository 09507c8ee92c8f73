"""Tests of the benchmark of searches for devices, on random scores, accuracies and latencies of nats_tss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.searches import device_searches
from benchmarks.shared.samples import SIZES
from benchmarks.shared.score_tables import ACCURACIES, read_scores
from benchmarks.shared.tabulated_search import Device, Networks, first_of_each_chip
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import create_space

PRESET = PRESETS.get(device_searches.PRESET)
DEVICES = ("1080ti_1", "1080ti_256", "1080ti_32", "gold_6226", "pixel3")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of scores, accuracies and latencies."""
    folder = tmp_path_factory.mktemp("data")
    rng, space, size = np.random.default_rng(3), create_space("nats_tss"), SIZES["nats_tss"]
    keys = list(dict.fromkeys(space.key(space.at(index)) for index in range(size)))
    scores = {name: rng.normal(size=len(keys)) for name in PRESET.members}
    failures = {f"{name}_failure": np.full(len(keys), "") for name in PRESET.members}
    np.savez(folder / "scores.npz", key=np.array(keys), notation=np.array(keys), **scores, **failures)
    file, arrays = ACCURACIES["nats_tss"]
    np.savez(folder / file, **{array: rng.uniform(50, 95, size) for array in arrays.values()})
    np.savez(folder / device_searches.FILE, **{name: rng.uniform(1, 30, size).astype(np.float32) for name in DEVICES})
    return folder


@pytest.fixture(scope="module")
def networks(data: Path) -> Networks:
    scores = read_scores(data / "scores.npz", "nats_tss")
    return Networks(scores, scores.choice(device_searches.PRESET))


def test_one_device_of_each_chip_is_taken_at_its_smallest_batch():
    names = ["titanx_32", "titanx_1", "titanx_256", "gold_6240", "gold_6226", "pixel3", "essential_ph_1"]
    assert first_of_each_chip(names, 10) == ["essential_ph_1", "gold_6226", "gold_6240", "pixel3", "titanx_1"]
    assert first_of_each_chip(names, 2) == ["essential_ph_1", "gold_6226"]


@pytest.mark.parametrize("contender", device_searches.WITHIN, ids=lambda one: one.label)
def test_a_search_ends_within_its_limit_and_is_the_same_for_the_same_seed(data, networks, contender):
    with np.load(data / device_searches.FILE) as arrays:
        own = arrays["pixel3"][networks.rows]
    device = Device(networks, "pixel3", data / device_searches.FILE)
    found = [device.within(contender, 5.0, seed, 20) for seed in (0, 0, 1)]
    assert found[0] == found[1] and (own[found] <= 5.0).all()


def test_a_front_is_part_of_what_was_evaluated_and_nothing_of_it_dominates_another(data, networks):
    with np.load(data / device_searches.FILE) as arrays:
        own = arrays["pixel3"][networks.rows]
    front = Device(networks, "pixel3", data / device_searches.FILE).front(device_searches.FRONTS[2], 0, 30)
    assert len(set(front.evaluated)) == 30 and set(front.members) <= set(front.evaluated)
    assert own[front.evaluated].min() in own[front.members]


def test_gaps_are_means_over_limits_and_seeds():
    accuracies, latencies = np.array([80.0, 90.0, 85.0, 70.0]), np.array([1.0, 3.0, 2.0, 1.0])
    ends = {"random": np.array([[3, 3], [0, 1]]), "x": np.array([[0, 3], [1, 1]])}
    one = device_searches.Limited([1.0, 3.0], ends, {}, np.array([0, 2]), [np.array([0, 3]), np.array([1])])
    gaps = device_searches.gaps_of(one, accuracies, latencies, "x")
    assert gaps == {"search": 2.5, "random": (10 + 10 + 10 + 0) / 4, "first": 2.5, "params": 2.5}


def test_random_search_is_never_the_strategy_that_is_judged():
    assert device_searches.best_by({"random": 1.0, "a": 0.2, "b": 0.3}) == "b"


@pytest.mark.slow
def test_the_command_writes_its_table_and_picture(data, tmp_path):
    given = ["--tss-scores", str(data / "scores.npz"), "--benchdata", str(data), "--quick", "--folder", str(tmp_path)]
    device_searches.main(given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device_searches.json", "device_searches.md", "device_searches.png"]
    text = (tmp_path / "device_searches.md").read_text()
    assert "| 1080ti_1 " in text and "| gold_6226 " in text and "at least as good as the most parameters" in text
    assert set(json.loads((tmp_path / "device_searches.json").read_text())["gaps"]) == {"1080ti_1", "gold_6226"}


def test_a_table_without_the_preset_and_an_unknown_device_are_one_line(data, tmp_path, capsys):
    with np.load(data / "scores.npz") as arrays:
        np.savez(tmp_path / "scores.npz", **{name: arrays[name] for name in arrays.files if not name.startswith("layered")})
    for given, said in (
        (["--tss-scores", str(tmp_path / "scores.npz")], "has no layered for rbflex_robust; tabulate that preset"),
        (
            ["--tss-scores", str(data / "scores.npz"), "--devices", "pixel4"],
            "no latencies of the device 'pixel4'; did you mean 'pixel3'?",
        ),
    ):
        with pytest.raises(SystemExit):
            device_searches.main([*given, "--benchdata", str(data), "--quick"])
        assert said in capsys.readouterr().err
