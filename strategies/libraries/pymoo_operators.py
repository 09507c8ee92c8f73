"""Operators of pymoo for categorical genotypes: sampling, mutation, and duplicates by the key of the architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.sampling import Sampling

TRIES = 100

NewKey = Callable[[np.ndarray], str | None]


class DistinctSampling(Sampling):  # type: ignore[misc]
    """Draws every variable uniformly, again where the result is not new.

    Args:
        key_of: Returns the key of the candidate that values describe, or None if it is not new or not valid.
    """

    def __init__(self, key_of: NewKey) -> None:
        super().__init__()
        self.key_of = key_of

    def _do(self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any) -> np.ndarray:
        found: dict[str, np.ndarray] = {}
        for _ in range(TRIES * n_samples):
            if len(found) == n_samples:
                break
            values = random_state.integers(problem.xl, problem.xu + 1)
            key = self.key_of(values)
            if key is not None:
                found.setdefault(key, values)
        return np.array([*found.values()]).reshape(-1, problem.n_var)


class Reset(Mutation):  # type: ignore[misc]
    """Replaces each value with another one, drawn uniformly, with probability 1 / (number of variables)."""

    def _do(self, problem: Any, X: np.ndarray, *args: Any, random_state: Any = None, **kwargs: Any) -> np.ndarray:  # noqa: N803
        chosen = random_state.random(X.shape) < self.get_prob_var(problem, size=len(X))[:, None]
        counts = problem.xu + 1
        offsets = random_state.integers(1, counts, size=X.shape)
        return np.where(chosen, (X.astype(int) + offsets) % counts, X).astype(int)


class SameArchitecture(DuplicateElimination):  # type: ignore[misc]
    """Candidates whose architecture is not new are duplicates.

    Args:
        key_of: Returns the key of the candidate that values describe, or None if it is not new or not valid.
    """

    def __init__(self, key_of: NewKey) -> None:
        super().__init__()
        self.key_of = key_of

    def _do(self, pop: Any, other: Any, is_duplicate: np.ndarray) -> np.ndarray:
        taken = set() if other is None else {self.key_of(one.X) for one in other}
        for i, one in enumerate(pop):
            key = self.key_of(one.X)
            is_duplicate[i] = key is None or key in taken
            if other is None:
                taken.add(key)
        return is_duplicate
