"""Kendall's tau-b of the scores of the same candidates in two forms, of each score and of the objective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rbflex_evo.engine.agreement.kendall import Statistic, agreement
from rbflex_evo.engine.run.result_document import Agreement
from rbflex_evo.fitness.evaluation import Evaluation

OBJECTIVE = "objective"
"""Name of the agreement of an objective that combines several scores."""


def agreements(
    first: Sequence[Evaluation], second: Sequence[Evaluation], utilities: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, Agreement]:
    """Returns the agreement of both forms by score; a candidate that failed ranks below all others.

    Args:
        first: Evaluations in one form.
        second: Evaluations of the same candidates in the other form, in the same order.
        utilities: Utility of each candidate in both forms, if the objective combines several scores.
    """
    names = dict.fromkeys(name for evaluation in (*first, *second) for name in evaluation.scores)
    found = {name: _of(agreement(_values(first, name), _values(second, name))) for name in names}
    return found if utilities is None else {**found, OBJECTIVE: _of(agreement(*utilities))}


def _values(evaluations: Sequence[Evaluation], name: str) -> np.ndarray:
    return np.array([evaluation.scores.get(name, np.nan) for evaluation in evaluations], dtype=np.float64)


def _of(found: Statistic) -> Agreement:
    return Agreement(kendall=found.value, low=found.low, high=found.high)
