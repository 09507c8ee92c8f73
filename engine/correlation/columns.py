"""What scores and known accuracies of the same architectures are, side by side, before anything is judged or drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Column:
    """One score of all architectures.

    Attributes:
        name: as it is shown.
        kind: a single score, a combination of several by rank, or a baseline.
        values: float64 [A], higher is better, NaN where it failed.
        about: what it is made of, in words.
    """

    name: str
    kind: Literal["score", "combination", "baseline"]
    values: np.ndarray
    about: str = ""


@dataclass(frozen=True)
class Known:
    """What one table knows of the architectures: float64 [A], percent, NaN where it does not know."""

    dataset: str
    source: str
    accuracies: np.ndarray


@dataclass(frozen=True)
class Correlation:
    """All that was compared, and the document that keeps what was found."""

    folder: Path
    columns: list[Column]
    known: list[Known]
    document: dict[str, Any]
