"""Scores and known accuracies of the same architectures, before they are judged or drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["score", "combination", "count", "baseline"]


@dataclass(frozen=True)
class Column:
    """One score of all architectures.

    Attributes:
        name: Name that is shown.
        kind: A single score, a combination of several by rank, a count, or a random baseline.
        values: float64 [A], higher is better, NaN where it failed.
        about: Rule and members of a combination, as text.
        reseeded: The same score under other weight seeds, float64 [A] each.
    """

    name: str
    kind: Kind
    values: np.ndarray
    about: str = ""
    reseeded: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Accuracies:
    """What one table knows about the architectures.

    Attributes:
        dataset: Name of the data set.
        source: Name of the table.
        values: float64 [A], percent, NaN where unknown.
        runs: float64 [A, R], the accuracies of each training run, NaN where unknown; R is 0 if the table has one figure each.
    """

    dataset: str
    source: str
    values: np.ndarray
    runs: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
