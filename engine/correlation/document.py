"""The format of correlate.json, which holds every statistic of every score by every table of accuracies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.result_document import Part

from .columns import Accuracies, Column, Kind
from .ordering import Statistic

VERSION: Literal[1] = 1

FILE = "correlate.json"

Judged = dict[str, dict[str, Statistic]]
"""Statistics by score, then by name."""


class ScoreFacts(Part):
    """What a score is, what it is made of, and for how many architectures it failed."""

    kind: Kind
    about: str
    failed: int


class JudgedTable(Part):
    """One table of accuracies and the statistics by it; `best` and `mean` are of the architectures that it knows, in percent."""

    dataset: str
    source: str
    known: int
    best: float
    mean: float
    scores: Judged


class CorrelationDocument(Part):
    """The content of correlate.json."""

    version: Literal[1] = VERSION
    name: str
    space: str
    architectures: int
    networks: int
    sample: dict[str, Any] | None
    resamples: int
    seed: int
    level: float
    tops: list[int]
    draws: list[int]
    scores: dict[str, ScoreFacts]
    tables: list[JudgedTable]
    environment: dict[str, str]


@dataclass(frozen=True)
class Correlation:
    """The scores and accuracies that were compared, and the document with the statistics."""

    folder: Path
    columns: list[Column]
    known: list[Accuracies]
    document: CorrelationDocument


def write_correlation(folder: Path, document: CorrelationDocument) -> None:
    """Writes correlate.json into the folder of a correlation.

    Raises:
        RunError: if it cannot be written.
    """
    replace_text(folder / FILE, json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
