"""A run that was stopped anywhere, then resumed, ends with the journal of one that was not, times aside."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rbflex_evo.engine.configuration.config import Config, as_values
from rbflex_evo.engine.search.loop import Loop
from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.terminal.interrupt import Interrupted
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, RunError, create_space
from rbflex_evo.strategies import STRATEGIES, own_strategies
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import (
    CHANGES,
    ROUNDS,
    PulledPlugError,
    Stopping,
    run_to_the_end,
    send_when_it_holds,
    spawn,
    start,
    wait_for_bytes,
)

REFERENCE = {
    "proxies": {"naswot": {}, "synflow": {}},
    "objective": {"rank": ["naswot", "synflow"], "reference": "sample", "sample": 20},
}


def small(strategy: str) -> dict[str, Any]:
    """Returns a strategy's configuration; populations are smaller than the evaluations before the first stop that counts."""
    populated = "population" in STRATEGIES.get(strategy).Parameters.model_fields
    return {"name": strategy, **({"population": 20} if populated else {})}


def stop_after(config: Config, evaluations: int) -> None:
    with pytest.raises(PulledPlugError):
        Search(config, Stopping(evaluations), quiet=True, report=False).run()


@pytest.mark.parametrize("strategy", own_strategies())
@pytest.mark.parametrize("snapshot", ["kept", "missing", "damaged", "old"])
def test_resuming_gives_the_same_journal_and_measures_nothing_twice(tmp_path: Path, strategy: str, snapshot: str) -> None:
    whole, asked = run_to_the_end(toy_config(tmp_path / "whole", strategy=small(strategy)))
    config = toy_config(tmp_path, strategy=small(strategy))
    stop_after(config, 15)
    old = (config.folder / "snapshot.json").read_bytes() if (config.folder / "snapshot.json").exists() else None
    stop_after(config, 60)
    path = config.folder / "snapshot.json"
    if snapshot == "missing":
        path.unlink(missing_ok=True)
    elif snapshot == "damaged":
        path.write_bytes(path.read_bytes().replace(b"1", b"2", 3))
    elif snapshot == "old" and old is not None:
        path.write_bytes(old)
    folder, later = run_to_the_end(config)
    assert journal_without_times(folder) == journal_without_times(whole)
    assert later == asked[75:]
    results = [json.loads((f / "result.json").read_text()) for f in (folder, whole)]
    for name in ("best", "top", "counts", "stop_reason"):
        assert results[0][name] == results[1][name]


@pytest.mark.parametrize("strategy", own_strategies())
def test_a_run_stopped_after_every_evaluation_ends_the_same(tmp_path: Path, strategy: str) -> None:
    changes: dict[str, Any] = {"budget": {"evaluations": 25}, "strategy": strategy, "fitness": REFERENCE}
    changes["warm_start"] = [create_space("toy", genes=12, choices=4).notation((i,) + (1,) * 11) for i in range(3)]
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes))
    config = toy_config(tmp_path, **changes)
    for _ in range(20 + 25 - 1):
        stop_after(config, 1)
    folder, asked = run_to_the_end(config)
    assert len(asked) == 1
    assert journal_without_times(folder) == journal_without_times(whole)


def test_a_torn_last_line_is_measured_again(tmp_path: Path) -> None:
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole"))
    config = toy_config(tmp_path)
    stop_after(config, 60)
    journal = config.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-17])
    folder, asked = run_to_the_end(config)
    assert len(asked) == 141
    assert journal_without_times(folder) == journal_without_times(whole)


