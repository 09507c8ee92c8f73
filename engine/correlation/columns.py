"""Scores and known accuracies of the same architectures, before they are judged or drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["score", "combination", "baseline"]


@dataclass(frozen=True)
class Column:
    """One score of all architectures.

    Attributes:
        name: Name that is shown.
        kind: A single score, a combination of several by rank, or a baseline.
        values: float64 [A], higher is better, NaN where it failed.
        about: Rule and members of a combination, as text.
    """

    name: str
    kind: Kind
    values: np.ndarray
    about: str = ""


@dataclass(frozen=True)
class Accuracies:
    """What one table knows about the architectures: float64 [A], percent, NaN where unknown."""

    dataset: str
    source: str
    values: np.ndarray
