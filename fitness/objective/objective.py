"""Objectives: one raw score, a rank aggregate of several scores, or several objectives, recomputed over the current archive.

Scores of different proxies have different scales, so they are combined by rank (AZ-NAS, Lee & Ham, CVPR 2024;
Rank-based NAS). For member k and a reference set of m candidates without failed members, let less and equal be the
numbers of reference scores below and equal to the score of the candidate, including the candidate:

    rank_k = less + (equal + 1) / 2                                ascending, best = m, ties averaged
    linear:  utility = sum_k w_k (rank_k / m) / sum_k w_k          the weighted mean of rank / m
    log:     utility = exp(sum_k w_k log(rank_k / m) / sum_k w_k)  the weighted geometric mean

Utilities lie in (0, 1] and order candidates like the weighted sums of rank / m and log(rank / m). The rule "log"
penalises a single bad rank. References:

    archive     all candidates evaluated so far
    generation  the keys of one `utility` call, each counted once (`ranking` passes all keys at once)
    sample      a fixed set given to `set_reference`; each candidate, also a member of the sample, is ranked as if
                inserted: (less + (equal + 2) / 2) / (m + 1), with less and equal counted in the sample only, so
                that equal scores have equal utilities whether or not they are in the sample

Several objectives (`pareto`: proxies and a rank aggregate, which are maximised, and costs, which are minimised) form a front
and not an order. The utility of the rank aggregate changes with every evaluation, and so may the front. For strategies that need
one number, the utility is the sorting criterion of NSGA-II: the front among the keys of one `utility` call, then the crowding
distance, as a share in (0, 1] (`rbflex_evo.fitness.objective.pareto`).

A candidate with a failed member is in no reference set and has the utility -inf. Failures of proxies that are not members are
ignored. Utilities are rounded to 12 decimals, so that ties do not depend on the order of a sum.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from rbflex_evo.fitness.costs.metric import metric_type
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Parameters, near_name, parse
from rbflex_evo.spaces.errors import shown

MINIMISE = "minimise"
RANK = "rank"
"""Name of a rank aggregate among several objectives."""


class ObjectiveParameters(Parameters):
    """Section ``fitness.objective`` of a configuration, in one of three forms.

    The forms are `{score: rbflex}`, `{rank: [rbflex, naswot], rule: log, weights: [2, 1], reference: archive}` and
    `{pareto: [rbflex, {minimise: flops}], reference_point: [-9500, 3.0e8]}`. The reference point is that of the hypervolume,
    in the order and the units of the members. One member of `pareto` may be a rank aggregate, `{rank: [rbflex, naswot]}` with the
    keys of the second form, or `{preset: rbflex_robust}`; its value is in (0, 1].

    Attributes:
        score: The one score that is maximised.
        rank: Scores that are combined by rank.
        pareto: Several objectives: scores, metrics as ``{minimise: flops}``, and a rank aggregate as ``{rank: [rbflex, naswot]}``
            or ``{preset: rbflex_robust}``.
        reference_point: Reference point of the hypervolume, in the order and units of the members.
        weights: One weight for each score of ``rank``; equal by default.
        rule: Weighted mean of ranks (``linear``) or of their logarithms (``log``).
        reference: What ranks are computed against: all candidates so far, a fixed sample, or the candidates of one call.
        sample: Size of the fixed sample.
    """

    score: str | None = None
    rank: list[str] | None = None
    pareto: list[str | dict[str, Any]] | None = None
    reference_point: list[float] | None = None
    weights: list[float] | None = None
    rule: Literal["linear", "log"] = "log"
    reference: Literal["archive", "sample", "generation"] = "archive"
    sample: int = Field(100, ge=1)

    def check(self, proxies: Iterable[str], where: str = "fitness.objective") -> None:
        """Checks the combination of keys.

        Args:
            proxies: Names of the configured proxies.
            where: Path of the section, for error messages.

        Raises:
            ConfigError: If not exactly one of score, rank and pareto is given, a name is not a configured proxy or is a
                duplicate, a weight is missing or not positive, or a key does not apply to the form.
            UnknownNameError: If no metric has the name of a minimised member.
        """
        forms = [form for form in ("score", "rank", "pareto") if getattr(self, form) is not None]
        if len(forms) != 1:
            which = f"has both of {forms[0]!r} and {forms[1]!r}" if forms else "has none of 'score', 'rank' and 'pareto'"
            raise ConfigError(
                f"{where!r} {which}; give one: {{score: rbflex}}, {{rank: [rbflex, naswot]}} or "
                "{pareto: [rbflex, {minimise: flops}]}"
            )
        self._check_keys_apply(where, forms[0])
        if self.score is not None:
            _check_names([self.score], proxies, f"{where}.score")
        elif self.pareto is not None:
            _check_pareto(self, proxies, where)
        else:
            members = self.rank or []
            _check_names(members, proxies, f"{where}.rank")
            _check_weights(self.weights, len(members), f"{where}.weights")

    @property
    def minimised(self) -> dict[str, dict[str, Any]]:
        """Parameters of each metric that is minimised."""
        entries = [entry for entry in self.pareto or [] if not isinstance(entry, str) and RANK not in entry]
        return {str(entry.get(MINIMISE)): {k: v for k, v in entry.items() if k != MINIMISE} for entry in entries}

    def aggregates(self, where: str = "fitness.objective") -> list[ObjectiveParameters]:
        """Returns the rank aggregates among several objectives.

        Args:
            where: Path of the section, for error messages.

        Raises:
            ConfigError: If a key is unknown or of a wrong type.
        """
        entries = [entry for entry in self.pareto or [] if not isinstance(entry, str) and RANK in entry]
        return [parse(ObjectiveParameters, entry, f"{where}.pareto.{RANK}") for entry in entries]

    def _check_keys_apply(self, where: str, form: str) -> None:
        # Compare values instead of the keys that were set, because saved configurations contain all defaults.
        fields = type(self).model_fields
        changed = [name for name in fields if getattr(self, name) != fields[name].default]
        for name in ("weights", "rule", "reference", "sample"):
            if form != "rank" and name in changed:
                raise ConfigError(f"'{where}.{name}' belongs to 'rank', but {form!r} is given; leave it out")
        if form != "pareto" and self.reference_point is not None:
            raise ConfigError(f"'{where}.reference_point' belongs to 'pareto', but {form!r} is given; leave it out")
        if "sample" in changed and self.reference != "sample":
            raise ConfigError(f"'{where}.sample' needs 'reference: sample', but the reference is {self.reference!r}")


@dataclass(frozen=True)
class Objective:
    """Validated objective.

    Attributes:
        members: Names of the proxies, in order; with the rule "pareto" also of metrics, and `RANK` for `aggregate`.
        rule: "score" (the raw score of the only member), "linear", "log" or "pareto".
        weights: One positive weight per member.
        reference: Reference set of the ranks; not used without ranks.
        sample: Number of candidates that the engine draws for the reference "sample".
        minimised: Members that are metrics, for the rule "pareto".
        reference_point: Reference point of the hypervolume in the units of the members; None for the worst values of a run.
        aggregate: Rank aggregate that is the member `RANK`, for the rule "pareto"; its reference is that of the objective.
    """

    members: tuple[str, ...]
    rule: Literal["score", "linear", "log", "pareto"] = "score"
    weights: tuple[float, ...] = ()
    reference: Literal["archive", "sample", "generation"] = "archive"
    sample: int = 100
    minimised: tuple[str, ...] = ()
    reference_point: tuple[float, ...] | None = None
    aggregate: Objective | None = None

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.members))

    @property
    def ranked(self) -> bool:
        """True if scores are combined by rank."""
        return self.rule in ("linear", "log")

    @property
    def signs(self) -> tuple[float, ...]:
        """Sign of each member: -1 if it is minimised, otherwise 1."""
        return tuple(-1.0 if member in self.minimised else 1.0 for member in self.members)

    @property
    def ranks(self) -> Objective | None:
        """The objective that ranks scores: itself, or the rank aggregate among several objectives; None without ranks."""
        return self if self.ranked else self.aggregate

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores that are read, those of the rank aggregate first."""
        ranked = () if self.aggregate is None else self.aggregate.members
        own = (member for member in self.members if member not in self.minimised and not self._is_aggregate(member))
        return tuple(dict.fromkeys((*ranked, *own)))

    @property
    def width(self) -> int:
        """Number of values of a candidate, see `values`."""
        return len(self.members) if self.aggregate is None else len(self.aggregate.members) + len(self.members) - 1

    def values(self, evaluation: Evaluation) -> tuple[float, ...] | None:
        """Returns one value per member, higher is better, or None if a member failed.

        With a rank aggregate among several objectives, these are the scores of the aggregate, and then the values of the other
        members.

        Raises:
            ValueError: If a member has neither a finite value nor a failure.
        """
        ranked = () if self.aggregate is None else self.aggregate.values(evaluation)
        members = [pair for pair in zip(self.members, self.signs, strict=True) if not self._is_aggregate(pair[0])]
        if ranked is None or any(member in evaluation.failures for member, _ in members):
            return None
        values = list(ranked)
        for member, sign in members:
            value = (evaluation.costs if sign < 0 else evaluation.scores).get(member)
            if value is None or not math.isfinite(value):
                raise ValueError(
                    f"evaluation of key {evaluation.key!r} must have a finite {'cost' if sign < 0 else 'score'} or a failure "
                    f"for {member!r}, but its {'cost' if sign < 0 else 'score'} is {value}"
                )
            values.append(sign * value)
        return tuple(values)

    def _is_aggregate(self, member: str) -> bool:
        return self.aggregate is not None and member == RANK