def test_a_damaged_journal_is_left_as_it_is(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    stop_after(config, 60)
    journal = config.folder / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    lines[10] = lines[10].replace(b'"number": 9', b'"number": 8')
    journal.write_bytes(b"\n".join(lines))
    before = journal.read_bytes()
    with pytest.raises(RunError, match="line 11 is damaged: its checksum is wrong"):
        run_to_the_end(config)
    assert journal.read_bytes() == before


def test_keeping_the_lines_before_the_damage_is_a_way_out(tmp_path: Path) -> None:
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole"))
    config = toy_config(tmp_path)
    stop_after(config, 60)
    journal = config.folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:10]))
    folder, _ = run_to_the_end(config)
    assert journal_without_times(folder) == journal_without_times(whole)


def test_a_journal_of_other_proposals_is_refused(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    stop_after(config, 60)
    from rbflex_evo.engine.run.journal import encode

    journal = config.folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[5]["genotype"], lines[5]["key"] = [0] * 12, "zero+zero"
    journal.write_bytes(b"".join(encode({k: v for k, v in line.items() if k != "crc"}) for line in lines))
    (config.folder / "snapshot.json").unlink(missing_ok=True)
    with pytest.raises(RunError, match=r"holds 'zero.zero' where this program proposes") as raised:
        run_to_the_end(config)
    assert len(str(raised.value).splitlines()) == 2


def test_a_configuration_edited_inside_a_run_is_refused(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    stop_after(config, 60)
    path = config.folder / "config.yaml"
    path.write_text(path.read_text() + "seed: 5\n")
    with pytest.raises(RunError, match="belongs to another configuration than"):
        Search.from_folder(config.folder).run()


def test_a_time_budget_counts_earlier_sessions(tmp_path: Path) -> None:
    config = toy_config(tmp_path, budget={"seconds": 3600})
    stop_after(config, 60)
    from rbflex_evo.engine.run.journal import encode

    journal = config.folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[-1]["time_elapsed"] = 3600.5
    journal.write_bytes(b"".join(encode({k: v for k, v in line.items() if k != "crc"}) for line in lines))
    search, evaluator = instant_search(config)
    result = search.run()
    assert result.stop_reason == "the budget of 3600 seconds is spent"
    # What was begun of the last generation is still told: nothing in the journal is lost.
    assert result.counts["unique"] == 60 + len(evaluator.asked)
    assert len(evaluator.asked) <= 1


def test_only_known_asks_in_a_row_are_counted_across_sessions(tmp_path: Path) -> None:
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", strategy="annealing", budget={"evaluations": 60}))
    config = toy_config(tmp_path, strategy="annealing", budget={"evaluations": 60})
    for stop in (11, 13, 17):
        stop_after(config, stop)
    folder, _ = run_to_the_end(config)
    assert journal_without_times(folder) == journal_without_times(whole)
    assert json.loads((folder / "result.json").read_text())["counts"] == (json.loads((whole / "result.json").read_text())["counts"])


def test_snapshots_are_written_during_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbflex_evo.engine.search.loop.SECONDS_BETWEEN_SNAPSHOTS", -1.0)
    written = []
    save = Loop._save_snapshot

    def counting(self: Loop) -> None:
        save(self)
        written.append((self.folder.snapshot).read_bytes())

    monkeypatch.setattr(Loop, "_save_snapshot", counting)
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole"))
    assert len(set(written)) >= 10
    for number, text in enumerate(dict.fromkeys(written)):
        config = toy_config(tmp_path, name=f"from {number}")
        config.folder.mkdir()
        for name in ("config.yaml", "journal.jsonl"):
            (config.folder / name).write_bytes((whole / name).read_bytes())
        (config.folder / "snapshot.json").write_bytes(text)
        folder, asked = run_to_the_end(config)
        assert asked == []
        assert journal_without_times(folder) == journal_without_times(whole)


# --- real processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_to_the_end(toy_config(tmp_path_factory.mktemp("whole"), **CHANGES), ROUNDS)[0]


def killed_and_resumed(tmp_path: Path, whole_run: Path, moments: Sequence[float]) -> None:
    size = (whole_run / "journal.jsonl").stat().st_size
    config = toy_config(tmp_path, **CHANGES)
    for moment in sorted(moments):
        code = send_when_it_holds(start(tmp_path), config.folder / "journal.jsonl", int(moment * size), signal.SIGKILL)
        assert code == -signal.SIGKILL
    folder, _ = run_to_the_end(config, ROUNDS)
    assert journal_without_times(folder) == journal_without_times(whole_run)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("moment", [0.0, 0.21, 0.55, 0.8])
def test_a_killed_process_resumes_to_the_same_journal(tmp_path: Path, whole_run: Path, moment: float) -> None:
    killed_and_resumed(tmp_path, whole_run, [moment])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("group", range(5))
def test_a_process_killed_at_25_random_moments_resumes_to_the_same_journal(tmp_path: Path, whole_run: Path, group: int) -> None:
    killed_and_resumed(tmp_path, whole_run, list(np.random.default_rng(group).uniform(0, 0.9, 5)))


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, whole_run: Path) -> None:
    config = toy_config(tmp_path, **CHANGES)
    process = start(tmp_path)
    wait_for_bytes(process, config.folder / "journal.jsonl", 40_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "Ctrl-C again stops at once" in err
    done = len(journal_without_times(config.folder)) - 1
    assert f"stopped after {done} evaluations, all saved; go on with: rbflex-evo resume {config.folder}" in out
    assert (config.folder / "snapshot.json").exists()
    folder, asked = run_to_the_end(config, ROUNDS)
    assert len(asked) == 1500 - done
    assert journal_without_times(folder) == journal_without_times(whole_run)


def test_one_evaluation_that_was_saved_is_told_in_the_singular(tmp_path: Path) -> None:
    class Pressed(InstantEvaluator):
        def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
            for evaluation in super().evaluate(pairs):
                signal.raise_signal(signal.SIGINT)
                yield evaluation

    search = Search(toy_config(tmp_path), Pressed(create_space("toy", genes=12, choices=4)), quiet=True, report=False)
    with pytest.raises(Interrupted, match="stopped after 1 evaluation, all saved; go on with: rbflex-evo resume"):
        search.run()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_networks_that_workers_measure_survive_a_kill_and_a_ctrl_c(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"space": {"name": "toy", "nan": True}, "budget": {"evaluations": 80}, "strategy": "genetic"}
    changes["fitness"] = {"proxies": {"rbflex": {"networks": 5}, "synflow": {}}, "objective": {"rank": ["rbflex", "synflow"]}}
    whole = Search(toy_config(tmp_path / "whole", workers=1, micro_batch=16, **changes), quiet=True, report=False).run()
    size = (whole.folder / "journal.jsonl").stat().st_size
    config = toy_config(tmp_path, workers=2, micro_batch=4, **changes)
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(as_values(config)))
    command = [sys.executable, "-c", "from rbflex_evo.engine.commands.app import main; main()"]
    journal = config.folder / "journal.jsonl"
    killed = spawn([*command, "search", str(tmp_path / "toy.yaml")])
    assert send_when_it_holds(killed, journal, size // 4, signal.SIGKILL) == -signal.SIGKILL
    stopped = spawn([*command, "resume", str(config.folder)])
    wait_for_bytes(stopped, journal, size // 2)
    os.killpg(stopped.pid, signal.SIGINT)
    out, err = stopped.communicate()
    assert (stopped.returncode, out) == (130, "")
    assert "Traceback" not in err and f"go on with: rbflex-evo resume {config.folder}" in err
    Search(config, quiet=True, report=False).run()
    assert journal_without_times(config.folder) == journal_without_times(whole.folder)


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_another_process_with_another_hash_seed_writes_the_same_journal(tmp_path: Path, seed: str) -> None:
    changes = {"budget": {"evaluations": 150}}
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes), ROUNDS)
    process = start(tmp_path, changes, PYTHONHASHSEED=seed)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert journal_without_times(tmp_path / "run") == journal_without_times(whole)
