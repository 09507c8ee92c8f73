"""Strategies that are asked ahead: the lag is fixed, so the journal is that of the seed, wherever a run is stopped."""

from __future__ import annotations

import json
import signal
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbflex_evo.engine.configuration.config import Config, identity
from rbflex_evo.engine.run import snapshot as snapshots
from rbflex_evo.engine.run.folder import find_run
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.search.loop import Loop
from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.terminal.interrupt import Interrupted
from rbflex_evo.fitness import METRICS
from rbflex_evo.fitness.costs.metric import CostSubject, Metric
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, create_space
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import ROUNDS, PulledPlugError, Stopping, run_to_the_end, send_when_it_holds, start

ASYNCHRONOUS: list[dict[str, Any]] = [
    {"name": "regularised_evolution", "population": 20, "tournament": 5, "batch": 3, "asynchronous": True, "ahead": 10},
    {"name": "free_rea", "population": 20, "tournament": 5, "asynchronous": True, "ahead": 7},
    {"name": "large_space_evolution", "population": 20, "batch": 5, "asynchronous": True, "ahead": 20},
    {"name": "genetic", "population": 20, "offspring": 4, "asynchronous": True, "ahead": 8},
]
AHEAD = [{"name": "random", "batch": 7}, *ASYNCHRONOUS]
REJECTING = {"fitness": {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 6000.0}}}}
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "rejecting": REJECTING}

each = pytest.mark.parametrize("strategy", AHEAD, ids=lambda values: values["name"])
each_asynchronous = pytest.mark.parametrize("strategy", ASYNCHRONOUS, ids=lambda values: values["name"])
each_kind = pytest.mark.parametrize("kind", list(KINDS))


class Given(InstantEvaluator):
    """Notes what it is given and what is read, in one list."""

    def __init__(self) -> None:
        super().__init__(create_space("toy", genes=12, choices=4))
        self.events: list[tuple[str, list[str]]] = []

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        self.events.append(("given", [key for key, _ in pairs]))
        return self._read(super().evaluate(pairs))

    def _read(self, evaluations: Iterator[Evaluation]) -> Iterator[Evaluation]:
        for evaluation in evaluations:
            self.events.append(("read", [evaluation.key]))
            yield evaluation


def stop_after(config: Config, evaluations: int) -> None:
    with pytest.raises(PulledPlugError):
        Search(config, Stopping(evaluations), quiet=True, report=False).run()


def searched(config: Config) -> Path:
    return instant_search(config)[0].run().folder


@each
def test_a_batch_is_given_once_the_batch_before_the_lag_was_read(tmp_path: Path, strategy: dict[str, Any]) -> None:
    evaluator = Given()
    search = Search(toy_config(tmp_path, strategy=strategy), evaluator, quiet=True, report=False)
    ahead = search.parts.strategy().batches_ahead
    assert ahead > 1
    search.run()
    batches = [keys for kind, keys in evaluator.events if kind == "given"]
    read, number = 0, 0
    for kind, keys in evaluator.events:
        if kind == "read":
            read += len(keys)
        else:
            assert read == sum(map(len, batches[: max(0, number - ahead)]))
            number += 1
    assert read == sum(map(len, batches)) == 200


@each_asynchronous
def test_a_lag_changes_what_is_proposed_and_random_search_proposes_the_same(tmp_path: Path, strategy: dict[str, Any]) -> None:
    waiting = {name: value for name, value in strategy.items() if name not in ("asynchronous", "ahead")}
    found = [searched(toy_config(tmp_path / f"{n}", strategy=one)) for n, one in enumerate((strategy, waiting))]
    assert journal_without_times(found[0])[1:] != journal_without_times(found[1])[1:]
    batches = [searched(toy_config(tmp_path / f"{n}", strategy={"name": "random", "batch": n})) for n in (5, 200)]
    assert journal_without_times(batches[0])[1:] == journal_without_times(batches[1])[1:]


