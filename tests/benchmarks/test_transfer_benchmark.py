"""The transfer matrix measures every setting equally far, resumes for nothing, and its Kendalls are scipy's."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

import benchmarks
from benchmarks.transfer import networks, stored, transfer
from benchmarks.transfer.measuring import Chunk, Plan, Session, chunks, measured
from benchmarks.transfer.settings import SETTINGS
from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.measuring.arrivals import Arrivals
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.proxies.counts import NumberOfParameters
from rbflex_evo.spaces import ConfigError, DataError, RbflexEvoError, create_space
from rbflex_evo.spaces.errors import GenotypeError

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
FOLDER = Path(TABLES or ".")
needs_tables = pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is not set")
SCORES = ("layered", "naswot", "params", "flops")
CELL = [("none", 0), ("sep_conv_3x3", 0), ("skip_connect", 1), ("none", 2)] * 2


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def submitted(monkeypatch):
    """The numbers of networks that evaluators measured rather than read."""
    found = []
    send = Arrivals.send

    def watched(self, call, positions, requests, take):
        found.append(len(requests))
        send(self, call, positions, requests, take)

    monkeypatch.setattr(Arrivals, "send", watched)
    return found


def command(folder, *options, settings=("nats_tss", "nds_darts"), scores=SCORES):
    transfer.main(
        [
            f"--benchdata={FOLDER}",
            f"--folder={folder}",
            "--quick",
            "--workers=1",
            "--settings",
            *settings,
            "--scores",
            *scores,
            *options,
        ]
    )
    return stored.read(folder / "transfer.npz")


def genotype(cell, concat=(2, 3, 4, 5)):
    return f"Genotype(normal={cell}, normal_concat={list(concat)}, reduce={cell}, reduce_concat={list(concat)})"


def test_settings_take_turns_and_the_first_seed_comes_first():
    found = [(c.seed, c.setting, c.start, c.genotypes) for c in chunks({"a": [(1,), (2,), (3,)], "b": [(4,)]}, [0, 7], 2)]
    of_a_seed = [("a", 0, ((1,), (2,))), ("b", 0, ((4,),)), ("a", 2, ((3,),))]
    assert found == [(seed, *rest) for seed in (0, 7) for rest in of_a_seed]


def test_a_larger_sample_begins_with_a_smaller_one_and_leaves_out_refused_and_repeated_rows():
    space = create_space("nats_tss")
    names = [0, 1, 99999, 1, 2, 3, 1]

    def read(space, name):
        return space.at(name)

    every = networks.sampled(names, read, space, 7, 0)
    few = networks.sampled(names, read, space, 3, 0)
    assert every.positions[:3] == few.positions and set(every.positions) == {0, 1, 3, 4, 5, 6}
    assert list(every.refused.values()) == [1]
    distinct = networks.sampled(names, read, space, 7, 0, distinct=True)
    assert sorted(names[position] for position in distinct.positions) == [0, 1, 2, 3]


def test_rows_of_one_network_have_the_mean_of_their_accuracies():
    assert networks.averaged(np.array([1.0, 5.0, 3.0]), ["a", "b", "a"]).tolist() == [2.0, 5.0, 2.0]


def test_none_and_equal_inputs_are_built_as_they_are_in_both_cells():
    space = SETTINGS["nds_darts"].create(False)
    found = networks.read_nds_darts(space, genotype(CELL))
    normal, reduce = space.encoding.cells(found)
    assert space.written(normal) == space.written(reduce) == CELL
    assert space.size(found) == (16, 5)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        genotype([("conv_9x9", 0), *CELL[1:]]),
        genotype(CELL, (3, 4, 5)),
        genotype([("none", 2), *CELL[1:]]),
    ],
)
def test_a_row_that_is_no_such_cell_is_refused(text):
    with pytest.raises(GenotypeError):
        networks.read_nds_darts(SETTINGS["nds_darts"].create(False), text)


def test_naslibs_darts_cells_are_read_as_state_and_operation():
    space = create_space("darts", channels=4, layers=3)
    cell = [(0, 0), (1, 5), (1, 1), (0, 1), (1, 3), (0, 3), (1, 3), (3, 2)]
    normal, _ = space.encoding.cells(networks.read_naslib_darts(space, json.dumps([cell, cell])))
    assert space.written(normal)[:2] == [("max_pool_3x3", 0), ("dil_conv_3x3", 1)]
    assert space.written(normal)[-1] == ("skip_connect", 3)
    for wrong in ("[[(0, 9)], [(0, 1)]]", "[1, 2]", "hello"):
        with pytest.raises(GenotypeError):
            networks.read_naslib_darts(space, wrong)


@needs_tables
def test_naslibs_darts_cells_have_the_parameters_that_naslib_counted():
    space = create_space("darts", channels=32, layers=8)
    rows = networks.naslib_rows(FOLDER, "nb301")[:50]
    theirs = networks.arrays(FOLDER, networks.NASLIB)["params"][rows].astype(float)
    ours = [space.costs(networks.read_naslib_darts(space, name)).params for name in networks.naslib_names(FOLDER, "nb301")[:50]]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99999


@needs_tables
def test_every_row_of_every_file_belongs_to_an_accuracy():
    for setting in SETTINGS.values():
        if setting.exists:
            known = setting.known
            names = setting.names(FOLDER)
            assert all(len(read(FOLDER)) == len(names) for read in known.values()), setting.name


@needs_tables
def test_scores_are_joined_to_accuracies_and_judged_as_scipy_does(tmp_path):
    found = command(tmp_path, "--networks=6")
    assert found.scores == SCORES and list(found.settings) == ["nats_tss", "nds_darts"]
    document = json.loads((tmp_path / "transfer.json").read_text())
    one = found.settings["nds_darts"]
    assert one.measured.all() and one.scores.shape == (1, 6, 4)
    known = networks.arrays(FOLDER, networks.SWAP)["cifar10_val_acc"].astype(float)
    assert np.array_equal(one.accuracies[0], known[one.positions])
    for column, label in enumerate(SCORES):
        values = one.scores[0, :, column]
        expected = kendalltau(np.where(np.isnan(values), values[~np.isnan(values)].min() - 1, values), one.accuracies[0]).statistic
        assert document["figures"][label]["tasks"]["nds_darts"] == pytest.approx(expected)
    assert (tmp_path / "transfer.svg").is_file() and (tmp_path / "transfer.png").is_file()
    assert "4 images" in (tmp_path / "transfer.md").read_text()


@needs_tables
def test_inputs_can_be_noise(tmp_path):
    found = command(tmp_path, "--networks=2", "--noise", settings=["nds_darts"])
    assert found.settings["nds_darts"].measured.all()
    assert "4 noise inputs" in (tmp_path / "transfer.md").read_text()


@needs_tables
def test_networks_of_words_get_words_and_choose_nothing(tmp_path):
    found = command(tmp_path, "--networks=2", settings=["flexibert"], scores=["naswot", "params"])
    assert found.settings["flexibert"].measured.all() and np.isfinite(found.settings["flexibert"].scores).all()
    assert not found.document["settings"]["flexibert"]["choosing"]
    assert SETTINGS["flexibert"].batch(FOLDER, 3).kind == "words"


@needs_tables
def test_a_second_run_measures_only_what_is_new(tmp_path, submitted):
    first = command(tmp_path, "--networks=4", settings=["nds_darts"])
    assert sum(submitted) == 4
    second = command(tmp_path, "--networks=6", settings=["nds_darts"])
    assert sum(submitted) == 6
    assert np.array_equal(first.settings["nds_darts"].scores, second.settings["nds_darts"].scores[:, :4], equal_nan=True)


@needs_tables
def test_an_expired_budget_measures_nothing_and_says_so(tmp_path):
    options = ["--networks=2", "--minutes=0"]
    with pytest.raises(SystemExit):
        command(tmp_path, *options, settings=["nds_darts"])
    assert not stored.read(tmp_path / "transfer.npz").settings["nds_darts"].measured.any()


class Raising(NumberOfParameters):
    """Raises an error of its own on every network."""

    name = "raising"

    def facts(self, space, genotype):
        raise ZeroDivisionError("by intention")

    def measure(self, subject):
        raise ZeroDivisionError("by intention")


@needs_tables
def test_a_score_that_raises_is_left_out_with_its_reason_and_the_others_go_on(monkeypatch):
    monkeypatch.setitem(PROXIES._known, "raising", Raising)
    space = SETTINGS["nds_darts"].create(True)
    genotypes = tuple(SETTINGS["nds_darts"].sample(FOLDER, space, 2, 0).genotypes)
    session = Session(Plan(FOLDER, {"raising": ("raising", {}), "flops": ("flops", {})}, True, None))
    scored = session.score(Chunk("nds_darts", 0, 0, genotypes))
    assert [set(values) for values in scored.values] == [{"flops"}] * 2
    assert all("by intention" in failures["raising"] for failures in scored.failures)


@needs_tables
def test_cached_statistics_of_a_score_are_read_without_measuring(submitted):
    space = SETTINGS["nds_darts"].create(True)
    chunk = Chunk("nds_darts", 0, 0, tuple(SETTINGS["nds_darts"].sample(FOLDER, space, 2, 0).genotypes))
    session = Session(Plan(FOLDER, {"layered": ("layered", {})}, True))
    assert session.statistics(chunk, "layered") == [None, None]
    scored = session.score(chunk)
    measured_now = sum(submitted)
    found = session.statistics(chunk, "layered")
    proxy = session._of("nds_darts", 0)[0].proxies["layered"]
    assert [proxy.score(one) for one in found] == pytest.approx([values["layered"] for values in scored.values], rel=1e-5)
    assert sum(submitted) == measured_now == 2


def test_missing_images_end_the_command(tmp_path):
    session = Session(Plan(tmp_path, {"flops": ("flops", {})}, True, None))
    with pytest.raises(DataError, match="benchdata"):
        session.score(Chunk("nds_darts", 0, 0, ()))


def test_scores_have_labels_and_parameters():
    found = transfer.scores_of(["layered", 'nb=naswot{"statistics": "batch"}'])
    assert found == {"layered": ("layered", {}), "nb": ("naswot", {"statistics": "batch"})}
    assert "eproxy" not in transfer.scores_of(None)
    for wrong in (["naswot{"], ["no_such_score"], ["layered", "layered"], ['naswot{"statistics": "none"}']):
        with pytest.raises(RbflexEvoError):
            transfer.scores_of(wrong)


def test_an_unknown_setting_is_named_and_a_missing_space_is_left_out(capsys, monkeypatch):
    with pytest.raises(ConfigError, match="nats_tss"):
        transfer.settings_of(["nats_ts"])
    missing = argparse.Namespace(**{**vars(SETTINGS["darts"]), "space": "not_yet", "exists": False})
    monkeypatch.setitem(SETTINGS, "darts", missing)
    assert [one.name for one in transfer.settings_of(["darts", "nats_tss"])] == ["nats_tss"]
    assert "there is no space 'not_yet'" in capsys.readouterr().out


KILLED = """
import sys
from pathlib import Path
from benchmarks.transfer.measuring import Plan, chunks, measured
from benchmarks.transfer.settings import SETTINGS
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    sample = {n: SETTINGS[n].sample(folder, SETTINGS[n].create(True), 12, 0).genotypes for n in ("nats_tss", "nds_darts")}
    plan = Plan(folder, {"layered": ("layered", {}), "params": ("params", {})}, True)
    for chunk, _ in measured(plan, chunks(sample, [0], 2), 2):
        print(chunk.setting, flush=True)
