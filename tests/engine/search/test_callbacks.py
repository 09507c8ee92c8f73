"""Callbacks are told of what is new in the journal, cannot change a search, and stop it with everything saved if they fail."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rbflex_evo import Callback, open_search
from rbflex_evo.engine import CallbackError, Interrupted, Result, SearchProgress
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, create_space
from tests.support.instant import InstantEvaluator, journal_without_times, toy_config


class Recorder(Callback):
    """Keeps everything that it is told."""

    def __init__(self) -> None:
        self.evaluations: list[tuple[int, Evaluation]] = []
        self.snapshots: list[SearchProgress] = []
        self.results: list[Result] = []
        self.closed = 0

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        self.evaluations.append((progress.evaluations, evaluation))

    def on_snapshot(self, progress: SearchProgress) -> None:
        self.snapshots.append(progress)

    def on_end(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        self.closed += 1


class Failing(Callback):
    """Fails in one method, in `on_evaluation` at a given evaluation."""

    def __init__(self, method: str, at: int = 0) -> None:
        self.method, self.at = method, at

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        if self.method == "on_evaluation" and progress.evaluations == self.at:
            raise ZeroDivisionError("no more")

    def on_snapshot(self, progress: SearchProgress) -> None:
        if self.method == "on_snapshot":
            raise ZeroDivisionError("no more")

    def on_end(self, result: Result) -> None:
        if self.method == "on_end":
            raise ZeroDivisionError("no more")

    def close(self) -> None:
        if self.method == "close":
            raise ZeroDivisionError("no more")


def search(runs: Path, callbacks: Iterable[Callback] = (), **changes: Any) -> Search:
    config = toy_config(runs, **changes)
    evaluator = InstantEvaluator(create_space(config.space.name, **config.space.values))
    return Search(config, evaluator, quiet=True, report=False, callbacks=callbacks)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The result of a search without callbacks."""
    return search(tmp_path_factory.mktemp("alone")).run()


def test_every_line_of_the_journal_is_told_once_in_its_order_and_the_journal_is_that_without_callbacks(
    tmp_path: Path, alone: Result
) -> None:
    recorder = Recorder()
    result = search(tmp_path, [recorder]).run()
    assert journal_without_times(result.folder) == journal_without_times(alone.folder)
    told = read_journal(result.folder / "journal.jsonl").evaluations
    assert [number for number, _ in recorder.evaluations] == list(range(1, len(told) + 1))
    assert [evaluation.key for _, evaluation in recorder.evaluations] == [evaluation.key for evaluation in told]
    assert any(evaluation.failed for _, evaluation in recorder.evaluations)
    assert recorder.snapshots and recorder.results == [result] and recorder.closed == 1


def test_progress_tells_the_best_so_far_and_all_evaluations_so_far(tmp_path: Path) -> None:
    class Best(Callback):
        def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
            scored = [e for e in progress.told() if not e.failed]
            best = progress.best()
            # One score alone decides.
            wanted = max((e.scores["naswot"] for e in scored), default=None)
            assert (best.scores["naswot"] if best else None) == wanted
            assert len(progress.told()) == progress.evaluations
            assert progress.told()[-1].key == evaluation.key
            assert (progress.folder, progress.space.name, progress.earlier) == (tmp_path / "run", "toy", 0)

    search(tmp_path, [Best()], fitness={"proxies": {"naswot": {}}}, budget={"evaluations": 30}).run()


def test_a_resumed_run_tells_only_what_it_evaluates(tmp_path: Path, alone: Result) -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    with search(tmp_path, [first]).open() as running:
        for _ in range(3):
            running.tell(running.evaluate(running.ask()))
    assert first.closed == 1 and not first.results
    done = len(first.evaluations)
    # Without its snapshot, the whole journal is gone through again.
    (tmp_path / "run" / "snapshot.json").unlink()
    result = search(tmp_path, [second]).run()
    numbers = [number for number, _ in (*first.evaluations, *second.evaluations)]
    assert done > 0 and numbers == list(range(1, len(alone.view) + 1))
    assert second.snapshots[0].earlier == done
    assert journal_without_times(result.folder) == journal_without_times(alone.folder)
    # A run that is over tells nothing.
    search(tmp_path, [third]).run()
    assert not third.evaluations and not third.results and not third.snapshots


@pytest.mark.parametrize(("method", "at"), [("on_evaluation", 33), ("on_snapshot", 0)])
def test_a_callback_that_fails_stops_the_search_with_everything_saved(tmp_path: Path, alone: Result, method: str, at: int) -> None:
    recorder = Recorder()
    with pytest.raises(CallbackError, match=f"the callback Failing failed in {method}: ZeroDivisionError: no more") as stopped:
        search(tmp_path, [Failing(method, at), recorder]).run()
    assert isinstance(stopped.value.__cause__, ZeroDivisionError) and stopped.value.exit_code == 1
    assert f"rbflex-evo resume {tmp_path / 'run'}" in str(stopped.value)
    # The line is in the journal, and the other callback was told of it.
    saved = read_journal(tmp_path / "run" / "journal.jsonl").evaluations
    assert len(saved) == len(recorder.evaluations) == (at or 20)
    again = Recorder()
    result = search(tmp_path, [again]).run()
    assert [number for number, _ in again.evaluations] == list(range(len(saved) + 1, len(alone.view) + 1))
    assert journal_without_times(result.folder) == journal_without_times(alone.folder)
    assert result.counts == alone.counts and result.best == alone.best