@each
@each_kind
@pytest.mark.parametrize("snapshot", ["kept", "missing", "each tell", "old"])
def test_a_stopped_run_measures_nothing_twice_and_ends_with_the_same_journal(
    tmp_path: Path, strategy: dict[str, Any], kind: str, snapshot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if snapshot == "each tell":
        monkeypatch.setattr("rbflex_evo.engine.search.loop.SECONDS_BETWEEN_SNAPSHOTS", -1.0)
    whole, asked = run_to_the_end(toy_config(tmp_path / "whole", strategy=strategy, **KINDS[kind]))
    config = toy_config(tmp_path, strategy=strategy, **KINDS[kind])
    path = config.folder / "snapshot.json"
    stop_after(config, 31)
    old = path.read_bytes()
    stop_after(config, 58)
    if snapshot == "missing":
        path.unlink()
    elif snapshot == "old":
        path.write_bytes(old)
    folder, later = run_to_the_end(config)
    assert later == asked[89:]
    assert journal_without_times(folder) == journal_without_times(whole)
    results = [json.loads((f / "result.json").read_text()) for f in (folder, whole)]
    for name in ("best", "counts", "stop_reason"):
        assert results[0][name] == results[1][name]


@each
def test_a_run_stopped_after_every_evaluation_ends_the_same(
    tmp_path: Path, strategy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rbflex_evo.engine.search.loop.SECONDS_BETWEEN_SNAPSHOTS", -1.0)
    changes: dict[str, Any] = {"strategy": strategy, "budget": {"evaluations": 60}, **REJECTING}
    changes["warm_start"] = [create_space("toy", genes=12, choices=4).notation((i,) + (0,) * 11) for i in range(3)]
    whole = searched(toy_config(tmp_path / "whole", **changes))
    config = toy_config(tmp_path, **changes)
    for _ in range(59):
        stop_after(config, 1)
    folder, asked = run_to_the_end(config)
    assert len(asked) == 1
    assert journal_without_times(folder) == journal_without_times(whole)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_stops_and_any_lost_snapshots_give_the_same_journal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    strategy = data.draw(st.sampled_from(AHEAD))
    changes = {"strategy": strategy, "budget": {"evaluations": 90}, **KINDS[data.draw(st.sampled_from(list(KINDS)))]}
    path = tmp_path_factory.mktemp("any")
    whole = searched(toy_config(path / "whole", **changes))
    config = toy_config(path, **changes)
    snapshot, kept, left = config.folder / "snapshot.json", None, 90
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("rbflex_evo.engine.search.loop.SECONDS_BETWEEN_SNAPSHOTS", data.draw(st.sampled_from([-1.0, 5.0])))
        for stop in data.draw(st.lists(st.integers(1, 30), max_size=4)):
            if stop >= left:
                break
            stop_after(config, stop)
            left -= stop
            fate = data.draw(st.sampled_from(["kept", "lost", "older"]))
            if fate == "lost":
                snapshot.unlink(missing_ok=True)
            elif fate == "older" and kept is not None:
                snapshot.write_bytes(kept)
            kept = snapshot.read_bytes() if snapshot.exists() else kept
    folder, asked = run_to_the_end(config)
    assert len(asked) == left
    assert journal_without_times(folder) == journal_without_times(whole)


@each
@each_kind
def test_a_loop_of_the_user_gives_the_journal_of_a_run(tmp_path: Path, strategy: dict[str, Any], kind: str) -> None:
    changes = {"strategy": strategy, **KINDS[kind]}
    wanted = searched(toy_config(tmp_path / "run", **changes))
    with instant_search(toy_config(tmp_path / "own", **changes))[0].open() as search:
        while not search.finished:
            search.tell(search.evaluate(search.ask()))
        result = search.result()
    assert journal_without_times(result.folder) == journal_without_times(wanted)


@each
@pytest.mark.parametrize("budget", [{"evaluations": 1}, {"evaluations": 7}, {"evaluations": 133}, {"generations": 9}])
def test_budgets_of_evaluations_and_generations_are_exact(tmp_path: Path, strategy: dict[str, Any], budget: dict[str, int]) -> None:
    search, evaluator = instant_search(toy_config(tmp_path, strategy=strategy, budget=budget))
    result = search.run()
    assert result.counts["unique"] == len(evaluator.asked) == len(set(evaluator.asked))
    assert result.stop_reason.startswith(f"the budget of {next(iter(budget.values()))} ")
    if "evaluations" in budget:
        assert result.counts["unique"] == budget["evaluations"]


@each
def test_a_run_goes_on_with_another_budget_as_if_it_had_had_it_from_the_start(tmp_path: Path, strategy: dict[str, Any]) -> None:
    for kind, changes in KINDS.items():
        small = searched(toy_config(tmp_path / f"small {kind}", strategy=strategy, budget={"evaluations": 73}, **changes))
        whole = searched(toy_config(tmp_path / f"whole {kind}", strategy=strategy, budget={"evaluations": 160}, **changes))
        for evaluations in (101, 160):
            search = Search.from_folder(small, budget={"evaluations": evaluations}, quiet=True)
            search.report, search._given = False, InstantEvaluator(search.space)
            search.run()
        assert journal_without_times(small) == journal_without_times(whole)


@each
def test_time_that_is_over_drops_what_is_outstanding(tmp_path: Path, strategy: dict[str, Any]) -> None:
    config = toy_config(tmp_path, strategy=strategy, budget={"seconds": 0.2})
    search, evaluator = instant_search(config, rounds=2000)
    result = search.run()
    assert result.stop_reason == "the budget of 0.2 seconds is spent"
    assert result.counts["unique"] == len(evaluator.asked) == len(journal_without_times(result.folder)) - 1


@each
def test_a_space_with_nothing_left_is_evaluated_to_the_last_network(tmp_path: Path, strategy: dict[str, Any]) -> None:
    space = {"name": "toy", "genes": 4, "choices": 2}
    result = instant_search(toy_config(tmp_path, space=space, strategy=strategy, budget={"evaluations": 1000}))[0].run()
    assert result.counts["unique"] == len(list(create_space(**space).keys()))
    assert result.stop_reason.startswith("nothing left to try")


@each
def test_rejections_that_end_a_search_end_it_after_what_is_outstanding(tmp_path: Path, strategy: dict[str, Any]) -> None:
    # Random search walks through a small space to its end, and the others find what is allowed in a large one.
    genes, limit = (12, 4000.0) if strategy["name"] == "random" else (6, 1200.0)
    fitness = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": limit}, "rejections": 60}}
    changes: dict[str, Any] = {"space": {"name": "toy", "genes": genes, "choices": 4}, "strategy": strategy, "fitness": fitness}
    search, evaluator = instant_search(toy_config(tmp_path / "whole", **changes))
    result = search.run()
    assert "60 proposals in a row were rejected" in result.stop_reason and result.stop_reason.startswith("no further architecture")
    looks = read_journal(result.folder / "journal.jsonl").looks
    assert result.counts["unique"] == len(evaluator.asked) > 3 and all(not look.admitted for look in looks[-60:])
    config = toy_config(tmp_path, **changes)
    stopping = Stopping(result.counts["unique"] - 2)
    stopping.space = search.space
    with pytest.raises(PulledPlugError):
        Search(config, stopping, quiet=True, report=False).run()
    again = instant_search(config)[0].run()
    assert again.stop_reason == result.stop_reason
    assert journal_without_times(again.folder) == journal_without_times(result.folder)


def test_ctrl_c_saves_what_was_told_and_the_rest_is_asked_again(tmp_path: Path) -> None:
    class Pressed(InstantEvaluator):
        def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
            for evaluation in super().evaluate(pairs):
                if len(self.asked) == 50:
                    signal.raise_signal(signal.SIGINT)
                yield evaluation

    whole = searched(toy_config(tmp_path / "whole", strategy=ASYNCHRONOUS[0]))
    config = toy_config(tmp_path, strategy=ASYNCHRONOUS[0])
    # Ctrl-C is ignored where the tests run in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match="stopped after 50 evaluations, all saved"):
            Search(config, Pressed(create_space("toy", genes=12, choices=4)), quiet=True, report=False).run()
    finally:
        signal.signal(signal.SIGINT, before)
    folder, asked = run_to_the_end(config)
    assert len(asked) == 150 and journal_without_times(folder) == journal_without_times(whole)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("moment", [0.13, 0.5, 0.9])
def test_a_killed_process_resumes_to_the_same_journal(tmp_path: Path, moment: float) -> None:
    changes = {"budget": {"evaluations": 800}, "strategy": ASYNCHRONOUS[0], **REJECTING}
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes), ROUNDS)
    size = (whole / "journal.jsonl").stat().st_size
    config = toy_config(tmp_path, **changes)
    code = send_when_it_holds(start(tmp_path, changes), config.folder / "journal.jsonl", int(moment * size), signal.SIGKILL)
    assert code == -signal.SIGKILL
    folder, _ = run_to_the_end(config, ROUNDS)
    assert journal_without_times(folder) == journal_without_times(whole)


