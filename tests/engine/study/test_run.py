"""A comparison over several settings: every setting is the comparison that it would be alone, and nothing is run twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rbflex_evo.engine.comparison.compare import Runs, run_all
from rbflex_evo.engine.comparison.facts import judged
from rbflex_evo.engine.comparison.plan import folder_of, run_config
from rbflex_evo.engine.comparison.run import Job, run_one, trace_path
from rbflex_evo.engine.comparison.trace import Trace, read_trace
from rbflex_evo.engine.configuration.compare_settings import settings_of
from rbflex_evo.engine.configuration.config import Config, as_values
from rbflex_evo.engine.configuration.unset import settled_comparison
from rbflex_evo.engine.run.folder import own_config
from rbflex_evo.engine.study.facts import documents_of, scale_of, study_of
from rbflex_evo.engine.study.run import run_settings
from rbflex_evo.engine.terminal.interrupt import Interrupt, Interrupted
from rbflex_evo.fitness.measuring.tabulated import TabulatedEvaluator
from rbflex_evo.spaces import ConfigError, DataError, RunError, create_space
from rbflex_evo.strategies import STRATEGIES, own_strategies
from rbflex_evo.strategies.random_search import RandomSearch
from tests.support.instant import InstantEvaluator, journal_without_times
from tests.support.replay import SPACE, compare_config, write_scores

SMALL = {"name": "toy", "genes": 4, "choices": 3, "channels": 4}
STRATEGY: dict[str, Any] = {"name": "genetic", "population": 10}
BOTH = {"naswot": {}, "synflow": {}}
# Two objectives of the table, one of them a rank.
OBJECTIVES: list[Any] = [
    {"proxies": BOTH, "objective": {"score": "naswot"}, "label": "naswot"},
    {"proxies": BOTH, "objective": {"rank": ["naswot", "synflow"]}, "label": "both"},
]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scores(tmp_path_factory.mktemp("table") / "scores.npz")


def replayed(tmp_path: Path, scores: Path, strategies: list[Any] | None = None, **compare: Any) -> Config:
    spans = {"objectives": OBJECTIVES, "budgets": [40, 23], "seeds": 3, **compare}
    return compare_config(tmp_path, {"strategies": strategies or ["random", STRATEGY], **spans}, scores=str(scores), workers=1)


def live(tmp_path: Path, **compare: Any) -> Config:
    spans = {"spaces": [SMALL, {**SMALL, "genes": 3, "label": "tiny"}], "objectives": ["params"], "budgets": [9, 14], "seeds": 2}
    compare = {"strategies": ["random", STRATEGY], **spans, **compare}
    return compare_config(tmp_path, compare, cache="off", workers=1)


def timeless(trace: Trace | None) -> dict[str, Any]:
    assert trace is not None
    return {name: value for name, value in vars(trace).items() if not name.startswith("time_")}


def untimed(runs: Runs) -> dict[Any, Any]:
    return {where: timeless(trace) for where, trace in runs.traces.items()}


def alone(config: Config, tmp_path: Path, label: str) -> Runs:
    """Runs the comparison of one setting in a folder of its own."""
    (setting,) = [setting for setting in settings_of(config) if setting.label == label]
    return run_all(setting.config.model_copy(update={"runs": str(tmp_path / "alone")}), quiet=True)


def test_every_setting_is_the_comparison_that_it_would_be_alone(tmp_path: Path, scores: Path) -> None:
    config = replayed(tmp_path, scores)
    found = run_settings(config, quiet=True)
    assert [setting.label for setting in found.settings] == ["toy-naswot-40", "toy-naswot-23", "toy-both-40", "toy-both-23"]
    assert found.folder == folder_of(config)
    for setting, runs in zip(found.settings, found.runs, strict=True):
        assert runs.folder == found.folder / f"{setting.label}-compare"
        assert untimed(runs) == untimed(alone(config, tmp_path, setting.label))


def asked_by(config: Config, job: Job, shorter: list[Config]) -> list[str]:
    """Makes one run with instant scores and returns the keys that were measured."""
    evaluator = InstantEvaluator(create_space(**SPACE))
    assert run_one(config, job, evaluator, {"inputs": None, "backend": None}, lambda: False, shorter) is None
    return evaluator.asked


class Planning(RandomSearch):
    """Proposes other genotypes the more evaluations are left, and says so."""

    name = "planning"
    depends_on_budget = True

    def ask(self, n: int, view: Any) -> list[Any]:
        self.rng.random(n)
        return super().ask(n, view)


@pytest.fixture(autouse=True)
def _planning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES._known, "planning", Planning)


@pytest.mark.parametrize("strategy", [*own_strategies(), "planning"])
def test_a_longer_run_goes_on_from_a_shorter_one_and_ends_as_if_it_had_not(tmp_path: Path, strategy: str) -> None:
    first = settled_comparison(compare_config(tmp_path, {"strategies": [strategy], "seeds": 1}), create_space(**SPACE))
    # Of equal parameters: those that follow the first budget.
    compare = {"strategies": (first.compare or {})["strategies"], "budgets": [23, 110, 160], "seeds": 1}
    configs = [setting.config for setting in settings_of(compare_config(tmp_path, compare))]
    job = Job(configs[0].plan().contenders[0], 0)
    measured: list[str] = []
    for i, config in enumerate(configs):
        measured += asked_by(config, job, configs[:i])
        plain = config.model_copy(update={"runs": str(tmp_path / "plain")})
        asked_by(plain, job, [])
        journals = [run_config(one, job.contender, 0).folder for one in (config, plain)]
        assert journal_without_times(journals[0]) == journal_without_times(journals[1])
        traces = [read_trace(trace_path(run_config(one, job.contender, 0))) for one in (config, plain)]
        assert timeless(traces[0]) == timeless(traces[1])
    if strategy == "planning":
        assert len(measured) == 23 + 110 + 160
    else:
        # Of the last batch of a shorter run, which its budget cut, a strategy may propose others: fewer than 8 of each of two.
        assert 160 <= len(measured) <= 160 + 2 * 7


def test_a_longer_run_that_was_stopped_resumes_from_its_own_files(tmp_path: Path) -> None:
    compare = {"strategies": [{"name": "genetic", "population": 10, "mutation": 0.2}], "budgets": [30, 90], "seeds": 1}
    short, long = (setting.config for setting in settings_of(compare_config(tmp_path, compare)))
    job = Job(short.plan().contenders[0], 0)
    asked_by(short, job, [])
    evaluator = InstantEvaluator(create_space(**SPACE))
    with pytest.raises(Interrupted):
        run_one(long, job, evaluator, {"inputs": None, "backend": None}, lambda: len(evaluator.asked) == 25, [short])
    assert len(evaluator.asked + asked_by(long, job, [short])) == 60
    # The files of a process that died while they were copied.
    folder = run_config(long, job.contender, 0).folder
    shutil.rmtree(folder)
    trace_path(run_config(long, job.contender, 0)).unlink()
    folder.with_name(".0.new").mkdir()
    assert len(asked_by(long, job, [short])) == 60


def test_budgets_beyond_the_space_end_where_the_space_does(tmp_path: Path) -> None:
    compare = {"spaces": [{**SMALL, "genes": 2}], "budgets": [20, 30], "objectives": ["params"], "seeds": 1}
    config = live(tmp_path, **compare)
    for runs in run_settings(config, quiet=True).runs:
        assert {trace.evaluations for trace in runs.traces.values()} == {6}
        assert all("every architecture" in trace.stop_reason for trace in runs.traces.values())


def test_settings_that_measure_share_a_reference_over_their_budgets(tmp_path: Path) -> None:
    config = live(tmp_path)
    found = run_settings(config, quiet=True)
    short, long = (runs for setting, runs in zip(found.settings, found.runs, strict=True) if setting.problem == "toy-params")
    assert short.pool == long.pool
    assert short.pool is not None
    judgements = [judged(setting.config, runs) for setting, runs in zip(found.settings, found.runs, strict=True)]
    assert [document.reference.of for document, _ in judgements] == ["all that any run evaluated"] * 4
    assert judgements[0][0].reference.best == judgements[1][0].reference.best
    # Again, from the files alone.
    again = run_settings(config, quiet=True)
    assert [untimed(runs) for runs in again.runs] == [untimed(runs) for runs in found.runs]
    assert [runs.pool for runs in again.runs] == [runs.pool for runs in found.runs]


def test_a_stopped_comparison_resumes_where_it_was(tmp_path: Path, scores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replayed(tmp_path, scores)
    evaluate = TabulatedEvaluator.evaluate
    calls = 0

    def interrupting(self: TabulatedEvaluator, pairs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            with Interrupt() as interrupt:
                interrupt.requested = True
        return evaluate(self, pairs)

    with monkeypatch.context() as patches:
        patches.setattr(TabulatedEvaluator, "evaluate", interrupting)
        with pytest.raises(Interrupted, match=r"stopped after \d+ of 24 runs, all saved; the same command resumes"):
            run_settings(config, quiet=True)
    done = {path: path.stat().st_mtime_ns for path in folder_of(config).glob("*/*/*.json")}
    assert 0 < len(done) < 24
    resumed = run_settings(config, quiet=True)
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    whole = run_settings(replayed(tmp_path / "whole", scores), quiet=True)
    assert [untimed(runs) for runs in resumed.runs] == [untimed(runs) for runs in whole.runs]


def test_more_settings_and_seeds_add_to_what_is_there(tmp_path: Path, scores: Path) -> None:
    first = replayed(tmp_path, scores, budgets=[23, 30], seeds=2)
    run_settings(first, quiet=True)
    done = {path: path.stat().st_mtime_ns for path in folder_of(first).glob("*/*/*.json")}
    more = run_settings(replayed(tmp_path, scores, budgets=[23, 30, 40]), quiet=True)
    assert len(done) == 16
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    assert [len(runs.traces) for runs in more.runs] == [6] * 6


def test_a_failed_run_is_told_and_tried_again(tmp_path: Path, scores: Path) -> None:
    config = replayed(tmp_path, scores)
    broken = folder_of(config) / "toy-both-40-compare" / "genetic" / "1"
    broken.mkdir(parents=True)
    (broken / "stranger.txt").write_text("no run")
    setting = next(setting for setting in settings_of(config) if setting.label == "toy-both-40")
    (broken.parents[1] / "config.yaml").write_text(yaml.safe_dump(as_values(setting.config)))
    (folder_of(config) / "config.yaml").write_text("name: toy")
    found = run_settings(config, quiet=True)
    document = study_of(config, found.settings, [(made, reference) for _, made, reference in documents_of(found)])
    assert [(row.setting, row.label, row.seed) for row in document.failures] == [("toy-both-40", "genetic", 1)]
    assert [len(runs.traces) for runs in found.runs] == [6, 6, 5, 6]
    (broken / "stranger.txt").unlink()
    assert [len(runs.traces) for runs in run_settings(config, quiet=True).runs] == [6] * 4


def test_a_setting_that_cannot_run_ends_before_the_first_run(tmp_path: Path, scores: Path) -> None:
    missing = {"settings": [{}, {"space": SMALL, "scores": "none.npz", "label": "lost"}], "objectives": []}
    with pytest.raises(ConfigError, match=r"^lost: there is no table of scores 'none\.npz'"):
        run_settings(replayed(tmp_path, scores, **missing), quiet=True)
    images = {
        "settings": [{}, {"space": SMALL, "data": {"source": "folder", "root": "nowhere"}, "label": "blind"}],
        "objectives": [],
    }
    with pytest.raises(DataError, match=r"^blind: "):
        run_settings(replayed(tmp_path, scores, **images), quiet=True)
    assert not folder_of(replayed(tmp_path, scores)).exists()


def test_a_folder_of_one_setting_is_left_alone(tmp_path: Path, scores: Path) -> None:
    run_all(compare_config(tmp_path, {"strategies": ["random"], "seeds": 1}, scores=str(scores)), quiet=True)
    with pytest.raises(RunError, match="holds no comparison of several settings"):
        run_settings(replayed(tmp_path, scores), quiet=True)


def test_the_scale_of_a_setting_is_the_best_above_the_median(tmp_path: Path, scores: Path) -> None:
    config = replayed(tmp_path, scores)
    found = run_settings(config, quiet=True)
    _, document, reference = next(documents_of(found))
    with np.load(scores) as table:
        values = table["naswot"][np.isfinite(table["naswot"])]
    assert scale_of(reference) == pytest.approx(values.max() - np.median(values))
    assert document.reference.of == "the whole table"


def test_the_configuration_that_is_kept_gives_the_same_settings(tmp_path: Path) -> None:
    config = live(tmp_path)
    run_settings(config, quiet=True)
    assert settings_of(own_config(folder_of(config) / "config.yaml")) == settings_of(config)
