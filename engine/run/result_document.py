"""The format of result.json, which holds the result of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from rbflex_evo.spaces import RunError

VERSION = 1


class Part(BaseModel):
    """Base of the parts of a document: strict types; unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class CandidateRecord(Part):
    """One of the best architectures of the run."""

    genotype: list[int]
    notation: str
    key: str
    scores: dict[str, float]
    costs: dict[str, float] = {}


class TableFacts(Part):
    """The accuracy of the found architecture in the table; accuracies and percentile in percent, None if unknown."""

    name: str
    dataset: str
    accuracy: float | None = None
    percentile: float | None = None
    best: float | None = None
    best_notation: str | None = None
    mean: float | None = None


class Outcome(Part):
    """The result of a finished run."""

    stop_reason: str
    best: CandidateRecord | None = None
    top: list[CandidateRecord] = []
    counts: dict[str, int] = {}
    time_seconds: float = 0.0
    evaluator: dict[str, Any] = {}
    table: TableFacts | None = None
    environment: dict[str, Any] = {}


def read_document(path: Path) -> dict[str, Any] | None:
    """Returns the content of result.json, or None if the run has not finished.

    Raises:
        RunError: If the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if content["version"] == VERSION and content["finished"] else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(f"{path} is damaged; remove it, and resuming the run writes it again") from None


def read_outcome(path: Path) -> Outcome | None:
    """Returns the parts of result.json that a report uses, or None if the run has not finished.

    Raises:
        RunError: If the file is damaged.
    """
    document = read_document(path)
    if document is None:
        return None
    try:
        return Outcome.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise RunError(f"{path} is damaged: {name}: {problem['msg']}, but it is {problem['input']!r:.60}") from None
