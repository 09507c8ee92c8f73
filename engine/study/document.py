"""The format of study.json, which holds the result of a comparison over several settings.

Each setting has a folder of its own with the files of an ordinary comparison. None is a number that is not known or not defined.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rbflex_evo.engine.comparison.document import RunRow
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.result_document import Part

VERSION: Literal[1] = 1

FILE = "study.json"


class Standing(Part):
    """A contender in one setting.

    Attributes:
        label: Label of the contender.
        rank: Rank of its mean regret, 1 for the least, ties shared; a contender without a finished run ranks last.
        regret: Mean score regret over its runs.
        relative_regret: The same, divided by the `scale` of the setting.
        evaluations_to_99th_percentile: Median over its runs; None if more than half of them did not reach it.
        at_best: Number of runs that found the best score known.
        runs: Number of finished runs.
        failed: Number of failed runs.
    """

    label: str
    rank: float
    regret: float | None
    relative_regret: float | None
    evaluations_to_99th_percentile: float | None
    at_best: int
    runs: int
    failed: int


class SettingRow(Part):
    """One setting and how the contenders did in it.

    Attributes:
        label: Label of the setting.
        space: Label of the space.
        objective: Label of the objective.
        budget: Unique evaluations of each run.
        folder: Folder of its comparison, within that of the study.
        best: Best value known.
        best_of: What it is the best of: the whole table of scores, or all that any run evaluated with any budget.
        architectures: Number of these architectures.
        scale: Best value minus the median of these architectures; it makes regrets of settings comparable.
        contenders: The contenders, in the order of the configuration.
    """

    label: str
    space: str
    objective: str
    budget: int
    folder: str
    best: float
    best_of: str
    architectures: int
    scale: float
    contenders: list[Standing]


class MeanRank(Part):
    """A contender over all settings.

    Attributes:
        label: Label of the contender.
        mean_rank: Mean of its ranks over all settings.
        parts: Mean of its ranks over the settings of each budget, space and objective, by its name.
        first: Number of settings in which no other contender has a smaller mean regret.
        relative_regret: Mean of its relative regrets.
        strategy: Name of its strategy.
        parameters: Parameters of its strategy.
    """

    label: str
    mean_rank: float
    parts: dict[str, float]
    first: int
    relative_regret: float | None
    strategy: str
    parameters: dict[str, Any]


class FriedmanTest(Part):
    """Friedman's test; see `ranks.Friedman`."""

    chi_square: float
    f: float | None
    p: float


class SettingPair(Part):
    """Wilcoxon's test of the relative regrets of two contenders, a setting being a pair, with Holm's correction over all pairs."""

    first: str
    second: str
    settings: int
    wins: int
    ties: int
    losses: int
    p: float | None
    effect: float | None
    p_holm: float | None = None
    mean_rank_difference: float


class Staircase(Part):
    """A performance profile; see `profiles.Profile`."""

    bounds: list[float]
    shares: list[float]


class Profiles(Part):
    """Performance profiles by contender.

    Attributes:
        relative_regret: Relative regret minus that of the best contender of the setting.
        evaluations: Evaluations to the 99th percentile, divided by those of the best contender of the setting.
    """

    relative_regret: dict[str, Staircase]
    evaluations: dict[str, Staircase]


class FailedSettingRun(Part):
    """A run that failed, and why."""

    setting: str
    label: str
    seed: int
    reason: str


class StudyDocument(Part):
    """The content of study.json."""

    version: Literal[1] = VERSION
    name: str
    seeds: list[int]
    level: float
    settings: list[SettingRow]
    ranks: list[MeanRank]
    friedman: FriedmanTest | None
    critical_difference: float | None
    groups: list[list[str]] = Field(default_factory=list)
    pairs: list[SettingPair]
    profiles: Profiles
    runs: list[RunRow]
    failures: list[FailedSettingRun]
    environment: dict[str, str]

    def by_rank(self) -> list[MeanRank]:
        """Returns the contenders, the least mean rank first."""
        return sorted(self.ranks, key=lambda row: row.mean_rank)


def write_study(folder: Path, document: StudyDocument) -> None:
    """Writes study.json into the folder of a comparison.

    Raises:
        RunError: If it cannot be written.
    """
    content = document.model_dump(mode="json")
    replace_text(folder / FILE, json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
