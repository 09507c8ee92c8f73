"""``find``: from limits to an exported network, what it says before and after, how it resumes, and what it refuses."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine import load_network, read_architecture
from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.search.find import default_name, evaluations_of, find_config, read_limits
from rbflex_evo.spaces import ConfigError, create_space
from tests.support.instant import journal_without_times
from tests.support.interrupted import send_when_it_holds, spawn


def command(runs: Path, *more: str, evaluations: int = 12) -> list[str]:
    return ["find", "toy", "--limit", "params=3500", "--runs", str(runs), "--evaluations", str(evaluations), *more]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Statistics of these tests are not kept for others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert run(command(runs)) == 0
    return runs / "toy-params-3500"


def test_a_found_network_is_within_the_limits_exported_and_loads(found: Path) -> None:
    assert (found / "report.html").is_file()
    architecture = read_architecture(found / "export" / "1")
    assert architecture.run.finished and architecture.run.evaluations == 12 and architecture.run.costs["params"] <= 3500
    network = load_network(found / "export" / "1")
    assert network.training and sum(p.numel() for p in network.parameters()) == architecture.costs.params


def test_the_same_command_prints_the_same_result_and_measures_nothing(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = (found / "export" / "1" / "architecture.json").stat().st_mtime_ns
    texts = []
    for _ in range(2):
        assert run(command(found.parent)) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    lines = {line.partition("  ")[0]: line.split(maxsplit=1)[-1] for line in texts[0].splitlines()}
    assert lines["limits"] == "params <= 3,500"
    assert lines["search"].startswith("12 evaluations of 4,096 genotypes, annealing, by layered, az_progressivity")
    assert lines["run"].endswith("toy-params-3500 goes on") and lines["params"].endswith("(limit 3,500)")
    assert (
        lines["export"] == str(found / "export" / "1") and lines["build"] == f'rbflex_evo.load_network("{found / "export" / "1"}")'
    )
    assert (found / "export" / "1" / "architecture.json").stat().st_mtime_ns == written


def test_json_has_the_network_its_costs_and_its_folders(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(found.parent, "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["limits"] == {"params": 3500.0} and document["found"]["costs"]["params"] <= 3500
    assert document["folder"] == str(found) and document["export"] == str(found / "export" / "1")


def test_an_estimate_says_what_a_search_takes_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(tmp_path, "--estimate")) == 0
    text = capsys.readouterr().out
    assert "takes      about" in text and "ms each on cpu" in text
    assert list(tmp_path.iterdir()) == []
    assert run(command(tmp_path, "--estimate", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["evaluations"] == 12


def test_a_network_may_be_exported_elsewhere_but_not_over_that_of_another_run(
    found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(found.parent, "--export", str(tmp_path / "net"))) == 0
    assert (tmp_path / "net" / "1" / "state_dict.pt").is_file()
    assert run(command(tmp_path, "--name", "other", "--export", str(tmp_path / "net"))) == 2
    assert "holds a network of the run 'toy-params-3500'; name another folder with --export" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    assert run(command(found.parent, "--export", str(tmp_path / "mine"))) == 2


def test_another_budget_is_refused_in_the_words_of_this_command(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(found.parent, evaluations=13)) == 2
    error = capsys.readouterr().err
    assert "holds a run with another budget" in error and "--name ..." in error and "--set" not in error


def test_limits_that_nothing_satisfies_are_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["find", "toy", "--limit", "params=1", "--runs", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert "nothing was found: no architecture satisfies params <= 1" in error[-2] and error[-1].startswith("raise a limit")


@pytest.mark.slow
def test_a_killed_search_goes_on_with_the_same_command(tmp_path: Path) -> None:
    assert run(command(tmp_path / "whole", evaluations=60)) == 0
    whole = tmp_path / "whole" / "toy-params-3500"
    journal = tmp_path / "killed" / "toy-params-3500" / "journal.jsonl"
    process = spawn([sys.executable, "-m", "rbflex_evo", *command(tmp_path / "killed", evaluations=60)])
    half = (whole / "journal.jsonl").stat().st_size // 2
    assert send_when_it_holds(process, journal, half, signal.SIGKILL) == -signal.SIGKILL
    assert not (journal.parent / "export").exists()
    assert run(command(tmp_path / "killed", evaluations=60)) == 0
    assert journal_without_times(journal.parent) == journal_without_times(whole)
    assert read_architecture(journal.parent / "export" / "1").key == read_architecture(whole / "export" / "1").key


def test_a_limit_on_a_device_is_read_from_the_table(tmp_path: Path) -> None:
    np.savez(tmp_path / "devices.npz", raspi4_latency=np.linspace(1, 20, 15625))
    table = tmp_path / "devices.npz"
    config, space = find_config("nats_tss", {"latency:raspi4": 3.0, "flops": 1e8}, table=table, runs=str(tmp_path))
    assert config.fitness.constraints == {"latency:raspi4": {"max": 3.0, "path": str(table)}, "flops": {"max": 1e8}}
    assert config.name == "nats_tss-flops-1e08-latency.raspi4-3" and config.budget.evaluations == 500
    assert list(config.fitness.proxies) == ["layered", "az_progressivity", "params", "flops", "early_depth"]
    assert space.name == "nats_tss"


@pytest.mark.parametrize("more", [[], ["--estimate"]])
@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["--limit", "latency:raspi4=3", "--table", "nowhere.npz"], "no table file 'nowhere.npz'"),
        (["--limit", "predicted=3", "--predictor", "nowhere.npz"], "no predictor file 'nowhere.npz'"),
    ],
)
def test_a_wrong_file_of_costs_is_said_before_anything_is_measured(
    files: list[str], message: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["find", "toy", *files, *more, "--runs", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert message in output.err and output.out == ""


def test_a_limit_on_a_predicted_cost_is_read_from_the_predictor() -> None:
    limits = {"predicted:board": 8.0, "predicted": 9.0, "latency:raspi4": 7.0}
    config, _ = find_config("nats_tss", limits, table=Path("t.npz"), predictor=Path("p.npz"))
    assert {name: limit["path"] for name, limit in config.fitness.constraints.items()} == {
        "predicted:board": "p.npz",
        "predicted": "p.npz",
        "latency:raspi4": "t.npz",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"limits": {"latency:raspi4": 8.0}}, "'latency:raspi4' is read from a file; name it with --table FILE"),
        ({"limits": {"params": 8.0}, "table": Path("x.npz")}, "--table is given, but no limit reads it"),
        ({"limits": {"params": 8.0}, "predictor": Path("x.npz")}, "--predictor is given, but no limit reads it"),
    ],
)
def test_files_and_limits_belong_together(values, message):
    with pytest.raises(ConfigError) as error:
        find_config("nats_tss", **values)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["params", "params=", "params=many", "params=nan", "params=inf", "params=1_000", "=3"])
def test_a_limit_that_is_no_number_is_refused(text, tmp_path, capsys):
    assert run(["find", "toy", "--limit", text, "--runs", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_limits_are_read_as_numbers_and_name_the_run():
    limits = read_limits(["latency:pixel3=8", "params=1e6"])
    assert limits == {"latency:pixel3": 8.0, "params": 1e6}
    assert default_name("nats_tss", limits) == "nats_tss-latency.pixel3-8-params-1e06" and default_name("toy", {}) == "toy"
    with pytest.raises(ConfigError, match="names 'params' twice"):
        read_limits(["params=1", "params=2"])


@pytest.mark.parametrize(
    ("space", "expected"), [("nafbee_vgg19", 11), ("nats_tss", 500), ("mobilenet", 1000), ("nasbench101", 1000)]
)
def test_the_default_budget_follows_the_size_of_the_space(space, expected):
    assert evaluations_of(create_space(space)) == expected
