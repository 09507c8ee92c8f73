"""The format of comparison.json, which holds the result of a comparison: values by the common reference, accuracies, tests.

None is a number that is not known or not defined.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rbflex_evo.engine.optimum.facts import OptimumFacts
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.result_document import Part
from rbflex_evo.fitness.objective.objective import Objective

VERSION: Literal[1] = 1

FILE = "comparison.json"

RunRow = dict[str, str | int | float | None]
"""One run as a row of runs.csv; it has columns for each data set."""


class Curve(Part):
    """Inter-quartile means over the runs of a contender [points], and the bounds of their bootstrap interval."""

    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


class Anytime(Part):
    """Curves of all contenders, by data set for accuracies, then by label; `evaluations` [points] is their axis."""

    evaluations: list[int]
    score: dict[str, Curve]
    regret: dict[str, Curve]
    accuracy: dict[str, dict[str, Curve]]
    accuracy_regret: dict[str, dict[str, Curve]]


class RunSpread(Part):
    """Distribution of a number over runs; `known` is the number of runs that have it."""

    mean: float | None = None
    deviation: float | None = None
    best: float | None = None
    median: float | None = None
    worst: float | None = None
    known: int


class AccuracySpread(RunSpread):
    """Distribution of an accuracy over runs; `regret` is the best accuracy of the table minus the mean."""

    regret: float | None


class Times(Part):
    """Milliseconds per evaluation."""

    scoring_ms: float | None = None
    strategy_ms: float | None = None


class ContenderRow(Part):
    """Final values of a contender, and how soon its runs reached the 99th percentile."""

    label: str
    runs: int
    score: RunSpread
    regret: RunSpread
    reached: int
    evaluations_to_99th_percentile: float | None
    at_best: int
    accuracy: dict[str, AccuracySpread]
    time: Times
    strategy: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    failed: int = 0


class PairTest(Part):
    """Paired test of the score regret of two contenders; see `paired_tests.Paired`."""

    first: str
    second: str
    seeds: int
    wins: int
    ties: int
    losses: int
    p: float | None
    effect: float | None
    p_holm: float | None = None


class PairTests(Part):
    """Tests of all pairs, and of every contender against random search; each is a family of Holm's correction."""

    all: list[PairTest]
    against_random: list[PairTest]


class BestArchitecture(Part):
    """An architecture with the best value of the common reference, its scores and accuracies."""

    key: str
    notation: str
    scores: dict[str, float]
    accuracy: dict[str, float | None]


class BestAccuracy(Part):
    """The best architecture of a table of accuracies."""

    notation: str
    accuracy: float


class ReferenceFacts(Part):
    """The common reference: what it is taken over, its best value and its 99th percentile."""

    of: str
    architectures: int
    failed: int
    best: float
    threshold: float
    argmax: list[BestArchitecture]
    argmax_count: int
    best_accuracy: dict[str, BestAccuracy]


class FailedRun(Part):
    """A run that failed, and why."""

    label: str
    seed: int
    reason: str


class ComparisonDocument(Part):
    """The content of comparison.json; `not_proved` says why the optimum is not proved where it could be."""

    version: Literal[1] = VERSION
    name: str
    space: str
    objective: Objective
    budget: int
    seeds: list[int]
    replayed: bool
    reference: ReferenceFacts
    contenders: list[ContenderRow]
    baseline: str | None
    anytime: Anytime
    pairs: PairTests
    runs: list[RunRow]
    failures: list[FailedRun]
    environment: dict[str, str]
    optimum: OptimumFacts | None = None
    not_proved: str = ""

    def by_regret(self) -> list[ContenderRow]:
        """Returns the contenders that have a score regret, the least mean first."""
        known = [(row.regret.mean, row) for row in self.contenders if row.regret.mean is not None]
        return [row for _, row in sorted(known, key=lambda pair: pair[0])]


def write_comparison(folder: Path, document: ComparisonDocument) -> None:
    """Writes comparison.json into the folder of a comparison.

    Raises:
        RunError: if it cannot be written.
    """
    content = document.model_dump(mode="json")
    replace_text(folder / FILE, json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
