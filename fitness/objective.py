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

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from spaces import ConfigError, Parameters, near_name


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
