"""Searches of nats_tss within a limit or for a front, in this process, on tabulated scores and known latencies of one device.

The loop is that of the engine without a run folder: strategies see the same view, with the same objective and limits, and one
network is evaluated once. Networks are the distinct ones of the space, each by the cell that is scored for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.metric import Metric, create_metric
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.measuring.tabulated import TabulatedScores, read_tabulated
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint, Constraints
from rbflex_evo.fitness.objective.limited import LimitedView
from rbflex_evo.fitness.objective.objective import RANK, Objective
from rbflex_evo.spaces import Genotype
from rbflex_evo.strategies import create_strategy

from .score_tables import Choice, Scores


@dataclass(frozen=True)
class Networks:
    """The distinct networks of a table of scores.

    Attributes:
        scores: The table.
        choice: The preset that is searched by.
    """

    scores: Scores
    choice: Choice

    @cached_property
    def table(self) -> TabulatedScores:
        """Scores by key."""
        return read_tabulated(self.scores.path, self.choice.members)

    @cached_property
    def keys(self) -> list[str]:
        """The key of each network."""
        return list(self.table.rows)

    @cached_property
    def rows(self) -> np.ndarray:
        """Position of each network in the benchmark's order, int64 [networks]."""
        space = self.scores.space
        return np.array([space.index(space.representative(key)) for key in self.keys])

    @cached_property
    def members(self) -> np.ndarray:
        """Scores of the preset, float64 [members, networks]."""
        return self.scores.members(self.choice)[:, self.rows]

    @cached_property
    def objective(self) -> Objective:
        """The objective of the preset."""
        rule: Any = self.choice.rule
        return Objective(self.choice.members, rule, self.choice.weights)


@dataclass(frozen=True)
class Contender:
    """A strategy with its parameters."""

    label: str
    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Front:
    """Networks of a search for several objectives.

    Attributes:
        members: Networks on its front, int64 [members].
        evaluated: All networks that it evaluated, int64 [evaluations].
    """

    members: np.ndarray
    evaluated: np.ndarray


class Device:
    """Searches on one device.

    Args:
        networks: The networks.
        name: Name of the device in the file.
        path: File of latencies.
    """

    def __init__(self, networks: Networks, name: str, path: Path) -> None:
        self.networks, self.space = networks, networks.scores.space
        self.metric: Metric = create_metric(f"latency:{name}", self.space, {"path": str(path)})
        self.place = {key: place for place, key in enumerate(networks.keys)}
        self._key_of = lru_cache(None)(self.space.key)
        self._book = CostBook([self.metric], self.space, self.space.representative)

    def within(self, contender: Contender, limit: float, seed: int, evaluations: int) -> int:
        """Returns the network that a search within a limit ends with."""
        limits = Constraints((Constraint(self.metric.name, maximum=limit),))
        incumbent = self._searched(contender, self.networks.objective, limits, seed, evaluations).incumbent()
        assert incumbent is not None
        return self.place[incumbent.key]

    def front(self, contender: Contender, seed: int, evaluations: int) -> Front:
        """Returns what a search for high ranks and low latency evaluated and has on its front."""
        name = self.metric.name
        objective = Objective((RANK, name), "pareto", minimised=(name,), aggregate=self.networks.objective)
        view = self._searched(contender, objective, Constraints(), seed, evaluations)
        return Front(*(np.array([self.place[one.key] for one in found]) for found in (view.front(), view.evaluations)))

    def _searched(
        self, contender: Contender, objective: Objective, constraints: Constraints, seed: int, evaluations: int
    ) -> ArchiveView:
        view = ArchiveView(objective, self._key_of)
        # Latencies of a table are looked up quickly, so no number of rejections in a row ends the search.
        limited = LimitedView(view, constraints, self._book, cap=None)
        strategy = create_strategy(contender.name, self.space.encoding, seed, **contender.parameters)
        while len(view) < evaluations:
            asked = strategy.ask(evaluations - len(view), limited)
            if not asked:
                break
            strategy.tell([self._told(genotype, view, limited) for genotype in asked], limited)
        return view

    def _told(self, genotype: Genotype, view: ArchiveView, limited: LimitedView) -> Evaluation:
        key = self._key_of(genotype)
        if not view.seen(key):
            if not limited.admits(key):
                return limited.rejection(key, genotype)
            costs, failures = self._book.look(key)
            scored = self.networks.table.evaluation(key, genotype)
            view.add(replace(scored, costs=costs, failures={**scored.failures, **failures}))
        return replace(view.get(key), genotype=genotype)


def first_of_each_chip(devices: Sequence[str], most: int) -> list[str]:
    """Returns one device for each chip, at its smallest batch, in alphabetical order.

    Names such as ``1080ti_32`` are a chip and a batch size if the chip has several; other names are chips.
    """
    batches: dict[str, list[tuple[int, str]]] = {}
    for name in devices:
        chip, _, batch = name.rpartition("_")
        several = batch.isdigit() and sum(other.rpartition("_")[0] == chip for other in devices) > 1
        several = several and all(f"{chip}_{size}" in devices for size in (1, 32, 256))
        batches.setdefault(chip if several else name, []).append((int(batch) if several else 0, name))
    return [min(batches[chip])[1] for chip in sorted(batches)][:most]