"""


@needs_tables
@pytest.mark.slow
def test_a_killed_run_resumes_to_the_scores_of_one_that_was_not_killed(tmp_path, monkeypatch, submitted):
    root = Path(benchmarks.__file__ or "").parent.parent
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    surroundings = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(
        [sys.executable, str(script), str(FOLDER)], cwd=root, env=surroundings, stdout=subprocess.PIPE, text=True
    ) as run:
        for _ in range(3):
            run.stdout.readline()
        run.send_signal(signal.SIGKILL)
    assert default_path().is_file()
    resumed = command(tmp_path / "a", "--networks=12", "--chunk=2", scores=["layered", "params"])
    assert sum(submitted) <= 24 - 3 * 2 + 1
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "another"))
    whole = command(tmp_path / "b", "--networks=12", scores=["layered", "params"])
    for name, one in whole.settings.items():
        assert np.array_equal(one.scores, resumed.settings[name].scores, equal_nan=True)


@needs_tables
@pytest.mark.slow
def test_several_processes_give_the_scores_of_one():
    space = SETTINGS["nds_darts"].create(True)
    genotypes = SETTINGS["nds_darts"].sample(FOLDER, space, 4, 0).genotypes
    plan = Plan(FOLDER, {"layered": ("layered", {})}, True, None)
    found = [
        {chunk.start: scored.values for chunk, scored in measured(plan, chunks({"nds_darts": genotypes}, [0], 2), workers)}
        for workers in (1, 2)
    ]
    assert found[0] == found[1]
