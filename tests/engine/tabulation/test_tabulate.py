"""A table holds what single evaluations give, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import load_config, parse_config
from rbflex_evo.engine.tabulation.sample import architectures_of
from rbflex_evo.engine.tabulation.score_table import read_scores
from rbflex_evo.engine.tabulation.tabulate import tabulate
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.spaces import ConfigError, RunError

TOY = {"name": "toy", "genes": 4, "choices": 3, "channels": 4}
SSS = "nats_sss"


def config(folder: Path, space: Any, proxies: dict[str, Any], **changes: Any) -> Any:
    values = {
        "name": "whole",
        "space": space,
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "fitness": {"proxies": proxies, "objective": {"rank": list(proxies)}},
        "strategy": "random",
        "budget": {"evaluations": 1},
        "device": "cpu",
        "workers": 1,
        "cache": "off",
        "runs": str(folder),
    }
    return parse_config({**values, **changes})


def assert_equals_single_evaluations(path: Path, settings: Any, count: int) -> None:
    space = Assembly(settings).space
    with (
        np.load(path, allow_pickle=False) as table,
        Assembly(settings).evaluator() as evaluator,
    ):
        keys = table["key"].tolist()
        assert len(set(keys)) == len(keys)
        first = {evaluator.key(genotype): genotype for genotype in reversed(list(space.encoding.enumerate()))}
        chosen = np.random.default_rng(0).choice(len(keys), count, replace=False)
        for row, evaluation in zip(chosen, evaluator.evaluate(keyed(evaluator, [first[keys[row]] for row in chosen])), strict=True):
            assert table["notation"][row] == space.notation(evaluator.network_of(keys[row]))
            for name in settings.fitness.proxies:
                score = evaluation.scores.get(name, np.nan)
                np.testing.assert_equal(table[name][row], score)
                assert table[f"{name}_failure"][row] == evaluation.failures.get(name, "")


def test_a_table_of_a_space_without_plans_equals_single_evaluations(tmp_path: Path) -> None:
    settings = config(tmp_path, TOY, {"rbflex": {"networks": 3}, "synflow": {}})
    path = tabulate(settings, quiet=True)
    assert path == tmp_path / "whole-table" / "scores.npz"
    assert_equals_single_evaluations(path, settings, 20)


def test_a_table_of_planned_cells_equals_single_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"name": "nats_tss", "channels": 2, "cells": 1}
    settings = config(tmp_path, space, {"rbflex": {"gamma": "flat"}, "naswot": {}})
    # The whole space takes a minute even at this size; the cells without pooling or 1 x 1 convolutions do not.
    from rbflex_evo.spaces.encodings.vector import VectorEncoding

    everything = VectorEncoding.enumerate
    monkeypatch.setattr(VectorEncoding, "enumerate", lambda self: (g for g in everything(self) if set(g) <= {0, 3}))
    path = tabulate(settings, quiet=True)
    with np.load(path) as table:
        assert np.isnan(table["rbflex"]).any()
    assert_equals_single_evaluations(path, settings, 16)


def test_scores_that_watch_no_planned_forward_stand_beside_those_that_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"name": "nats_tss", "channels": 2, "cells": 1}
    settings = config(tmp_path, space, {"synflow": {}, "naswot": {}})
    from rbflex_evo.spaces.encodings.vector import VectorEncoding

    everything = VectorEncoding.enumerate
    monkeypatch.setattr(VectorEncoding, "enumerate", lambda self: (g for g in everything(self) if set(g) <= {0, 3} and g[0]))
    path = tabulate(settings, quiet=True)
    # A piece is a subtree for the one, and a number of networks for the other.
    assert {piece.stem for piece in (path.parent / "pieces" / "naswot").iterdir()} > {"3-0", "3-3"}
    assert [piece.stem for piece in (path.parent / "pieces" / "synflow").iterdir()] == ["00000000"]
    assert_equals_single_evaluations(path, settings, 12)


def test_a_table_of_a_sample_holds_each_network_once(tmp_path: Path) -> None:
    settings = config(tmp_path, TOY, {"naswot": {}, "synflow": {}}, sample={"size": 60, "seed": 3})
    path = tabulate(settings, quiet=True)
    assert_equals_single_evaluations(path, settings, 15)
    space = Assembly(settings).space
    table = read_scores(path)
    assert table.architectures == [space.notation(genotype) for genotype in architectures_of(settings, space)]
    assert table.keys == [space.key(space.parse(notation)) for notation in table.architectures]
    with np.load(path) as arrays:
        assert len(arrays["key"]) == len(set(table.keys)) < 60
        for architecture, row in enumerate(arrays["row"]):
            np.testing.assert_equal(table.scores["naswot"][architecture], arrays["naswot"][row])


def test_a_table_can_be_one_of_a_list_of_architectures(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("skip+conv3|conv1+skip\nzero+zero|zero+zero\n")
    settings = config(tmp_path, {**TOY, "choices": 4}, {"naswot": {}}, sample={"file": str(tmp_path / "some.txt")})
    table = read_scores(tabulate(settings, quiet=True))
    assert table.architectures == ["skip+conv3|conv1+skip", "zero+zero|zero+zero"]
    assert np.isnan(table.scores["naswot"]).tolist() == [False, True]


def test_another_score_is_measured_alone_and_joins_those_that_are_there(tmp_path: Path) -> None:
    path = tabulate(config(tmp_path, TOY, {"naswot": {}}, sample={"size": 40}), quiet=True)
    before = read_scores(path)
    # With its pieces gone, naswot could only be known from the finished table.
    shutil.rmtree(path.parent / "pieces" / "naswot")
    settings = config(tmp_path, TOY, {"naswot": {}, "synflow": {}}, sample={"size": 40})
    table = read_scores(tabulate(settings, quiet=True))
    assert not (path.parent / "pieces" / "naswot").exists()
    assert list(table.scores) == ["naswot", "synflow"]
    np.testing.assert_array_equal(table.scores["naswot"], before.scores["naswot"])
    assert_equals_single_evaluations(path, settings, 10)
    assert set(load_config(path.parent / "config.yaml").fitness.proxies) == {"naswot", "synflow"}
    # A configuration of fewer scores leaves the others in.
    assert list(read_scores(tabulate(config(tmp_path, TOY, {"synflow": {}}, sample={"size": 40}), quiet=True)).scores) == [
        "naswot",
        "synflow",
    ]


def test_a_table_takes_what_the_cache_knows(tmp_path: Path) -> None:
    cached = {"cache": str(tmp_path / "cache.sqlite"), "sample": {"size": 30}}
    whole = tabulate(config(tmp_path, TOY, {"naswot": {}, "synflow": {}}, **cached), quiet=True)
    settings = config(tmp_path, TOY, {"synflow": {}}, name="again", **cached)
    space = Assembly(settings).space
    with Assembly(settings).evaluator() as evaluator:
        list(evaluator.evaluate(keyed(evaluator, architectures_of(settings, space))))
        assert evaluator.counts["measured"] == 0
    again = tabulate(settings, quiet=True)
    np.testing.assert_array_equal(read_scores(whole).scores["synflow"], read_scores(again).scores["synflow"])


def test_what_is_no_table_of_scores_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no table of scores"):
        read_scores(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(RunError, match=r"is no table of scores \(no 'space'\)"):
        read_scores(tmp_path / "other.npz")
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(RunError, match="is no table of scores"):
        read_scores(tmp_path / "damaged.npz")


def test_a_table_goes_on_where_it_was_stopped_and_mends_damaged_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbflex_evo.engine.tabulation.tabulate.PIECE", 10)
    settings = config(tmp_path, TOY, {"naswot": {}})
    path = tabulate(settings, quiet=True)
    with np.load(path) as whole:
        expected = {name: whole[name] for name in whole.files}
    path.unlink()
    pieces = sorted((path.parent / "pieces" / "naswot").glob("*.npz"))
    assert len(pieces) > 3
    pieces[0].unlink()
    pieces[1].write_bytes(pieces[1].read_bytes()[:50])
    untouched = pieces[2].stat().st_mtime_ns
    tabulate(settings, quiet=True)
    assert pieces[2].stat().st_mtime_ns == untouched
    with np.load(path) as again:
        for name, array in expected.items():
            np.testing.assert_array_equal(again[name], array)


def test_a_folder_of_another_table_is_refused(tmp_path: Path) -> None:
    tabulate(config(tmp_path, TOY, {"naswot": {}}), quiet=True)
    with pytest.raises(RunError, match="table of another naswot"):
        tabulate(config(tmp_path, TOY, {"naswot": {"statistics": "batch"}}), quiet=True)
    with pytest.raises(RunError, match="table of another configuration"):
        tabulate(config(tmp_path, TOY, {"naswot": {}}, sample={"size": 10}), quiet=True)
    # What does not change a score does not matter.
    tabulate(config(tmp_path, TOY, {"naswot": {}}, strategy="genetic", seed=7), quiet=True)


def test_a_space_that_cannot_be_enumerated_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr("rbflex_evo.spaces.encodings.vector.VectorEncoding.enumerate", refuse)
    with pytest.raises(ConfigError, match=r"cannot be enumerated; set a sample"):
        tabulate(config(tmp_path, TOY, {"naswot": {}}), quiet=True)


YAML = """
name: whole
space: {name: toy, genes: 4, choices: 4, channels: 4}
data: {source: noise, shape: [3, 8, 8], n: 4}
fitness: {proxies: {naswot: {}}, objective: {score: naswot}}
strategy: random
budget: {evaluations: 1}
device: cpu
workers: 1
cache: "off"
"""


def test_the_command_prints_what_the_table_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(YAML)
    assert run(["tabulate", str(path), "--set", f"runs={tmp_path}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["keys"] == 100
    assert Path(found["path"]).exists()


def test_a_table_of_one_architecture_is_told_in_the_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(YAML)
    assert run(["tabulate", str(tmp_path / "config.yaml"), "--set", f"runs={tmp_path}", "--set", "sample.size=1"]) == 0
    assert "table      1 architecture, 1 distinct network\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_table_goes_on_to_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(YAML.replace("genes: 4", "genes: 6"))
    code = (
        "import rbflex_evo.engine.tabulation.tabulate as t; t.PIECE = 20; from rbflex_evo.engine.commands.app import main; main()"
    )
    command = [sys.executable, "-c", code, "tabulate", str(path), "--set"]
    subprocess.run([*command, f"runs={tmp_path / 'a'}"], check=True, capture_output=True)
    process = subprocess.Popen([*command, f"runs={tmp_path / 'b'}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pieces = tmp_path / "b" / "whole-table" / "pieces" / "naswot"
    while len(list(pieces.glob("0*.npz"))) < 3 and process.poll() is None:
        os.sched_yield()
    process.kill()
    process.wait()
    assert not (pieces.parents[1] / "scores.npz").exists()
    started = time.time_ns()
    subprocess.run([*command, f"runs={tmp_path / 'b'}"], check=True, capture_output=True)
    assert sum(piece.stat().st_mtime_ns < started for piece in pieces.glob("0*.npz")) >= 3
    with np.load(tmp_path / "a" / "whole-table" / "scores.npz") as a, np.load(pieces.parents[1] / "scores.npz") as b:
        assert a["key"].tolist() == b["key"].tolist()
        np.testing.assert_array_equal(a["naswot"], b["naswot"])


def test_a_score_joins_a_table_that_has_several_keys_of_a_network(tmp_path: Path) -> None:
    settings = config(tmp_path, TOY, {"naswot": {}})
    path = tabulate(settings, quiet=True)
    with np.load(path, allow_pickle=False) as table:
        arrays = dict(table)
    both = config(tmp_path, TOY, {"naswot": {}, "synflow": {}})
    whole = dict(np.load(tabulate(both, quiet=True), allow_pickle=False))
    # As an earlier version wrote it: the first network has another key, too, in the first row.
    wider = {name: np.concatenate([column[:1], column]) for name, column in arrays.items() if column.shape == arrays["key"].shape}
    wider["key"] = np.concatenate([["of old"], arrays["key"]])
    np.savez(path, **{**arrays, **wider})
    joined = dict(np.load(tabulate(both, quiet=True), allow_pickle=False))
    assert joined.keys() == whole.keys()
    for name, column in whole.items():
        np.testing.assert_array_equal(joined[name], column)
