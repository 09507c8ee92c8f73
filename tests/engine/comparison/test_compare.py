"""A comparison's runs: ordinary searches at exactly the budget, with the same seeds for all, resumable whatever happened."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rbflex_evo.engine.comparison.compare import Runs, run_all
from rbflex_evo.engine.comparison.document import FailedRun
from rbflex_evo.engine.comparison.facts import document_of
from rbflex_evo.engine.comparison.plan import folder_of, run_config
from rbflex_evo.engine.comparison.run import Job, Watched, run_one
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config, as_values, parse_config
from rbflex_evo.engine.configuration.unset import settled_comparison
from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.tabulation.tabulate import tabulate
from rbflex_evo.engine.terminal.interrupt import Interrupted
from rbflex_evo.fitness.evaluation import Evaluation, keyed
from rbflex_evo.spaces import ConfigError, RunError, TableError, create_space
from tests.support.instant import journal_without_times
from tests.support.replay import SPACE, compare_config, write_accuracies, write_scores

SINGLE = {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"score": "naswot"}}
SAMPLE = {
    "proxies": {"naswot": {}, "synflow": {}},
    "objective": {"rank": ["naswot", "synflow"], "rule": "linear", "reference": "sample", "sample": 20},
}
GENETIC: dict[str, Any] = {"name": "genetic", "population": 10}
COMPARE: dict[str, Any] = {"strategies": ["random", GENETIC], "seeds": 3}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scores(tmp_path_factory.mktemp("table") / "scores.npz")


def replayed(tmp_path: Path, table: Path, compare: dict[str, Any] = COMPARE, **changes: Any) -> Config:
    return compare_config(tmp_path, compare, **{"scores": str(table), **changes})


def traces_of(runs: Runs) -> dict[Any, Any]:
    """Returns what the runs found, without times."""
    untimed = {"time_evaluations": 0, "time_scoring": 0.0, "time_strategy": 0.0}
    return {where: {**vars(trace), **untimed} for where, trace in runs.traces.items()}


@pytest.mark.parametrize("fitness", [None, SINGLE, SAMPLE])
def test_every_run_is_the_plain_search_of_that_strategy_and_seed(tmp_path: Path, scores: Path, fitness: Any) -> None:
    changes = {} if fitness is None else {"fitness": fitness}
    config = replayed(tmp_path, scores, **changes)
    runs = run_all(config, quiet=True)
    assert list(runs.traces) == [(label, seed) for seed in range(3) for label in ("random", "genetic")]
    for (label, seed), trace in runs.traces.items():
        strategy = "random" if label == "random" else GENETIC
        values = {**as_values(config), "name": f"plain {label} {seed}", "strategy": strategy, "seed": seed}
        values.pop("compare")
        plain = Search(parse_config(values), quiet=True, report=False).run()
        assert plain.best is not None
        assert (trace.keys[-1], trace.notations[-1]) == (plain.best.key, plain.best.notation)
        assert (trace.evaluations, trace.failed) == (60, plain.counts["failed"])
        assert trace.stop_reason == "the budget of 60 evaluations is spent"
    # A finished replay leaves its small file alone.
    assert sorted(path.name for path in (runs.folder / "genetic").iterdir()) == ["0.json", "1.json", "2.json"]


def test_processes_find_what_one_process_finds(tmp_path: Path, scores: Path) -> None:
    one = run_all(replayed(tmp_path / "one", scores, workers=1), quiet=True)
    two = run_all(replayed(tmp_path / "two", scores, workers=2), quiet=True)
    assert traces_of(one) == traces_of(two)


def test_a_replay_writes_the_journal_of_a_search_that_measures(tmp_path: Path) -> None:
    small: dict[str, Any] = {"space": {"name": "toy", "genes": 4, "choices": 3, "channels": 4}, "budget": {"evaluations": 25}}
    live = compare_config(tmp_path, COMPARE, **small, strategy=GENETIC, name="live")
    path = tabulate(live, quiet=True)
    Search(live, quiet=True, report=False).run()
    replay = compare_config(tmp_path, COMPARE, **small, strategy=GENETIC, name="replay", scores=str(path))
    Search(replay, quiet=True, report=False).run()
    measured, read = (journal_without_times(config.folder) for config in (live, replay))
    assert len(measured) == 26 and measured[1:] == read[1:]
    table = Assembly(replay).tabulated().table
    assert "scores" not in measured[0] and read[0]["scores"] == table.fingerprint


def test_a_live_comparison_equals_a_replayed_one_and_keeps_its_runs(tmp_path: Path) -> None:
    small: dict[str, Any] = {"space": {"name": "toy", "genes": 4, "choices": 3, "channels": 4}, "budget": {"evaluations": 12}}
    compare = {**COMPARE, "seeds": [4, 7]}
    live = compare_config(tmp_path, compare, **small, name="live", cache=str(tmp_path / "cache.sqlite"))
    found = run_all(live, quiet=True)
    replay = compare_config(tmp_path, compare, **small, name="replay", scores=str(tabulate(live, quiet=True)))
    others = run_all(replay, quiet=True)
    assert [trace.keys for trace in found.traces.values()] == [trace.keys for trace in others.traces.values()]
    assert (folder_of(live) / "genetic" / "7" / "journal.jsonl").exists()
    document = document_of(live, found)
    told = [journal_without_times(folder_of(live) / label / seed)[1:] for label in ("random", "genetic") for seed in ("4", "7")]
    assert document.reference.architectures == len({line["key"] for lines in told for line in lines})
    assert document.reference.of == "all that any run evaluated"
    # The same evaluations again, from the journals alone.
    assert run_all(live, quiet=True).pool == found.pool


def test_another_table_of_scores_is_refused(tmp_path: Path, scores: Path) -> None:
    run_all(replayed(tmp_path, scores), quiet=True)
    with np.load(scores) as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "synflow": arrays["synflow"] * 2})
    with pytest.raises(RunError, match=r"holds runs with other scores \(random, seed 0\)"):
        run_all(replayed(tmp_path, tmp_path / "other.npz"), quiet=True)


def test_a_search_does_not_go_on_with_another_table(tmp_path: Path, scores: Path) -> None:
    config = replayed(tmp_path, scores, strategy="random")
    result = Search(config, quiet=True, report=False).run()
    (result.folder / "result.json").unlink()
    with np.load(scores) as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "synflow": arrays["synflow"] * 2})
    for changes, now in (({"scores": str(tmp_path / "other.npz")}, "the table of scores"), ({"scores": None}, "measured scores")):
        with pytest.raises(RunError, match=f"began with the table of scores .* but here it is {now}"):
            Search(replayed(tmp_path, scores, strategy="random", **changes), quiet=True, report=False).run()


def test_a_table_of_other_settings_is_refused(tmp_path: Path) -> None:
    small: dict[str, Any] = {"space": {"name": "toy", "genes": 2, "choices": 3, "channels": 4}}
    path = tabulate(compare_config(tmp_path, COMPARE, **small), quiet=True)
    fitness = {"proxies": {"naswot": {"statistics": "batch"}}, "objective": {"score": "naswot"}}
    with pytest.raises(ConfigError, match=r"another 'fitness.proxies.naswot' than this configuration has"):
        run_all(replayed(tmp_path, path, **small, fitness=fitness), quiet=True)
    with pytest.raises(ConfigError, match="another 'space' than"):
        run_all(replayed(tmp_path, path, space={"name": "toy", "genes": 2, "choices": 3}), quiet=True)


def test_a_table_that_lacks_an_architecture_ends_before_the_first_run(tmp_path: Path) -> None:
    lost = create_space(**SPACE).key((1, 2, 3, 0, 1, 1))
    path = write_scores(tmp_path / "scores.npz", without=lost)
    with pytest.raises(ConfigError) as error:
        run_all(replayed(tmp_path, path), quiet=True)
    assert f"has no scores of {lost!r}" in str(error.value)
    assert not folder_of(replayed(tmp_path, path)).exists()


def test_a_table_of_accuracies_of_another_space_ends_before_the_first_run(tmp_path: Path, scores: Path) -> None:
    known = {"table": write_accuracies(tmp_path / "known.csv")}
    (tmp_path / "known.csv").write_text("notation,accuracy\nnothing,3\n")
    with pytest.raises(TableError):
        run_all(compare_config(tmp_path, COMPARE, scores=str(scores), **known), quiet=True)
    assert not folder_of(replayed(tmp_path, scores)).exists()


def test_one_runs_failure_does_not_end_the_rest_and_is_tried_again(tmp_path: Path, scores: Path) -> None:
    config = replayed(tmp_path, scores, workers=1)
    broken = folder_of(config) / "genetic" / "1"
    broken.mkdir(parents=True)
    (folder_of(config) / "config.yaml").write_text(yaml.safe_dump(as_values(config)))
    (broken / "stranger.txt").write_text("not a run")
    runs = run_all(config, quiet=True)
    assert list(runs.failures) == [("genetic", 1)] and len(runs.traces) == 5
    assert "is no run's folder" in runs.failures["genetic", 1]
    assert (folder_of(config) / "genetic" / "1.failed").read_text().startswith("RunError: ")
    document = document_of(config, runs)
    assert document.failures == [FailedRun(label="genetic", seed=1, reason=runs.failures["genetic", 1])]
    assert [row.failed for row in document.contenders] == [0, 1]
    assert document.pairs.all[0].seeds == 2
    (broken / "stranger.txt").unlink()
    again = run_all(config, quiet=True)
    assert not again.failures and len(again.traces) == 6
    assert not (folder_of(config) / "genetic" / "1.failed").exists()


def test_a_finished_run_is_not_run_again_and_more_seeds_add_to_it(tmp_path: Path, scores: Path) -> None:
    first = run_all(replayed(tmp_path, scores, {**COMPARE, "seeds": 2}), quiet=True)
    path = folder_of(replayed(tmp_path, scores)) / "genetic" / "1.json"
    before = path.stat().st_mtime_ns
    more = run_all(replayed(tmp_path, scores, {"strategies": ["annealing", "random", GENETIC], "seeds": [0, 1, 9]}), quiet=True)
    assert path.stat().st_mtime_ns == before
    assert len(more.traces) == 9 and more.traces["random", 0] == first.traces["random", 0]


def test_runs_of_another_configuration_are_refused(tmp_path: Path, scores: Path) -> None:
    run_all(replayed(tmp_path, scores), quiet=True)
    with pytest.raises(RunError, match=r"holds runs with another configuration \(random, seed 0\)"):
        run_all(replayed(tmp_path, scores, budget={"evaluations": 70}), quiet=True)
    other = {**COMPARE, "strategies": ["random", {"name": "genetic", "population": 20}]}
    with pytest.raises(RunError, match=r"another configuration \(genetic, seed 0\)"):
        run_all(replayed(tmp_path, scores, other), quiet=True)


def test_a_folder_that_is_no_comparison_is_left_alone(tmp_path: Path, scores: Path) -> None:
    Search(replayed(tmp_path, scores, strategy="random", name="toy-compare"), quiet=True, report=False).run()
    with pytest.raises(RunError, match="holds no comparison"):
        run_all(replayed(tmp_path, scores), quiet=True)


def test_a_damaged_trace_says_what_to_do(tmp_path: Path, scores: Path) -> None:
    runs = run_all(replayed(tmp_path, scores), quiet=True)
    path = runs.folder / "random" / "2.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(RunError, match=r"2.json is damaged or of another version; remove it"):
        run_all(replayed(tmp_path, scores), quiet=True)


@pytest.mark.parametrize("moment", [1, 17, 40])
def test_a_run_that_was_stopped_goes_on_within_its_folder(tmp_path: Path, scores: Path, moment: int) -> None:
    config = replayed(tmp_path, scores, fitness=SAMPLE)
    # As the comparison writes it when it begins.
    config = settled_comparison(config, create_space(**SPACE))
    job = Job(config.plan().contenders[1], 1)
    evaluator = Assembly(config).tabulated()
    provenance = {"inputs": None, "backend": None, "scores": evaluator.table.fingerprint}
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20 + moment

    folder_of(config).mkdir()
    (folder_of(config) / "config.yaml").write_text(yaml.safe_dump(as_values(config)))
    with pytest.raises(Interrupted):
        run_one(config, job, evaluator, provenance, stopped)
    journal = run_config(config, job.contender, 1).folder / "journal.jsonl"
    kept = len(journal.read_bytes().splitlines())
    assert 20 < kept < 81
    assert run_one(config, job, evaluator, provenance, lambda: False) is None
    resumed = run_all(config, quiet=True)
    # What the reference sample had is not measured again, and no time is counted twice.
    assert 0 < resumed.traces["genetic", 1].time_evaluations <= 81 - kept
    whole = run_all(replayed(tmp_path / "whole", scores, fitness=SAMPLE), quiet=True)
    assert traces_of(resumed) == traces_of(whole)


def test_a_watched_evaluator_stops_between_two_evaluations_and_loses_none(scores: Path, tmp_path: Path) -> None:
    config = replayed(tmp_path, scores)
    inner = Assembly(config).tabulated()
    told: list[Evaluation] = []
    watched = Watched(inner, lambda: len(told) == 2)
    with pytest.raises(Interrupted):
        told.extend(watched.evaluate(keyed(watched, [(0,) * 6, (1,) * 6, (2,) * 6])))  # extend takes them one by one
    assert inner.facts()["from_table"] == watched.evaluations


# --- real processes ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_and_an_interrupted_comparison_go_on_where_they_were(tmp_path: Path, scores: Path) -> None:
    changes: dict[str, Any] = {"budget": {"evaluations": 200}, "workers": 2, "name": "long"}
    compare = {**COMPARE, "seeds": 10}
    config = replayed(tmp_path, scores, compare, **changes)
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(as_values(config)))
    command = [
        sys.executable,
        "-c",
        "from rbflex_evo.engine.commands.app import main; main()",
        "compare",
        str(tmp_path / "long.yaml"),
        "--json",
    ]
    for number, wanted in ((signal.SIGKILL, 2), (signal.SIGINT, 6)):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while process.poll() is None and len(list(folder_of(config).glob("*/*.json"))) < wanted:
            os.sched_yield()
        # As a terminal does, to the whole group.
        os.killpg(process.pid, number)
        out, err = process.communicate()
        assert out == "" and "Traceback" not in err
    assert process.returncode == 130
    done = {path: path.stat().st_mtime_ns for path in folder_of(config).glob("*/*.json")}
    assert f"stopped after {len(done)} of 20 runs, all saved; the same command resumes" in err
    assert 6 <= len(done) < 20
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    whole = run_all(replayed(tmp_path / "whole", scores, compare, **changes), quiet=True)
    found = json.loads(finished.stdout)
    assert [(row["strategy"], row["seed"]) for row in found["runs"]] == [(c, s) for c in ("random", "genetic") for s in range(10)]
    assert traces_of(run_all(config, quiet=True)) == traces_of(whole)


@pytest.mark.slow
@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="no /proc here")
def test_a_run_whose_process_dies_fails_and_the_others_go_on(tmp_path: Path, scores: Path) -> None:
    config = replayed(tmp_path, scores, {**COMPARE, "seeds": 4}, budget={"evaluations": 300}, workers=2)
    folder = folder_of(config)

    def forked() -> set[int]:
        """Returns the processes that are forked from the server, which is a child of this process."""
        servers = [child.pid for child in multiprocessing.active_children()]
        return {int(pid) for server in servers for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()}

    before = forked()

    def kill_one() -> None:
        running = 0
        while running < 2:
            # The folder of a run that ends is removed.
            with contextlib.suppress(FileNotFoundError):
                running = sum(journal.stat().st_size > 1000 for journal in folder.glob("*/*/journal.jsonl"))
        os.kill(min(forked() - before), signal.SIGKILL)

    with ThreadPoolExecutor(1) as threads:
        killer = threads.submit(kill_one)
        runs = run_all(config, quiet=True)
        killer.result()
    assert list(runs.failures.values()) == ["the process that ran it died (signal 9, most likely memory)"]
    assert len(runs.traces) == 7
    whole = run_all(replayed(tmp_path / "whole", scores, {**COMPARE, "seeds": 4}, budget={"evaluations": 300}), quiet=True)
    assert traces_of(run_all(config, quiet=True)) == traces_of(whole)
    assert not (folder / ".stop").exists()
