"""What MLflow holds of a search, in a database file without a server; skipped where MLflow is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine import MLflow
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.spaces import ConfigError
from tests.support.tracked import Curves, assert_equal, curves_of, tracked_search


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database, which takes seconds to create."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # MLflow keeps artifacts in the working directory.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def read(store: str, experiment: str) -> tuple[Any, Any, Curves]:
    """Returns the client, the only run of an experiment, and its curves."""
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=store)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return client, run, {name: sorted((each.step, each.value) for each in history) for name, history in histories.items()}


@pytest.mark.slow
def test_a_search_is_a_run_with_its_configuration_curves_and_result(tmp_path: Path, store: str) -> None:
    result = tracked_search(tmp_path / "runs", MLflow("whole", uri=store)).run()
    client, run, curves = read(store, "whole")
    assert_equal(curves, curves_of(read_journal(result.folder / "journal.jsonl").evaluations))
    assert run.info.status == "FINISHED" and run.info.run_name == "run"
    wanted = {"space.name": "toy", "space.genes": "6", "strategy.population": "20", "budget.evaluations": "50"}
    assert wanted.items() <= run.data.params.items()
    assert result.best is not None and run.data.tags["rbflex_evo.found"] == result.best.notation
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {"config.yaml", "result.json"}


@pytest.mark.slow
def test_a_stopped_search_is_marked_and_a_resumed_one_goes_on_with_its_run(tmp_path: Path, store: str) -> None:
    callback = MLflow("parts", uri=store)
    with tracked_search(tmp_path / "runs", callback).open() as running:
        running.tell(running.evaluate(running.ask()))
        running.evaluate(running.ask())
    _, run, curves = read(store, "parts")
    told = read_journal(tmp_path / "runs" / "run" / "journal.jsonl").evaluations
    assert run.info.status == "KILLED" and 0 < len(told) < 50
    assert_equal(curves, curves_of(told))
    # Another object, as in another process.
    result = tracked_search(tmp_path / "runs", MLflow("parts", uri=store)).run()
    _, again, curves = read(store, "parts")
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"
    assert_equal(curves, curves_of(read_journal(result.folder / "journal.jsonl").evaluations))


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbflex_evo.engine.tracking.mlflow.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package mlflow; install it: pip install 'rbflex-evo\[mlflow\]'"):
        MLflow()