def test_a_snapshot_of_the_first_version_is_read_and_one_of_a_later_version_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, asked = run_to_the_end(toy_config(tmp_path / "whole"))
    config = toy_config(tmp_path)
    stop_after(config, 90)
    path, own = config.folder / "snapshot.json", identity(find_run(config.folder))
    content = len(read_journal(config.folder / "journal.jsonl").evaluations)
    snapshot, _ = snapshots.load(path, own, content)
    assert snapshot is not None and snapshot.outstanding == []
    monkeypatch.setattr(snapshots, "VERSION", 3)
    path.write_text(snapshots.encode(snapshot, own))
    assert snapshots.load(path, own, content)[1] == "it is of another version or another configuration"
    monkeypatch.setattr(snapshots, "VERSION", 1)
    body = json.loads(json.loads(snapshots.encode(snapshot, own))["body"])
    del body["outstanding"], body["ended"]
    text = json.dumps(body)
    path.write_text(json.dumps({"crc": zlib.crc32(text.encode()), "body": text}))
    assert snapshots.load(path, own, content) == (snapshot, None)
    folder, later = run_to_the_end(config)
    assert later == asked[90:] and journal_without_times(folder) == journal_without_times(whole)


class Stopwatch(Metric):
    """A cost that differs between measurements."""

    name = "stopwatch"
    repeatable = False

    def cost(self, architecture: CostSubject) -> float:
        return 1.0


