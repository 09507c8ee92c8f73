"""What a candidate is worth: one raw score or a rank aggregate of several, recomputed over what is known now.

Scores of different proxies live on unlike scales, so they are combined by rank (AZ-NAS, Lee & Ham, CVPR 2024;
Rank-based NAS). For member k and a reference set of m candidates none of whose members failed, with less and
equal the numbers of reference scores below and at the candidate's own score, itself included:

    rank_k = less + (equal + 1) / 2                                ascending, best = m, ties averaged
    linear:  utility = sum_k w_k (rank_k / m) / sum_k w_k          the weighted mean of rank / m
    log:     utility = exp(sum_k w_k log(rank_k / m) / sum_k w_k)  the weighted geometric mean

They order candidates as the plain weighted sums of rank / m and log(rank / m) do, and lie within (0, 1]; log
punishes one bad rank. References:

    archive     every candidate evaluated so far
    generation  the keys of that one `utility` call, each counted once (`ranking` asks for all keys at once)
    sample      a fixed set given to `set_reference`; every candidate, also one of the sample's own, is ranked as
                if inserted: (less + (equal + 2) / 2) / (m + 1), less and equal counted in the sample alone, so
                that equal scores are worth the same whether or not they are in the sample

A candidate with a failed member is in no reference set and worth -inf. Failures of proxies that are not members
do not count. Utilities are rounded to 12 decimals, so that a tie does not hang on the order of a sum.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from sortedcontainers import SortedList

from spaces import ConfigError, Genotype, Parameters, near_name

from .evaluation import Evaluation

Values = tuple[float, ...]


class ObjectiveParameters(Parameters):
    """`{score: rbflex}`, or `{rank: [rbflex, naswot], rule: log, weights: [2, 1], reference: archive}`."""

    score: str | None = None
    rank: list[str] | None = None
    weights: list[float] | None = None
    rule: Literal["linear", "log"] = "log"
    reference: Literal["archive", "sample", "generation"] = "archive"
    sample: int = Field(100, ge=1)

    def check(self, proxies: Iterable[str], where: str = "fitness.objective") -> None:
        """Checks what one key alone cannot tell, over the configured `proxies`.

        Raises:
            ConfigError: below the key `where`, if not exactly one of score and rank is given, a name is not a configured
                proxy or comes twice, a weight is not positive or missing, or a key does not apply.
        """
        if (self.score is None) == (self.rank is None):
            which = "neither" if self.score is None else "both"
            raise ConfigError(
                f"{where!r} has {which} of 'score' and 'rank'; give one: {{score: rbflex}} or {{rank: [rbflex, naswot]}}"
            )
        self._check_keys_apply(where)
        if self.score is not None:
            _check_names([self.score], proxies, f"{where}.score")
        else:
            members = self.rank or []
            _check_names(members, proxies, f"{where}.rank")
            _check_weights(self.weights, len(members), f"{where}.weights")

    def _check_keys_apply(self, where: str) -> None:
        # By value, not by whether a key was written: a config that was saved in full, defaults too, reads back.
        fields = type(self).model_fields
        changed = [name for name in fields if getattr(self, name) != fields[name].default]
        for name in ("weights", "rule", "reference", "sample"):
            if self.score is not None and name in changed:
                raise ConfigError(f"'{where}.{name}' belongs to 'rank', but 'score' is given; leave it out")
        if "sample" in changed and self.reference != "sample":
            raise ConfigError(
                f"'{where}.sample' needs 'reference: sample', but the reference is {self.reference!r}"
            )


@dataclass(frozen=True)
class Objective:
    """A validated objective.

    Attributes:
        members: the proxies that count, in order.
        rule: "score" (the one member, raw), "linear" or "log".
        weights: one a member, positive.
        reference: what ranks are taken against; not used by "score".
        sample: the number of candidates that the engine draws for the reference "sample".
    """

    members: tuple[str, ...]
    rule: Literal["score", "linear", "log"] = "score"
    weights: tuple[float, ...] = ()
    reference: Literal["archive", "sample", "generation"] = "archive"
    sample: int = 100

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.members))


def create_objective(parameters: ObjectiveParameters, proxies: Iterable[str]) -> Objective:
    """Returns the objective that `parameters` ask for over the configured `proxies`.

    Raises:
        ConfigError: as `ObjectiveParameters.check`.
    """
    parameters.check(proxies)
    if parameters.score is not None:
        return Objective((parameters.score,))
    members = tuple(parameters.rank or ())
    return Objective(
        members=members,
        rule=parameters.rule,
        weights=tuple(float(weight) for weight in parameters.weights or (1.0,) * len(members)),
        reference=parameters.reference,
        sample=parameters.sample,
    )


def _check_names(names: Sequence[str], proxies: Iterable[str], where: str) -> None:
    known = list(proxies)
    if not names:
        raise ConfigError(f"{where!r} is empty; name at least one of the proxies: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ConfigError(f"{where!r}: {name!r} is not a configured proxy{near_name(name, known)}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"{where!r} names {twice[0]!r} twice; to make it count for more, set 'weights'")


def _check_weights(weights: list[float] | None, members: int, where: str) -> None:
    if weights is None:
        return
    if len(weights) != members:
        raise ConfigError(f"{where!r} must have one weight a member, {members}, but it has {len(weights)}")
    for weight in weights:
        if weight <= 0:
            raise ConfigError(f"{where!r} must be positive, but one is {weight}; drop a member of no weight")


class ArchiveView:
    """All evaluations of a run by key, in the order told, and what they are worth now: the strategies' view.

    Args:
        objective: how scores become a utility.
        key_of: returns the canonical key of a genotype.
    """

    def __init__(self, objective: Objective, key_of: Callable[[Genotype], str]) -> None:
        self.objective = objective
        self._key_of = key_of
        self._evaluations: dict[str, Evaluation] = {}
        self._values: dict[str, Values | None] = {}
        self._archive = [SortedList() for _ in objective.members]
        self._sample: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._evaluations)

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every evaluation, in the order told."""
        return list(self._evaluations.values())

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""
        return self._key_of(genotype)

    def seen(self, key: str) -> bool:
        """True if that key was evaluated in this run."""
        return key in self._evaluations

    def get(self, key: str) -> Evaluation:
        """Returns the evaluation of that key.

        Raises:
            LookupError: if it was not evaluated.
        """
        if key not in self._evaluations:
            raise LookupError(f"key {key!r} was not evaluated in this run; ask seen() first")
        return self._evaluations[key]

    def add(self, evaluation: Evaluation) -> bool:
        """Takes one evaluation; returns False, and changes nothing, if its key is known already.

        Raises:
            ValueError: if a member of the objective has neither a finite score nor a failure.
        """
        if evaluation.key in self._evaluations:
            return False
        values = self._members_of(evaluation)
        self._evaluations[evaluation.key] = evaluation
        self._values[evaluation.key] = values
        if values is not None and self.objective.rule != "score":
            for column, value in zip(self._archive, values, strict=True):
                column.add(value)
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
        self._sample = np.sort(np.array(rows, dtype=np.float64), axis=0)

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys)], what each key is worth now, -inf if it failed; compare within one call.

        Raises:
            LookupError: if a key was not evaluated.
            RuntimeError: if the reference is "sample" and `set_reference` was not called.
        """
        for key in keys:
            self.get(key)
        alive = [(i, values) for i, key in enumerate(keys) if (values := self._values[key]) is not None]
        result = np.full(len(keys), -np.inf)
        if alive:
            positions = [i for i, _ in alive]
            rows = np.array([values for _, values in alive], dtype=np.float64)
            result[positions] = self._worth(rows, [keys[i] for i in positions])
        return result

    def ranking(self) -> list[str]:
        """Returns every key, best first; ties in the order told, failed ones last."""
        keys = list(self._evaluations)
        order = np.argsort(-self.utility(keys), kind="stable")
        return [keys[i] for i in order]

    def incumbent(self) -> Evaluation | None:
        """Returns the best evaluation, the earliest of equals, or None while nothing has succeeded."""
        keys = list(self._evaluations)
        utilities = self.utility(keys)
        if not keys or np.isneginf(utilities.max()):
            return None
        return self._evaluations[keys[int(np.argmax(utilities))]]

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

    def _worth(self, rows: np.ndarray, keys: Sequence[str]) -> np.ndarray:
        if self.objective.rule == "score":
            return rows[:, 0].copy()
        if self.objective.reference == "sample":
            if self._sample is None:
                raise RuntimeError("utility() with 'reference: sample' was called before set_reference().")
            less, upto = _counts(self._sample, rows)
            shares = (less + upto + 2) / (2 * (len(self._sample) + 1))
        elif self.objective.reference == "generation":
            distinct = list({key: i for i, key in enumerate(keys)}.values())
            less, upto = _counts(np.sort(rows[distinct], axis=0), rows)
            shares = (less + upto + 1) / (2 * len(distinct))
        else:
            less, upto = self._archive_counts(rows)
            shares = (less + upto + 1) / (2 * len(self._archive[0]))
        return self._combine(shares)

    def _archive_counts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(rows) * 8 > len(self._archive[0]):
            # Sorting anew in numpy is cheaper than many single look-ups; the counts are the same.
            return _counts(np.array([list(column) for column in self._archive]).T, rows)
        pairs = [
            [(column.bisect_left(value), column.bisect_right(value)) for value in rows[:, k]]
            for k, column in enumerate(self._archive)
        ]
        counts = np.array(pairs, dtype=np.float64)
        return counts[:, :, 0].T, counts[:, :, 1].T

    def _combine(self, shares: np.ndarray) -> np.ndarray:
        weights = np.array(self.objective.weights)
        terms = np.log(shares) if self.objective.rule == "log" else shares
        mean = (terms * weights).sum(axis=1) / weights.sum()
        return np.round(np.exp(mean) if self.objective.rule == "log" else mean, 12)


def _counts(reference: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many values of sorted columns [m, members] are below, and at most, those of rows [n, members]."""
    columns = range(rows.shape[1])
    less = [np.searchsorted(reference[:, k], rows[:, k], side="left") for k in columns]
    upto = [np.searchsorted(reference[:, k], rows[:, k], side="right") for k in columns]
    return np.stack(less, axis=1).astype(np.float64), np.stack(upto, axis=1).astype(np.float64)
