"""The numbers of a search as other programs show them, by name, one of each for every evaluation.

- score/NAME: Raw score of the candidate.
- best/NAME: Highest raw score so far, this candidate included.
- cost/NAME: Cost of the candidate.
- failed: Number of failed candidates so far.
"""

from __future__ import annotations

from rbflex_evo.engine.search.callback import SearchProgress
from rbflex_evo.fitness.evaluation import Evaluation


class Values:
    """Turns the evaluations of one session into numbers, going on from what earlier sessions evaluated."""

    def __init__(self) -> None:
        self._best: dict[str, float] = {}
        self._failed = 0
        self._counted = 0

    def of(self, evaluation: Evaluation, progress: SearchProgress) -> dict[str, float]:
        """Returns the numbers of a new evaluation by name."""
        if not self._counted:
            for earlier in progress.told()[:-1]:
                self._count(earlier)
        self._count(evaluation)
        best = {} if evaluation.failed else self._best
        return {
            **{f"score/{name}": value for name, value in evaluation.scores.items()},
            **{f"best/{name}": value for name, value in best.items()},
            **{f"cost/{name}": value for name, value in evaluation.costs.items()},
            "failed": float(self._failed),
        }

    def _count(self, evaluation: Evaluation) -> None:
        self._counted += 1
        self._failed += evaluation.failed
        if not evaluation.failed:
            for name, value in evaluation.scores.items():
                self._best[name] = max(value, self._best.get(name, value))
