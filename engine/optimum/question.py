"""What is to be proved: the objective of a configuration within its constraints, or quantities by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.costs.metric import METRICS, CostSubject, Metric, create_metric, metric_type, metrics_named
from rbflex_evo.fitness.measuring.tabulated import TabulatedScores
from rbflex_evo.fitness.optimum.prove import Method, Proof, prove
from rbflex_evo.fitness.optimum.quantity import Goal, Limit, Quantity, cost_quantity, score_quantity
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.fitness.proxies.proxy import create_proxy
from rbflex_evo.spaces import ConfigError, SearchSpace, UnknownNameError, near_name
from rbflex_evo.spaces.errors import shown


class NotProvable(ConfigError):
    """Raised if an objective is none whose optimum follows from architectures alone."""


@dataclass(frozen=True)
class Question:
    """A question about a whole space.

    Attributes:
        space: The search space.
        goals: What to maximise or minimise.
        limits: Bounds on quantities.
    """

    space: SearchSpace
    goals: tuple[Goal, ...]
    limits: tuple[Limit, ...] = ()

    def prove(self, seconds: float | None = None, method: Method | None = None) -> Proof:
        """Returns the proof; see `rbflex_evo.fitness.optimum.prove.prove`."""
        return prove(self.space, self.goals, self.limits, seconds=seconds, method=method)


def question_of(parts: Assembly) -> Question:
    """Returns the question for the best that a search of a configuration can find.

    Args:
        parts: Parts of the configuration.

    Raises:
        NotProvable: If the objective reads ranks, or a score or cost that is measured.
    """
    objective = parts.objective
    if objective.ranks is not None:
        raise NotProvable(
            "the objective is a combination of ranks, which depend on what was evaluated; "
            "name quantities with --maximise or --minimise"
        )
    if parts.raw:
        raise NotProvable("a score of this configuration is of raw networks, which one architecture may have several of")
    named = metrics_named(parts.constraints.metrics, parts.config.fitness.objective.minimised)
    for name in named:
        if not metric_type(name).repeatable:
            raise NotProvable(f"no optimum of {name!r} can be proved, because it is measured")
    table = parts.tabulated().table if parts.config.scores is not None else None
    costs = {name: cost_quantity(create_metric(name, parts.space, values, where)) for name, (values, where) in named.items()}
    # A count may be both a score, of inputs of the data's shape, and a cost.
    twice = costs.keys() & set(objective.scores)
    costs |= {name: replace(costs[name], name=f"{name} (cost)") for name in twice}
    goals = []
    for member in objective.members:
        minimised = member in objective.minimised
        goals.append(Goal(costs[member] if minimised else _score(parts, member, table), not minimised))
    limits = [Limit(costs[one.metric], one.minimum, one.maximum) for one in parts.constraints.limits]
    return Question(parts.space, tuple(goals), tuple(limits))


def _score(parts: Assembly, name: str, table: TabulatedScores | None) -> Quantity:
    if table is not None:
        return tabulated(parts.space, table, name)
    proxy = parts.proxies[name]
    if proxy.needs != "network" or proxy.cost != "data-free":
        raise NotProvable(f"no optimum of the score {name!r} can be proved, because it is measured; tabulate it, or use a count")
    return score_quantity(proxy, parts.space, tuple(parts.batch.images.shape[1:]))


def tabulated(space: SearchSpace, table: TabulatedScores, name: str) -> Quantity:
    """Returns a score of a table as a quantity; an architecture without a row has none."""
    scores, rows = table.scores[name], table.rows

    def of(network: CostSubject) -> float:
        row = rows.get(space.key(network.genotype))
        if row is None or np.isnan(scores[row]):
            raise CandidateFailed("the table has no score of it")
        return float(scores[row])

    return Quantity(name, of, fast=True)


def named_question(
    space: SearchSpace,
    maximise: Sequence[str] = (),
    minimise: Sequence[str] = (),
    limits: Mapping[str, float | Mapping[str, float]] | None = None,
    files: Mapping[str, str] | None = None,
) -> Question:
    """Returns the question for quantities by name: costs as ``params`` and ``flops``, or counts among the scores as ``nsc``.

    Args:
        space: The search space.
        maximise: Quantities to maximise.
        minimise: Quantities to minimise.
        limits: Largest allowed value by quantity, or ``{"min": ..., "max": ...}``.
        files: File that a cost reads, by its name.

    Raises:
        ConfigError: If a quantity is measured, or no goal is named.
        UnknownNameError: If a name is neither that of a cost nor that of a score.
    """
    if not maximise and not minimise:
        raise ConfigError("nothing is to be proved; name a quantity to maximise or to minimise, such as params or flops")
    known: dict[str, Quantity] = {}

    def quantity(name: str) -> Quantity:
        if name not in known:
            known[name] = _named(name, space, (files or {}).get(name))
        return known[name]

    goals = [*(Goal(quantity(name)) for name in maximise), *(Goal(quantity(name), False) for name in minimise)]
    bounds = []
    for name, given in (limits or {}).items():
        bound = given if isinstance(given, Mapping) else {"max": given}
        bounds.append(Limit(quantity(name), bound.get("min"), bound.get("max")))
    return Question(space, tuple(goals), tuple(bounds))


def _named(name: str, space: SearchSpace, file: str | None) -> Quantity:
    values: dict[str, Any] = {} if file is None else {"path": file}
    if _metric(name) is not None:
        return cost_quantity(create_metric(name, space, values))
    if name not in PROXIES.names():
        raise UnknownNameError(f"there is no cost or count {shown(name)}{near_name(name, [*METRICS.names(), *_counts()])}")
    return score_quantity(create_proxy(name), space)


def _counts() -> list[str]:
    """Returns the names of the scores that read no image."""
    return [name for name in PROXIES.names() if PROXIES.get(name).needs == "network" and PROXIES.get(name).cost == "data-free"]


def files_of(names: Sequence[str], files: Mapping[str, Path | None]) -> dict[str, str]:
    """Returns the file of each cost that reads one.

    Args:
        names: Names of quantities.
        files: The file of a "predictor" and of a "table" of devices; None for none.

    Raises:
        ConfigError: If the file of a cost is not given.
    """
    found = {}
    for name in dict.fromkeys(names):
        metric = _metric(name)
        if metric is None or "path" not in metric.Parameters.model_fields:
            continue
        kind = "predictor" if name.partition(":")[0] == "predicted" else "table"
        file = files[kind]
        if file is None:
            raise ConfigError(f"{name!r} is read from a file; give it with --{kind} FILE")
        found[name] = str(file)
    return found


def _metric(name: str) -> type[Metric] | None:
    """Returns the class of a metric, or None if there is none of that name."""
    try:
        return metric_type(name)
    except UnknownNameError:
        return None
