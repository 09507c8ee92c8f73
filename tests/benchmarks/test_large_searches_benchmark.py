"""The benchmark of large searches: what is watched, compared and ranked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.searches import large_searches
from benchmarks.shared.watched import Lines, Sample, resident, samples_of, sessions_of, watch
from rbflex_evo.engine.configuration.config import as_values
from rbflex_evo.engine.configuration.yaml_reader import write_value
from rbflex_evo.engine.run.journal import encode, evaluation_line, header_line, read_journal
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.objective import Objective
from tests.support.instant import toy_config

RANKS = Objective(("first", "second"), "log")


def evaluation(number: int, first: float, second: float) -> Evaluation:
    return Evaluation((number,), str(number), {"first": first, "second": second})


def written(run: Path, told: list[Evaluation]) -> Path:
    run.mkdir(parents=True)
    lines = [header_line(identity="1"), *(evaluation_line("evaluation", i, e, 2.0 * (i + 1)) for i, e in enumerate(told))]
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, lines)))
    return run


def test_a_regret_is_that_of_the_best_so_far_among_the_whole_run() -> None:
    told = [evaluation(0, 1, 1), evaluation(1, 3, 2), evaluation(2, 2, 3), evaluation(3, 4, 4)]
    found = large_searches.regrets(RANKS, told, (1, 2, 4))
    assert [each["place"] for each in found] == [4, 2, 1]
    assert found[0]["regret"] > found[1]["regret"] > found[2]["regret"] == 0


def test_strategies_are_ranked_among_all_that_any_of_them_evaluated() -> None:
    runs = {"one": [evaluation(i, i, i) for i in range(10)], "other": [evaluation(i, i, i) for i in range(10, 30)], "none": []}
    found = {each["strategy"]: each for each in large_searches._strategies(RANKS, runs)}
    assert found["other"]["regret"] == 0 < found["one"]["regret"] < found["one"]["regret_at_tenth"]
    assert "regret" not in found["none"] and large_searches._strategies(RANKS, {"none": []}) == []


def test_journals_are_equal_but_for_their_times(tmp_path: Path) -> None:
    told = [evaluation(i, i, -i) for i in range(6)]
    one, other = written(tmp_path / "one", told), written(tmp_path / "other", [*told[:4], evaluation(9, 9, 9)])
    assert large_searches.same_lines(one, other, 4) == (4, True)
    assert large_searches.same_lines(one, other, 10) == (5, False)


def test_a_run_is_divided_into_parts_with_their_speed_and_memory(tmp_path: Path) -> None:
    run = written(tmp_path / "run", [evaluation(i, i, i) for i in range(10)])
    samples = [Sample(0, 1.0, 1, [100.0, 300.0, 200.0]), Sample(1, 2.0, 9, [110.0, 310.0])]
    (tmp_path / "run.samples.jsonl").write_text("".join(json.dumps(vars(sample)) + "\n" for sample in samples))
    parts = list(large_searches.windows(run, read_journal(run / "journal.jsonl").arrivals))
    assert [part["evaluations"] for part in parts] == [2, 4, 6, 8, 10]
    assert all(part["per_second"] == 0.5 for part in parts)
    assert (parts[0]["search_mib"], parts[0]["worker_mib"]) == (100.0, 300.0) and parts[1]["search_mib"] is None
    assert parts[-1]["worker_mib"] == 310.0


def test_lines_are_counted_once_and_only_whole_ones(tmp_path: Path) -> None:
    run = written(tmp_path / "run", [evaluation(i, i, i) for i in range(3)])
    lines = Lines(run / "journal.jsonl")
    assert lines.look() == 3
    line = encode(evaluation_line("evaluation", 3, evaluation(3, 1, 1), 9.0))
    with open(run / "journal.jsonl", "ab") as file:
        file.write(line[:20])
        file.flush()
        assert lines.look() == 3
        file.write(line[20:])
    assert lines.look() == 4


def test_memory_is_that_of_the_processes_of_a_session() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc")
    found = resident(os.getsid(0))
    assert found and all(mib >= 0 for mib in found)


@pytest.mark.parametrize("space", list(large_searches.FORMS))
def test_every_configuration_is_valid_in_its_forms(space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(large_searches, "table", asked.append)
    arguments = ["table", "--spaces", space, "--runs", str(tmp_path)]
    assert large_searches.main(arguments) == 0
    long = large_searches.searched(space, asked[0])
    assert long.fidelity is not None and long.budget.evaluations == 100_000 and long.cache == "off"
    for strategy in large_searches.STRATEGIES:
        one = large_searches.compared(space, asked[0], strategy)
        assert one.fidelity is None and one.strategy.name == strategy and one.budget.evaluations == 10_000


@pytest.mark.slow
def test_a_watched_search_is_killed_and_resumed_to_its_end(tmp_path: Path) -> None:
    config = toy_config(tmp_path, budget={"evaluations": 60}, strategy="random", fitness={"proxies": {"naswot": {}}})
    path = tmp_path / "toy.yaml"
    path.write_text(write_value(as_values(config)))
    first = watch(path, config.folder, 60.0, "killed", most=10)
    assert first.ending == "killed" and first.ended_with >= 10
    last = watch(path, config.folder, 60.0, "stopped")
    assert last.ending == "finished" and last.began_with == first.ended_with and last.ended_with == 60
    assert sessions_of(config.folder) == [first, last] and {sample.session for sample in samples_of(config.folder)} == {0, 1}
