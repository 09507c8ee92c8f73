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
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field

from spaces import ConfigError, Genotype, Parameters, near_name

from .evaluation import Evaluation
from .ranks import Ranks

Values = tuple[float, ...]

# A strategy and the loop ask for the key of a genotype one after the other; a batch is remembered, a run is not.
KEYS_REMEMBERED = 4096


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
