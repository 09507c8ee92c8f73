"""Constraints on costs, and two ways to handle candidates that break one.

    reject   The candidate is not evaluated and uses no budget. Strategies see it as a known candidate that failed.
    deb      The candidate is evaluated and ordered by the rules of Deb (Comput. Methods Appl. Mech. Eng. 186, 2000): a feasible
             candidate is better than an infeasible one; of two feasible candidates, the one of better objective is better; of
             two infeasible candidates, the one of smaller total violation is better.

A violation is normalised by its bound b, so that violations of different costs may be added: (cost - b) / |b| above a maximum,
(b - cost) / |b| below a minimum, 0 if the constraint holds. |b| is replaced by 1 if b is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rbflex_evo.fitness.costs.metric import metric_type
from rbflex_evo.spaces import ConfigError, Parameters, near_name, parse
from rbflex_evo.spaces.errors import shown


@dataclass(frozen=True)
class Constraint:
    """Bounds on one cost; None for no bound."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    def violation(self, cost: float) -> float:
        """Returns the normalised distance of a cost from the bounds; 0 inside."""
        outside = 0.0
        if self.maximum is not None and cost > self.maximum:
            outside = (cost - self.maximum) / (abs(self.maximum) or 1.0)
        if self.minimum is not None and cost < self.minimum:
            outside = (self.minimum - cost) / (abs(self.minimum) or 1.0)
        return outside

    def __str__(self) -> str:
        above = "" if self.maximum is None else f" <= {written(self.maximum)}"
        if self.minimum is None:
            return f"{self.metric}{above}"
        return f"{written(self.minimum)} <= {self.metric}{above}" if above else f"{self.metric} >= {written(self.minimum)}"


@dataclass(frozen=True)
class Constraints:
    """All constraints of a search.

    Attributes:
        limits: Constraints in the order of the configuration.
        handling: What happens to candidates that break a constraint.
        rejections: Number of rejected architectures in a row that ends the search; None for the default.
        metrics: Parameters of each metric.
    """

    limits: tuple[Constraint, ...] = ()
    handling: Literal["reject", "deb"] = "reject"
    rejections: int | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def rejecting(self) -> tuple[Constraint, ...]:
        """Constraints that reject candidates."""
        return self.limits if self.handling == "reject" else ()

    @property
    def ordering(self) -> tuple[Constraint, ...]:
        """Constraints that Deb's rules order candidates by."""
        return self.limits if self.handling == "deb" else ()

    def __str__(self) -> str:
        return " and ".join(map(str, self.limits))


def violation(constraints: Sequence[Constraint], costs: Mapping[str, float]) -> float:
    """Returns the sum of the violations of all known costs."""
    return sum(c.violation(costs[c.metric]) for c in constraints if c.metric in costs)


def deb_utilities(utilities: np.ndarray, violations: np.ndarray, bounded: bool) -> np.ndarray:
    """Returns utilities that order candidates by Deb's rules; equal if the rules make no difference.

    Args:
        utilities: Utilities, float64 [n]; only those of feasible candidates are used.
        violations: Total violation of each candidate, float64 [n]; 0 for feasible candidates.
        bounded: True if utilities lie in (0, 1] and must stay there. Otherwise those of feasible candidates do not change.
    """
    infeasible = violations > 0
    levels, places = np.unique(violations[infeasible], return_inverse=True)
    result = utilities.copy()
    if bounded:
        result[~infeasible] = np.round((1 + utilities[~infeasible]) / 2, 12)
        result[infeasible] = (len(levels) - places) / (2 * (len(levels) + 1))
    else:
        floor = utilities[~infeasible].min() if (~infeasible).any() else 0.0
        # Steps are as large as the floor, so that they are not lost to rounding.
        result[infeasible] = floor - max(1.0, abs(floor)) * (1 + places)
    return result


def read_constraints(section: Mapping[str, Any], where: str = "fitness.constraints") -> Constraints:
    """Reads ``{params: {max: 1.0e6}, latency: {max: 5.0, device: cpu}, handling: reject, rejections: 1000}``.

    Args:
        section: The section of the configuration.
        where: Path of the section, for error messages.

    Raises:
        ConfigError: If a metric has no bound, its minimum is above its maximum, or a key is unknown.
        UnknownNameError: If no metric has one of the names.
    """
    settings = parse(_Settings, {key: section[key] for key in _Settings.model_fields if key in section}, where)
    limits, metrics = [], {}
    for name, given in section.items():
        if name not in _Settings.model_fields:
            constraint, metrics[name] = _read_one(name, given, f"{where}.{name}")
            limits.append(constraint)
    return Constraints(tuple(limits), settings.handling, settings.rejections, metrics)


class _Settings(Parameters):
    handling: Literal["reject", "deb"] = "reject"
    rejections: int | None = None


class _Bounds(Parameters):
    min: float | None = None
    max: float | None = None


def _read_one(name: str, given: Any, where: str) -> tuple[Constraint, dict[str, Any]]:
    parameters = metric_type(name).Parameters.model_fields
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where!r}: should be bounds such as {{max: 1.0e6}}, but it is {shown(given)}")
    unknown = [key for key in given if key not in {*_Bounds.model_fields, *parameters}]
    if unknown:
        known = {*_Bounds.model_fields, *parameters}
        raise ConfigError(f"unknown key {shown(f'{where}.{unknown[0]}')}{near_name(str(unknown[0]), known)}")
    bounds = parse(_Bounds, {key: given[key] for key in _Bounds.model_fields if key in given}, where)
    if bounds.min is None and bounds.max is None:
        raise ConfigError(f"{where!r} has no bound; give it a 'max' or a 'min', as in {{{name}: {{max: 1.0e6}}}}")
    if bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
        raise ConfigError(f"{where!r}: min {bounds.min:g} is above max {bounds.max:g}, so nothing satisfies it; swap them")
    return Constraint(name, bounds.min, bounds.max), {key: given[key] for key in given if key in parameters}


def written(value: float) -> str:
    """Formats a cost: whole numbers in full with separators, others with 6 digits."""
    return f"{value:,.0f}" if value == math.floor(value) and abs(value) < 1e15 else f"{value:.6g}"
