"""Costs of the architectures of a run by key, each counted once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, Genotype, RbflexEvoError, SearchSpace
from rbflex_evo.spaces.errors import reason
from rbflex_evo.spaces.isolation.settings import own_settings

from .metric import CostSubject, Metric


class KnownCosts(NamedTuple):
    """Known costs of one architecture by metric, and reasons of the metrics that failed."""

    costs: dict[str, float]
    failures: dict[str, str]


class CostBook:
    """Counts the costs of architectures by key, each once in a run.

    Args:
        metrics: Metrics in the order in which they are counted.
        space: Search space of the architectures.
        network_of: Returns the genotype that is built to score a key.
    """

    def __init__(self, metrics: Sequence[Metric], space: SearchSpace, network_of: Callable[[str], Genotype]) -> None:
        self.metrics = {metric.name: metric for metric in metrics}
        self._space = space
        self._network_of = network_of
        self._known: dict[str, KnownCosts] = {}

    def look(self, key: str, names: Sequence[str] | None = None, enough: Callable[[str, float], bool] | None = None) -> KnownCosts:
        """Returns the known costs of a key, after counting those that are missing.

        Args:
            key: Canonical key of the architecture.
            names: Names of the metrics to count; None for all.
            enough: Called with the name and value of each cost. If it returns True, or a metric fails, the remaining metrics
                are not counted.
        """
        known = self._known.setdefault(key, KnownCosts({}, {}))
        architecture: CostSubject | None = None
        for name in self.metrics if names is None else names:
            if name not in known.costs and name not in known.failures:
                architecture = architecture or CostSubject(self._space, self._network_of(key))
                self._count(self.metrics[name], architecture, known)
            if enough is not None and (name in known.failures or enough(name, known.costs[name])):
                break
        return known

    def check(self, genotype: Genotype) -> None:
        """Counts the repeatable costs of one architecture, to learn before a search whether they can be counted.

        Raises:
            ConfigError: If a metric fails for another reason than that this candidate has no such cost.
        """
        for metric in (metric for metric in self.metrics.values() if metric.repeatable):
            try:
                metric.cost(CostSubject(self._space, genotype))
            except (CandidateFailed, RbflexEvoError):
                continue
            except Exception as error:
                raise ConfigError(
                    f"{metric.name!r} cannot be counted in the space {self._space.name} ({reason(error)}); override costs() of the "
                    "space if it is yours, or leave out the constraint or the objective that names it"
                ) from error

    def _count(self, metric: Metric, architecture: CostSubject, known: KnownCosts) -> None:
        try:
            with own_settings():
                cost = metric.cost(architecture)
        except CandidateFailed as failed:
            known.failures[metric.name] = str(failed)
            return
        except RbflexEvoError:
            raise
        except Exception as error:
            # `check` has refused a metric that always fails; one candidate that it cannot count must not end the search.
            known.failures[metric.name] = f"{metric.name} cannot be counted: {reason(error)}"
            return
        if math.isfinite(cost):
            known.costs[metric.name] = cost
        else:
            known.failures[metric.name] = f"the cost is {cost}"

    def learn(self, key: str, costs: Mapping[str, float], failures: Mapping[str, str]) -> None:
        """Stores costs and failures that were counted before, so that they are not counted again."""
        self._known[key] = KnownCosts(dict(costs), dict(failures))
