"""The format of correlate.json, which holds every statistic of every score by every table of accuracies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.result_document import Part
from rbflex_evo.spaces import RunError

from .ceiling import Ceiling
from .columns import Accuracies, Column, Kind
from .judgement import Verdict

VERSION: Literal[2] = 2

FILE = "correlate.json"

Judged = dict[str, dict[str, Statistic]]
"""Statistics by score, then by name."""


class ScoreFacts(Part):
    """What a score is, what it is made of, and for how many architectures it failed."""

    kind: Kind
    about: str
    failed: int


class JudgedTable(Part):
    """One table of accuracies and the statistics by it.

    Attributes:
        dataset: Name of the data set.
        source: Name of the table.
        known: Number of architectures that it knows.
        best: Their best accuracy in percent.
        mean: Their mean accuracy in percent.
        best_count: Name of the count with the highest Kendall; None if no count orders the architectures.
        pairs_of_one_size: Number of pairs whose parameters differ by less than 10 % of the larger number; None if unknown.
        ceiling: Agreement of the table's own training runs.
        verdicts: Each score beside the best count; None if its Kendall is undefined.
        scores: Statistics of every score, combination, count and baseline.
    """

    dataset: str
    source: str
    known: int
    best: float
    mean: float
    best_count: str | None
    pairs_of_one_size: int | None
    ceiling: Ceiling
    verdicts: dict[str, Verdict | None]
    scores: Judged


class CorrelationDocument(Part):
    """The content of correlate.json."""

    version: Literal[2] = VERSION
    name: str
    space: str
    architectures: int
    networks: int
    sample: dict[str, Any] | None
    resamples: int
    seed: int
    weight_seeds: list[int]
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


def read_correlation(folder: Path) -> CorrelationDocument | None:
    """Returns the content of correlate.json, or None if it does not exist.

    Raises:
        RunError: If the file is damaged or of another version.
    """
    path = Path(folder) / FILE
    try:
        text = path.read_text(encoding="utf-8")
        version = json.loads(text)["version"]
        if version == VERSION:
            return CorrelationDocument.model_validate_json(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # pydantic's ValidationError is a ValueError
        raise RunError(f"{path} is damaged; run correlate again, which writes it anew from the table of scores") from None
    # Outside of the block above, since a RunError is a ValueError, too.
    raise RunError(f"{path} is of version {version}, but this program reads version {VERSION}; run correlate again")
