"""The costs of a run's architectures, by key: each is counted once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import Genotype, SearchSpace

from .metric import Architecture, Metric


class Costed(NamedTuple):
    """What is known of one architecture's costs: by metric, or why there is none."""

    costs: dict[str, float]
    failures: dict[str, str]


class CostBook:
    """The costs of architectures by key, each counted once in a run.

    Args:
        metrics: by name, in the order in which they are looked at.
        network_of: returns the genotype that is built to score a key.
    """

    def __init__(self, metrics: Sequence[Metric], space: SearchSpace, network_of: Callable[[str], Genotype]) -> None:
        self.metrics = {metric.name: metric for metric in metrics}
        self._space = space
        self._network_of = network_of
        self._known: dict[str, Costed] = {}

    def look(self, key: str, names: Sequence[str] | None = None, enough: Callable[[str, float], bool] | None = None) -> Costed:
        """Returns what the architecture of that key costs, by the metrics of those names, or by all.

        Args:
            enough: asked after each cost; True, or a metric that fails, leaves the rest out.
        """
        known = self._known.setdefault(key, Costed({}, {}))
        architecture: Architecture | None = None
        for name in self.metrics if names is None else names:
            if name not in known.costs and name not in known.failures:
                architecture = architecture or Architecture(self._space, self._network_of(key))
                self._count(self.metrics[name], architecture, known)
            if enough is not None and (name in known.failures or enough(name, known.costs[name])):
                break
        return known

    def _count(self, metric: Metric, architecture: Architecture, known: Costed) -> None:
        try:
            cost = metric.cost(architecture)
        except CandidateFailed as failed:
            known.failures[metric.name] = str(failed)
            return
        if math.isfinite(cost):
            known.costs[metric.name] = cost
        else:
            known.failures[metric.name] = f"the cost is {cost}"

    def learn(self, key: str, costs: Mapping[str, float], failures: Mapping[str, str]) -> None:
        """Takes what was counted before, so that it is not counted again."""
        self._known[key] = Costed(dict(costs), dict(failures))