def create_objective(parameters: ObjectiveParameters, proxies: Iterable[str]) -> Objective:
    """Returns the objective for parameters and the names of the configured proxies.

    Raises:
        ConfigError: If `ObjectiveParameters.check` fails.
    """
    parameters.check(proxies)
    if parameters.score is not None:
        return Objective((parameters.score,))
    if parameters.pareto is not None:
        point = parameters.reference_point
        aggregate = next((create_objective(one, proxies) for one in parameters.aggregates()), None)
        front = Objective(
            members=tuple(_member(entry) for entry in parameters.pareto),
            rule="pareto",
            minimised=tuple(parameters.minimised),
            reference_point=None if point is None else tuple(float(value) for value in point),
            aggregate=aggregate,
        )
        return front if aggregate is None else replace(front, reference=aggregate.reference, sample=aggregate.sample)
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
            raise ConfigError(f"{where!r}: {shown(name)} is not a configured proxy{near_name(name, known)}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"{where!r} names {shown(twice[0])} twice; to make it count for more, set 'weights'")


def _member(entry: str | Mapping[str, Any]) -> str:
    return entry if isinstance(entry, str) else RANK if RANK in entry else str(entry[MINIMISE])


def _check_pareto(parameters: ObjectiveParameters, proxies: Iterable[str], where: str) -> None:
    entries = parameters.pareto or []
    here = f"{where}.pareto"
    for entry in entries:
        if not isinstance(entry, str) and RANK not in entry and not isinstance(entry.get(MINIMISE), str):
            raise ConfigError(
                f"{here!r}: should hold proxies, metrics such as {{minimise: flops}} and ranks such as "
                f"{{rank: [rbflex, naswot]}}, but one is {shown(entry)}"
            )
    for name, given in parameters.minimised.items():
        known = metric_type(name).Parameters.model_fields
        unknown = [key for key in given if key not in known]
        if unknown:
            raise ConfigError(f"unknown key {shown(f'{here}.{name}.{unknown[0]}')}{near_name(str(unknown[0]), [MINIMISE, *known])}")
    members = [_member(entry) for entry in entries]
    scores = [entry for entry in entries if isinstance(entry, str)]
    aggregates = parameters.aggregates(where)
    twice = [name for name, count in Counter(members).items() if count > 1]
    if twice:
        raise ConfigError(f"{here!r} names {shown(twice[0])} twice; name every objective once")
    if len(members) < 2 or not (scores or aggregates):
        raise ConfigError(f"{here!r} must have at least two members, one of them a proxy or a rank, but it has {members}")
    for aggregate in aggregates:
        aggregate.check(proxies, f"{here}.{RANK}")
        if aggregate.reference == "generation":
            raise ConfigError(
                f"'{here}.{RANK}.reference' must be archive or sample, but it is generation, which compares one batch"
            )
    if scores:
        _check_names(scores, proxies, here)
    point = parameters.reference_point
    if point is not None and len(point) != len(members):
        raise ConfigError(f"'{where}.reference_point' must have one value a member, {len(members)}, but it has {len(point)}")


def _check_weights(weights: list[float] | None, members: int, where: str) -> None:
    if weights is None:
        return
    if len(weights) != members:
        raise ConfigError(f"{where!r} must have one weight a member, {members}, but it has {len(weights)}")
    for weight in weights:
        if weight <= 0:
            raise ConfigError(f"{where!r} must be positive, but one is {weight}; drop a member of no weight")
