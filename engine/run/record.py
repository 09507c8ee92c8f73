"""The record of a run, read from its folder. Nothing in the folder is changed, so the record of a live run can be read, too."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.costs.metric import metrics_named
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraints, read_constraints
from rbflex_evo.fitness.objective.objective import Objective, ObjectiveParameters, create_objective
from rbflex_evo.spaces import RunError, UnknownNameError, parse
from rbflex_evo.spaces.errors import shown

from .folder import damaged, own_parsed, own_text, own_values
from .journal import JournalContent, read_journal
from .result_document import Candidate, ResultDocument, check_journal, read_result


@dataclass(frozen=True)
class RunRecord:
    """The content of a run's folder.

    Attributes:
        folder: The folder of the run.
        config: The configuration as a mapping, with at least ``name``, ``space`` and ``fitness``.
        config_text: The configuration, verbatim.
        content: The content of the journal.
        outcome: The content of result.json, or None while the run is unfinished.
    """

    folder: Path
    config: dict[str, Any]
    config_text: str
    content: JournalContent
    outcome: ResultDocument | None = None

    @property
    def evaluations(self) -> list[Evaluation]:
        """The evaluations, in the order in which the strategy was told."""
        return self.content.evaluations

    @property
    def form(self) -> dict[str, Any] | None:
        """The cheaper form in which the search scored: the keys of ``fidelity`` except ``rescore``; None if it is the full form."""
        given = self.config.get("fidelity")
        return {key: value for key, value in given.items() if key != "rescore"} if isinstance(given, dict) else None

    @property
    def judged(self) -> list[Evaluation]:
        """The candidates among which the found one was chosen: of a finished run in a cheaper form the rescored ones, else all."""
        return self.evaluations if self.form is None or self.outcome is None else self.content.rescored

    def view(self) -> ArchiveView:
        """Returns the candidates among which the found one was chosen, with their utilities.

        Raises:
            ConfigError: If the objective or the constraints of the configuration are wrong.
        """
        ordering = self.constraints.ordering
        if self.judged is not self.evaluations:
            return ArchiveView.among(self.objective, self.judged, ordering)
        return ArchiveView.of(self.objective, self.evaluations, self.content.references, ordering)

    @property
    def arrivals(self) -> np.ndarray:
        """When the strategy was told each evaluation: float64 [n], in seconds since the start."""
        return np.array(self.content.arrivals, dtype=np.float64)

    @property
    def rejected(self) -> int:
        """Number of architectures that a constraint excluded from evaluation."""
        return sum(not look.admitted for look in self.content.looks)

    @property
    def proxies(self) -> list[str]:
        """The scores of the run, the members of the objective first, in its order."""
        return list(dict.fromkeys([*self.members, *self.config["fitness"].get("proxies", {})]))

    @property
    def members(self) -> list[str]:
        """The scores that the objective reads."""
        objective = self.config["fitness"].get("objective") or {}
        several: list[str] = []
        for entry in objective.get("pareto") or []:
            several += [entry] if isinstance(entry, str) else entry.get("rank") or []
        return list(objective.get("rank") or dict.fromkeys(several) or filter(None, [objective.get("score")]))

    @property
    def metrics(self) -> list[str]:
        """The costs that constraints or the objective name."""
        return list(dict.fromkeys(name for evaluation in self.evaluations for name in evaluation.costs))

    @property
    def constraints(self) -> Constraints:
        """The constraints of the search.

        Raises:
            ConfigError, UnknownNameError: If the constraints of the configuration are wrong.
        """
        return read_constraints(self.config["fitness"].get("constraints") or {})

    @property
    def objective(self) -> Objective:
        """The objective of the search.

        Raises:
            ConfigError: If the objective of the configuration is wrong.
        """
        return create_objective(self._objective_parameters, self.config["fitness"].get("proxies", {}))

    @property
    def metric_parameters(self) -> dict[str, tuple[dict[str, Any], str]]:
        """Parameters of each metric that constraints or the objective name, with the path of their key.

        Raises:
            ConfigError: If the objective or the constraints of the configuration are wrong.
        """
        return metrics_named(self.constraints.metrics, self._objective_parameters.minimised)

    @property
    def _objective_parameters(self) -> ObjectiveParameters:
        proxies = self.config["fitness"].get("proxies", {})
        values = self.config["fitness"].get("objective") or {"score": next(iter(proxies), None)}
        return parse(ObjectiveParameters, values, "fitness.objective")

    def scores(self, name: str, *, judged: bool = False) -> np.ndarray:
        """Returns one raw score of each evaluation, float64 [n]; NaN if any score of the candidate failed.

        Args:
            name: The score.
            judged: Whether to return it for each of `judged` instead of each evaluation of the search.
        """
        told = self.judged if judged else self.evaluations
        return np.array([math.nan if e.failures else e.scores.get(name, math.nan) for e in told])

    def position(self, candidate: Candidate) -> int | None:
        """Returns the index of a candidate's evaluation, or None if the journal does not hold it."""
        return next((i for i, e in enumerate(self.evaluations) if e.key == candidate.key), None)


def read_run(folder: Path) -> RunRecord:
    """Reads the folder of a run, finished or not.

    Raises:
        RunError: If the folder is not that of a run, or a file in it is damaged; the message names the file and what to do.
    """
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        raise RunError(f"{folder} is not a run folder: it has no config.yaml; name the folder that a search wrote")
    config_text = own_text(path)
    # In this order: a search that ends in between has all evaluations of its result in the journal.
    outcome = read_result(folder / "result.json")
    content = read_journal(folder / "journal.jsonl")
    check_journal(outcome, content, folder)
    return RunRecord(
        folder=folder,
        config=_config(path, config_text),
        config_text=config_text,
        content=content,
        outcome=outcome,
    )


def _config(path: Path, text: str) -> dict[str, Any]:
    config = own_values(path, text)
    missing = [key for key in ("name", "space", "fitness") if key not in config]
    if missing:
        raise damaged(path, f"{missing[0]!r} is missing")
    if not isinstance(config["fitness"], dict) or not isinstance(config["fitness"].get("proxies", {}), dict):
        raise damaged(path, f"'fitness' must map 'proxies' to scores, but it is {shown(config['fitness'])}")
    # A name that is not registered here, or an invalid name of the run, must not prevent reading what was measured.
    with contextlib.suppress(UnknownNameError):
        own_parsed(path, {**config, "name": "run"})
    return config


def why_nothing(run: RunRecord) -> str:
    """Returns the reason why a run has no best candidate, as half a sentence, and what to do if the run is unfinished."""
    if run.outcome is None:
        way_out = f"; go on with: rbflex-evo resume {run.folder}"
        return f"{_why_nothing(run, ' yet', ' so far')}{way_out}"
    return _why_nothing(run, f", since {run.outcome.stop_reason}", "")


def _why_nothing(run: RunRecord, ending: str, so_far: str) -> str:
    if not run.evaluations:
        return f"nothing was evaluated{ending}"
    outside = "" if all(evaluation.failed for evaluation in run.evaluations) else " or breaks a limit"
    return f"every candidate{so_far} failed{outside}, and its report says why"
