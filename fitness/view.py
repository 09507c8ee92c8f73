"""What is known in a run and what it is worth now: every evaluation by key, behind the strategies' view."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from spaces import ConfigError, Genotype

from .evaluation import Evaluation
from .objective import Objective
from .ranks import Ranks

Values = tuple[float, ...]

# A strategy and the loop ask for the key of a genotype one after the other; a batch is remembered, a run is not.
KEYS_REMEMBERED = 4096


class ArchiveView:
    """All evaluations of a run by key, in the order told, and what they are worth now: the strategies' view.

    Args:
        objective: how scores become a utility.
        key_of: returns the canonical key of a genotype.
    """

    def __init__(self, objective: Objective, key_of: Callable[[Genotype], str]) -> None:
        self.objective = objective
        self._key_of = lru_cache(KEYS_REMEMBERED)(key_of)
        self._evaluations: list[Evaluation] = []
        self._positions: dict[str, int] = {}
        # The members' values of one evaluation behind those of the other, NaN where one failed.
        self._values = array("d")
        self._archive = Ranks(len(objective.members))
        self._sample: Ranks | None = None

    def __len__(self) -> int:
        return len(self._evaluations)

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every evaluation, in the order told."""
        return list(self._evaluations)

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""
        return self._key_of(genotype)

    def seen(self, key: str) -> bool:
        """True if that key was evaluated in this run."""
        return key in self._positions

    def get(self, key: str) -> Evaluation:
        """Returns the evaluation of that key.

        Raises:
            LookupError: if it was not evaluated.
        """
        if key not in self._positions:
            raise _not_evaluated(key)
        return self._evaluations[self._positions[key]]

    def add(self, evaluation: Evaluation) -> bool:
        """Takes one evaluation; returns False, and changes nothing, if its key is known already.

        Raises:
            ValueError: if a member of the objective has neither a finite score nor a failure.
        """
        if evaluation.key in self._positions:
            return False
        values = self._members_of(evaluation)
        self._positions[evaluation.key] = len(self._evaluations)
        self._evaluations.append(evaluation)
        self._values.extend((math.nan,) * len(self.objective.members) if values is None else values)
        if values is not None and self.objective.rule != "score" and self.objective.reference == "archive":
            self._archive.add(values)
        return True

    def set_reference(self, evaluations: Iterable[Evaluation]) -> None:
        """Fixes the set that the reference "sample" ranks against; failed ones are left out.

        Raises:
            ConfigError: if every one of them failed.
        """
        rows = [values for values in map(self._members_of, evaluations) if values is not None]
        if not rows:
            raise ConfigError(
                "no candidate of the reference sample could be scored; "
                "enlarge 'sample' or use 'reference: archive'"
            )
        self._sample = Ranks(len(self.objective.members), rows)

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys)], what each key is worth now, -inf if it failed; compare within one call.

        Raises:
            LookupError: if a key was not evaluated.
            RuntimeError: if the reference is "sample" and `set_reference` was not called.
        """
        try:
            positions = [self._positions[key] for key in keys]
        except KeyError as unknown:
            raise _not_evaluated(unknown.args[0]) from None
        return self._utility(np.array(positions, dtype=np.intp))

    def ranking(self) -> list[str]:
        """Returns every key, best first; ties in the order told, failed ones last."""
        order = np.argsort(-self._utility(np.arange(len(self))), kind="stable")
        return [self._evaluations[i].key for i in order]

    def incumbent(self) -> Evaluation | None:
        """Returns the best evaluation, the earliest of equals, or None while nothing has succeeded."""
        utilities = self._utility(np.arange(len(self)))
        if not len(utilities) or np.isneginf(utilities.max()):
            return None
        return self._evaluations[int(np.argmax(utilities))]

    def _members_of(self, evaluation: Evaluation) -> Values | None:
        if any(member in evaluation.failures for member in self.objective.members):
            return None
        for member in self.objective.members:
            score = evaluation.scores.get(member)
            if score is None or not math.isfinite(score):
                raise ValueError(
                    f"evaluation of key {evaluation.key!r} must have a finite score or a failure "
                    f"for {member!r}, but its score is {score}"
                )
        return tuple(evaluation.scores[member] for member in self.objective.members)

    def _utility(self, positions: np.ndarray) -> np.ndarray:
        rows = np.frombuffer(self._values).reshape(-1, len(self.objective.members))[positions]
        result = np.full(len(positions), -np.inf)
        alive = ~np.isnan(rows[:, 0])
        if alive.any():
            result[alive] = self._worth(rows[alive], positions[alive])
        return result

    def _worth(self, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        if self.objective.rule == "score":
            return rows[:, 0]
        if self.objective.reference == "sample":
            if self._sample is None:
                raise RuntimeError("utility() with 'reference: sample' was called before set_reference().")
            less, upto = self._sample.counts(rows)
            shares = (less + upto + 2) / (2 * (len(self._sample) + 1))
        elif self.objective.reference == "generation":
            _, first = np.unique(positions, return_index=True)
            less, upto = Ranks(rows.shape[1], rows[first]).counts(rows)
            shares = (less + upto + 1) / (2 * len(first))
        else:
            less, upto = self._archive.counts(rows)
            shares = (less + upto + 1) / (2 * len(self._archive))
        return self._combine(shares)

    def _combine(self, shares: np.ndarray) -> np.ndarray:
        weights = np.array(self.objective.weights)
        terms = np.log(shares) if self.objective.rule == "log" else shares
        mean = (terms * weights).sum(axis=1) / weights.sum()
        return np.round(np.exp(mean) if self.objective.rule == "log" else mean, 12)


def _not_evaluated(key: str) -> LookupError:
    return LookupError(f"key {key!r} was not evaluated in this run; ask seen() first")
