"""What a run left behind, read back as plain values; nothing in the folder is changed, so a live run may be read too."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.constraints import Constraints, read_constraints
from rbflex_evo.fitness.objective.objective import Objective, ObjectiveParameters, create_objective
from rbflex_evo.spaces import RunError, UnknownNameError, parse

from .folder import damaged, own_parsed, own_text, own_values
from .journal import read_journal
from .result_document import Candidate, ResultDocument, read_result


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it.

    Attributes:
        config: the configuration, at least with ``name``, ``space`` and ``fitness``.
        config_text: the same, verbatim.
        evaluations: in the order in which the strategy was told.
        arrivals: float64 [n], when each was told, in seconds since the start.
        outcome: None while the run is unfinished.
        rejected: architectures that a constraint kept from being evaluated.
    """

    folder: Path
    config: dict[str, Any]
    config_text: str
    evaluations: list[Evaluation]
    arrivals: np.ndarray
    outcome: ResultDocument | None = None
    rejected: int = 0

    @property
    def proxies(self) -> list[str]:
        """The scores of the run: those that the objective reads first, in its order."""
        return list(dict.fromkeys([*self.members, *self.config["fitness"].get("proxies", {})]))

    @property
    def members(self) -> list[str]:
        """The scores that the objective reads."""
        objective = self.config["fitness"].get("objective") or {}
        several = [member for member in objective.get("pareto") or [] if isinstance(member, str)]
        return list(objective.get("rank") or several or filter(None, [objective.get("score")]))

    @property
    def metrics(self) -> list[str]:
        """The costs that constraints or the objective name."""
        return list(dict.fromkeys(name for evaluation in self.evaluations for name in evaluation.costs))

    @property
    def constraints(self) -> Constraints:
        """What a candidate may cost.

        Raises:
            ConfigError, UnknownNameError: if the configuration's are wrong.
        """
        return read_constraints(self.config["fitness"].get("constraints") or {})

    @property
    def objective(self) -> Objective:
        """What the search looked for.

        Raises:
            ConfigError: if the configuration's is wrong.
        """
        proxies = self.config["fitness"].get("proxies", {})
        values = self.config["fitness"].get("objective") or {"score": next(iter(proxies), None)}
        return create_objective(parse(ObjectiveParameters, values, "fitness.objective"), proxies)

    def scores(self, name: str) -> np.ndarray:
        """Returns float64 [n], one raw score of each evaluation; NaN where the candidate failed in any."""
        return np.array([math.nan if e.failures else e.scores.get(name, math.nan) for e in self.evaluations])

    def position(self, candidate: Candidate) -> int | None:
        """Returns which evaluation (from 0) a candidate was, or None if the journal does not hold it."""
        return next((i for i, e in enumerate(self.evaluations) if e.key == candidate.key), None)


def read_run(folder: Path) -> RunRecord:
    """Reads the folder of a run, finished or not.

    Raises:
        RunError: if it is no run folder, or a file of it is damaged, naming the file and the way out.
    """
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        raise RunError(f"{folder} is not a run folder: it has no config.yaml; name the folder that a search wrote")
    config_text = own_text(path)
    journal = folder / "journal.jsonl"
    content = read_journal(journal)
    return RunRecord(
        folder=folder,
        config=_config(path, config_text),
        config_text=config_text,
        evaluations=content.evaluations,
        rejected=sum(not look.admitted for look in content.looks),
        arrivals=_arrivals(journal)[: len(content.evaluations)],
        outcome=read_result(folder / "result.json"),
    )


def _config(path: Path, text: str) -> dict[str, Any]:
    config = own_values(path, text)
    missing = [key for key in ("name", "space", "fitness") if key not in config]
    if missing:
        raise damaged(path, f"{missing[0]!r} is missing")
    if not isinstance(config["fitness"], dict) or not isinstance(config["fitness"].get("proxies", {}), dict):
        raise damaged(path, f"'fitness' must map 'proxies' to scores, but it is {config['fitness']!r}")
    # What is not registered here, or is called as no run may be, does not keep what was measured from being read.
    with contextlib.suppress(UnknownNameError):
        own_parsed(path, {**config, "name": "run"})
    return config


def _arrivals(path: Path) -> np.ndarray:
    # The journal was read and checked before; its reader keeps no time of a single line.
    if not path.exists():
        return np.empty(0)
    with open(path, encoding="utf-8") as file:
        lines = (json.loads(line) for line in file if line.endswith("\n"))
        return np.array([line["time_elapsed"] for line in lines if line["kind"] == "evaluation"], dtype=np.float64)


def why_nothing(run: RunRecord) -> str:
    """Returns why a run has no best candidate, as half a sentence that ends with the way out where there is one."""
    if run.outcome is None:
        way_out = f"; go on with: rbflex-evo resume {run.folder}"
        return f"{_why_nothing(run, ' yet', ' so far')}{way_out}"
    return _why_nothing(run, f", since {run.outcome.stop_reason}", "")


def _why_nothing(run: RunRecord, ending: str, so_far: str) -> str:
    if not run.evaluations:
        return f"nothing was evaluated{ending}"
    outside = "" if all(evaluation.failed for evaluation in run.evaluations) else " or breaks a limit"
    return f"every candidate{so_far} failed{outside}, and its report says why"