def test_a_callback_that_fails_at_the_end_leaves_the_result(tmp_path: Path, alone: Result) -> None:
    recorder = Recorder()
    with search(tmp_path, [Failing("on_end"), recorder]).open() as running:
        while not running.finished:
            running.tell(running.evaluate(running.ask()))
        with pytest.raises(CallbackError, match=r"Failing failed in on_end.*\nthe search is over, and its result is in"):
            running.result()
        assert running.result().best == alone.best
    assert len(recorder.results) == 1 and recorder.closed == 1
    assert search(tmp_path).run().best == alone.best


def test_a_callback_that_fails_while_it_is_closed_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, [Failing("close")]).run().best is not None
    assert "warning: the callback Failing failed in close: ZeroDivisionError: no more" in capsys.readouterr().err


def test_a_stop_in_a_callback_is_a_stop_and_no_failure_of_the_callback(tmp_path: Path, alone: Result) -> None:
    class CtrlC(Callback):
        def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
            if progress.evaluations == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        search(tmp_path, [CtrlC()]).run()
    assert not isinstance(stopped.value, Interrupted)
    assert len(read_journal(tmp_path / "run" / "journal.jsonl").evaluations) == 5
    assert journal_without_times(search(tmp_path).run().folder) == journal_without_times(alone.folder)


class Meddler(Callback):
    """Changes everything that it can reach."""

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        values: Any = evaluation.scores
        values.clear()
        for told in progress.told():
            others: Any = told.scores
            others.update(naswot=1e9, rbflex=1e9)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        np.seterr(all="ignore")


def test_a_callback_cannot_change_the_search_or_how_it_measures(tmp_path: Path) -> None:
    values = {
        "space": "toy",
        "fitness": {"proxies": {"naswot": {}}},
        "strategy": {"name": "genetic", "population": 3},
        "budget": {"evaluations": 6},
    }
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(), np.geterr())
    wanted = Search(toy_config(tmp_path / "a", **values), quiet=True, report=False).run()
    result = Search(toy_config(tmp_path / "b", **values), quiet=True, report=False, callbacks=[Meddler()]).run()
    assert journal_without_times(result.folder) == journal_without_times(wanted.folder)
    assert result.best == wanted.best
    after = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(), np.geterr())
    assert after == before


def test_a_failing_callback_ends_a_search_with_worker_processes(tmp_path: Path) -> None:
    small: dict[str, Any] = {"space": "toy", "fitness": {"proxies": {"naswot": {}}}, "strategy": "random"}
    config = toy_config(tmp_path, **small, budget={"evaluations": 8}, workers=2)
    with pytest.raises(CallbackError):
        Search(config, quiet=True, report=False, callbacks=[Failing("on_evaluation", 3)]).run()
    assert len(read_journal(tmp_path / "run" / "journal.jsonl").evaluations) == 3
    assert Search(config, quiet=True, report=False, callbacks=[Recorder()]).run().counts["unique"] == 8


def test_callbacks_are_taken_wherever_a_search_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    values: dict[str, Any] = {"name": "run", "space": "toy", "fitness": {"proxies": {"params": {}}}}
    values |= {"strategy": {"name": "genetic", "population": 2}, "budget": {"evaluations": 100}}
    values |= {"data": {"source": "noise", "shape": [3, 8, 8], "n": 4}}
    path.write_text(json.dumps({**values, "workers": 1, "cache": "off", "runs": str(tmp_path / "runs")}))
    recorders = [Recorder() for _ in range(3)]
    openings = (
        lambda callbacks: open_search(path, quiet=True, callbacks=callbacks),
        lambda callbacks: Search.from_yaml(path, quiet=True, callbacks=callbacks).open(),
        lambda callbacks: Search.from_folder(tmp_path / "runs" / "run", quiet=True, callbacks=callbacks).open(),
    )
    for recorder, opened in zip(recorders, openings, strict=True):
        with opened([recorder]) as running:
            while not recorder.evaluations:
                running.tell(running.evaluate(running.ask()))
    told = [number for recorder in recorders for number, _ in recorder.evaluations]
    assert told == list(range(1, len(told) + 1)) and all(recorder.closed == 1 for recorder in recorders)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [([Recorder], "is not a callback; give an instance"), ([print], "is not a callback"), (Recorder(), "callbacks must be a list")],
)
def test_what_is_no_callback_is_refused_before_the_search(tmp_path: Path, callbacks: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search(tmp_path, callbacks)
    assert not list(tmp_path.iterdir())
