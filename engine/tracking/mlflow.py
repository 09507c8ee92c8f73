"""Writes a search into MLflow: its configuration as parameters, curves while it runs, result and report as artifacts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rbflex_evo.engine.run.folder import own_text, own_values
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.search.callback import Callback, SearchProgress
from rbflex_evo.engine.search.result import Result
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError

from .values import Values

# Marks the MLflow run of a search, so that a resumed session finds it, wherever the folder was moved.
TAG = "rbflex_evo.started"
# MLflow takes at most 1,000 values in one call.
BATCH = 500
LONGEST = 500


class MLflow(Callback):
    """Callback that writes one MLflow run for each search; needs the extra ``mlflow``.

    The metrics are those of `TensorBoard`; a step is a unique evaluation. They are written in batches, at the latest with each
    snapshot. A resumed search goes on with its MLflow run. Nothing global is set: neither a tracking URI nor an active run.

    Args:
        experiment: Name of the experiment, which is created if it does not exist.
        uri: Tracking URI, such as ``sqlite:///mlflow.db`` for a local file without a server; by default the one that MLflow uses.

    Raises:
        ConfigError: If MLflow is not installed.
    """

    def __init__(self, experiment: str = "rbflex-evo", uri: str | None = None) -> None:
        if find_spec("mlflow") is None:
            raise ConfigError("MLflow() needs the package mlflow; install it: pip install 'rbflex-evo[mlflow]'")
        self._experiment, self._uri = experiment, uri
        self._begin()

    def _begin(self) -> None:
        self._client: Any = None
        self._run = ""
        self._ended = False
        self._metrics: list[Any] = []
        self._values = Values()

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        """Notes the metrics of an evaluation."""
        from mlflow.entities import Metric

        self._open(progress.folder)
        now = int(1000 * time.time())
        values = self._values.of(evaluation, progress)
        self._metrics += [Metric(name, value, now, progress.evaluations) for name, value in values.items()]
        if len(self._metrics) >= BATCH:
            self._flush()

    def on_snapshot(self, progress: SearchProgress) -> None:
        """Writes the metrics so far."""
        self._flush()

    def on_end(self, result: Result) -> None:
        """Writes the found architecture and the files of the run, and ends the MLflow run."""
        self._open(result.folder)
        self._flush()
        self._client.set_tag(self._run, "rbflex_evo.stopped", result.stop_reason)
        if result.best is not None:
            self._client.set_tag(self._run, "rbflex_evo.found", result.best.notation)
        for name in ("result.json", "report.html", "architecture.png"):
            if (result.folder / name).is_file():
                self._client.log_artifact(self._run, str(result.folder / name))
        self._client.set_terminated(self._run, "FINISHED")
        self._ended = True

    def close(self) -> None:
        """Writes the metrics of a search that was stopped, and marks its MLflow run as killed."""
        try:
            if self._client is not None and not self._ended:
                self._flush()
                self._client.set_terminated(self._run, "KILLED")
        finally:
            self._begin()

    def _flush(self) -> None:
        metrics, self._metrics = self._metrics, []
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(self._run, metrics=metrics[first : first + BATCH])

    def _open(self, folder: Path) -> None:
        """Finds the MLflow run of an earlier session, or creates one."""
        if self._client is not None:
            return
        from mlflow.tracking import MlflowClient

        client: Any = MlflowClient(tracking_uri=self._uri)
        known = client.get_experiment_by_name(self._experiment)
        experiment = client.create_experiment(self._experiment) if known is None else known.experiment_id
        header = read_journal(folder / "journal.jsonl").header or {}
        started = repr(header.get("time_started"))
        earlier = client.search_runs([experiment], filter_string=f"tags.`{TAG}` = '{started}'", max_results=1)
        if earlier:
            self._run = earlier[0].info.run_id
            client.update_run(self._run, status="RUNNING")
        else:
            self._run = client.create_run(experiment, run_name=folder.name, tags={TAG: started}).info.run_id
            config = folder / "config.yaml"
            for name, value in _parameters(own_values(config, own_text(config))):
                client.log_param(self._run, name, value)
            client.log_artifact(self._run, str(config))
        self._client = client


def _parameters(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yields the leaves of a configuration as (path, text)."""
    for key, value in values.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from _parameters(value, path)
        else:
            yield path, str(value)[:LONGEST]
