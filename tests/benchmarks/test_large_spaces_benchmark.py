"""The benchmark of the large spaces runs through, and its statistics are what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from benchmarks.searches import large_spaces
from rbflex_evo.engine.configuration.config import load_config
from rbflex_evo.engine.search.search import Search
from rbflex_evo.spaces import ConfigError, RunError, create_space


def test_scores_are_held_against_a_table_of_codes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    space = create_space("nasbench_macro")
    codes = np.array(list(space.encoding.enumerate()), dtype=np.int8)
    path = tmp_path / "table.npz"
    np.savez(path, code=codes, test_acc=rng.uniform(80, 93, (len(codes), 3)))
    cache = tmp_path / "cache.sqlite"
    arguments = ["macro", "--quick", "--workers=1", f"--table={path}", f"--folder={tmp_path}", f"--cache={cache}"]
    large_spaces.main([*arguments, "--networks=30"])
    first = json.loads((tmp_path / "large_spaces_macro.json").read_text())
    large_spaces.main([*arguments, "--networks=30"])
    assert json.loads((tmp_path / "large_spaces_macro.json").read_text())["rows"] == first["rows"]
    assert [row["score"] for row in first["rows"]] == ["rbflex", "naswot", "params", "flops", "rbflex_naswot"]
    assert "30 of 3,969 networks" in capsys.readouterr().out


def test_a_found_network_is_compared_under_scores_that_were_not_searched_on(tmp_path):
    config = {
        "name": "small",
        "space": {"name": "mobilenet", "size": 32, "classes": 4},
        "data": {"source": "noise", "shape": [3, 32, 32], "n": 2, "seed": 0},
        "fitness": {"proxies": {"rbflex": {"gamma": "flat"}}, "objective": {"score": "rbflex"}},
        "strategy": {"name": "random"},
        "budget": {"evaluations": 2},
        "cache": "off",
        "workers": 1,
        "runs": str(tmp_path),
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    result = Search(load_config(path), quiet=True, report=False).run()
    arguments = ["found", "--quick", "--networks=3", f"--run={result.folder}", f"--folder={tmp_path}", "--workers=1"]
    large_spaces.main([*arguments, f"--cache={tmp_path / 'cache.sqlite'}"])
    found = json.loads((tmp_path / "large_spaces_found_mobilenet.json").read_text())
    assert found["searched"] == ["rbflex"] and found["found"] == result.best.notation
    assert [row["score"] for row in found["rows"]] == ["naswot", "params", "flops"]
    params = found["rows"][1]
    assert params["found"] == create_space("mobilenet", classes=4).costs(result.best.genotype).params
    assert all(0 <= row["percentile of found"] <= 100 for row in found["rows"])


def test_candidates_are_timed_alone_and_in_company(tmp_path):
    large_spaces.main(["shared", "--quick", "--n=2", f"--folder={tmp_path}"])
    rows = json.loads((tmp_path / "large_spaces_shared.json").read_text())["rows"]
    assert [row["number"] for row in rows] == [4, 4, 4]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["alone, ms a network"] / row["in company, ms"])


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"has no config\.yaml; expected the folder of a finished run"):
        large_spaces.finished_run(tmp_path)


def test_random_networks_keep_the_run_s_limits():
    space = create_space("mobilenet", size=64)
    limits = {"flops": {"max": 20e6}, "params": {"min": 1e6}, "handling": "reject"}
    drawn = large_spaces.random_within(space, (3, 64, 64), limits, 20)
    assert len(set(drawn)) == 20
    assert all(space.costs(genotype).flops <= 20e6 and space.costs(genotype).params >= 1e6 for genotype in drawn)
    with pytest.raises(ConfigError, match="limits on latency are not drawn here"):
        large_spaces.random_within(space, (3, 64, 64), {"latency": {"max": 1.0}}, 1)
    with pytest.raises(ConfigError, match="only 0 of 1000 random networks keep the limits"):
        large_spaces.random_within(space, (3, 64, 64), {"flops": {"max": 1.0}}, 1)


def test_agreement_is_one_for_the_same_order():
    accuracies = np.arange(40.0)
    assert large_spaces.agreement(np.where(accuracies < 3, -np.inf, accuracies), accuracies)[2:] == [1.0, 39.0]
    assert large_spaces.agreement(accuracies**3, accuracies) == [1.0, 1.0, 1.0, 39.0]


def test_presets_combine_ranks_of_what_has_all_members_and_leave_out_what_lacks_a_score():
    combined = large_spaces.with_presets({"rbflex": np.array([3.0, -np.inf, 1.0]), "naswot": np.array([1.0, 2.0, 2.0])})
    assert set(combined) == {"rbflex", "naswot", "rbflex_naswot"}
    np.testing.assert_allclose(combined["rbflex_naswot"], [np.sqrt(1 * 0.5), -np.inf, np.sqrt(0.5 * 1)])


@pytest.mark.parametrize("which", ["plain", "scored"])
def test_time_and_memory_of_one_network_are_measured(which):
    found = large_spaces.measured(which, 32, 2, 1)
    assert found["seconds"] > 0 and found["peak_mib"] > 50