def test_nothing_is_asked_ahead_while_a_cost_is_a_measured_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS._known, "stopwatch", Stopwatch)
    fitness = {"proxies": {"naswot": {}}, "constraints": {"stopwatch": {"max": 2.0}}}
    ahead: list[int] = []
    ask: Callable[[Loop], list[Genotype]] = Loop.ask

    def noting(self: Loop) -> list[Genotype]:
        ahead.append(self.ahead)
        return ask(self)

    monkeypatch.setattr(Loop, "ask", noting)
    for changes in ({"fitness": fitness}, {}):
        name = f"{len(changes)}"
        instant_search(toy_config(tmp_path, name=name, strategy="random", budget={"evaluations": 9}, **changes))[0].run()
    assert ahead == [0, 3]


@pytest.mark.parametrize("strategy", ["regularised_evolution", "free_rea", "large_space_evolution", "genetic"])
def test_a_setting_that_is_off_is_no_part_of_a_run(tmp_path: Path, strategy: str) -> None:
    plain, off, on = (
        identity(toy_config(tmp_path, strategy={"name": strategy, **values}))
        for values in ({}, {"asynchronous": False}, {"asynchronous": True})
    )
    assert plain == off != on
    with pytest.raises(ConfigError, match="ahead 7 has no effect without asynchronous: true; leave it out"):
        toy_config(tmp_path, strategy={"name": strategy, "ahead": 7})


@pytest.mark.parametrize("strategy", ["annealing", "local_search", "nsga2", "reinforce", "search_economics", "random"])
def test_other_strategies_refuse_to_be_asynchronous_in_a_line(tmp_path: Path, strategy: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'strategy\.asynchronous'") as raised:
        toy_config(tmp_path, strategy={"name": strategy, "asynchronous": True})
    assert len(str(raised.value).splitlines()) == 1
