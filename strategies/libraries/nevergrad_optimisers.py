"""The optimisers of Nevergrad (Rapin & Teytaud, 2018) as a strategy.

Choices become `TransitionChoice` parameters, unordered ones for choices without an order. Losses are the negated objectives; with
several objectives, Nevergrad turns them into a hypervolume for the optimisers that know one loss.

A failed candidate is told the worst loss so far, and an infeasible one that loss plus its violation. What fails before anything
succeeded is told together with the first success.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from rbflex_evo.spaces import ConfigError, Encoding, near_name

from .library import LibraryParameters, LibraryStrategy
from .optimiser import KeyOf, Optimiser, Outcome, Point


class NevergradParameters(LibraryParameters):
    """Parameters of the optimisers of Nevergrad.

    Attributes:
        optimiser: Name in `nevergrad.optimizers.registry`.
        batch: Number of genotypes that are asked for before they are told; `num_workers` in Nevergrad.
        planned: Number of evaluations that the optimiser plans with; `budget` in Nevergrad. Some optimisers need it.
        repeats: Number of known or invalid proposals in a row after which a random genotype is evaluated instead.
    """

    optimiser: str = "DiscreteOnePlusOne"
    batch: int = Field(1, ge=1)
    planned: int | None = Field(None, ge=1)


class NevergradOptimiser(Optimiser):
    """An optimiser that is asked and told losses.

    Args:
        encoding: Encoding of the genotypes.
        objectives: Number of objectives of the search.
        optimiser: Class of the optimiser.
        seed: Seed of the generator of the parametrization.
        batch: Number of proposals per ask.
        planned: Number of evaluations that it plans with, or None.
    """

    def __init__(self, encoding: Encoding, objectives: int, optimiser: Any, seed: int, batch: int, planned: int | None) -> None:
        import nevergrad as ng

        super().__init__(encoding, objectives)
        self.batch = batch
        # Equal choices are one parameter, which is many times faster.
        self._groups: dict[tuple[int, bool], list[int]] = {}
        for place, i in enumerate(self.free):
            self._groups.setdefault((self.variables[i].count, self.variables[i].ordered), []).append(place)
        parametrization = ng.p.Tuple(
            *(
                ng.p.TransitionChoice(range(count), repetitions=len(places), ordered=ordered)
                for (count, ordered), places in self._groups.items()
            )
        )
        parametrization.random_state = np.random.RandomState(seed)
        self._optimiser = optimiser(parametrization, budget=planned, num_workers=batch)
        self._worst: np.ndarray | None = None
        self._failures: list[Any] = []

    def ask(self, key_of: KeyOf, known: set[str]) -> list[Point]:
        """Returns as many candidates as a batch has."""
        candidates = [self._optimiser.ask() for _ in range(self.batch)]
        return [Point(self.reader(self._flat(candidate.value)), candidate) for candidate in candidates]

    def _flat(self, groups: Sequence[Sequence[int]]) -> list[int]:
        """Returns the values of the free variables of those of the groups."""
        values = [0] * len(self.free)
        for places, group in zip(self._groups.values(), groups, strict=True):
            for place, value in zip(places, group, strict=True):
                values[place] = int(value)
        return values

    def tell(self, point: Point, outcome: Outcome) -> None:
        """Tells a candidate's loss."""
        self._tell(point.handle, outcome)

    def add(self, values: Sequence[int | None], outcome: Outcome) -> None:
        """Tells the loss of a candidate that was not asked for, unless the optimiser takes none."""
        from nevergrad.common.errors import TellNotAskedNotSupportedError

        whole = self.whole(values)
        groups = tuple(tuple(whole[place] for place in places) for places in self._groups.values())
        candidate = self._optimiser.parametrization.spawn_child(new_value=groups)
        try:
            self._tell(candidate, outcome)
        except TellNotAskedNotSupportedError:
            return

    def _tell(self, candidate: Any, outcome: Outcome) -> None:
        if outcome.values is None:
            self._failures.append(candidate)
        else:
            losses = -np.array(outcome.values)
            self._worst = losses if self._worst is None else np.maximum(self._worst, losses)
            self._optimiser.tell(candidate, _loss(self._worst + outcome.violation if outcome.violation > 0 else losses))
        while self._failures and self._worst is not None:
            self._optimiser.tell(self._failures.pop(0), _loss(self._worst))


def _loss(losses: np.ndarray) -> Any:
    return float(losses[0]) if len(losses) == 1 else losses.tolist()


class Nevergrad(LibraryStrategy):
    """An optimiser of Nevergrad, by its name (Rapin & Teytaud, 2018). `NevergradParameters` describes the parameters."""

    name = "nevergrad"
    description = "an optimiser of Nevergrad, such as DiscreteOnePlusOne, PortfolioDiscreteOnePlusOne or DE; extra: nevergrad"
    package = "nevergrad"
    packages = ("nevergrad",)
    Parameters = NevergradParameters
    parameters: NevergradParameters

    @property
    def chosen(self) -> str:
        """Name of the optimiser."""
        return self.parameters.optimiser

    def create(self, objectives: int, seed: int) -> NevergradOptimiser:
        """Returns a new optimiser."""
        import nevergrad as ng

        name, batch = self.parameters.optimiser, self.parameters.batch
        registry = ng.optimizers.registry
        if name not in registry:
            raise ConfigError(f"'strategy.optimiser': Nevergrad has no optimiser {name!r}{near_name(name, registry)}")
        optimiser = registry[name]
        if optimiser.recast:
            raise ConfigError(
                f"'strategy.optimiser': {name} of Nevergrad runs a minimiser of its own in a thread, which cannot be resumed; "
                "take another one, such as DiscreteOnePlusOne"
            )
        if optimiser.no_parallelization and batch > 1:
            raise ConfigError(f"'strategy.batch': {name} of Nevergrad asks for one genotype at a time; leave 'batch' out")
        return NevergradOptimiser(self.encoding, objectives, optimiser, seed, batch, self.parameters.planned)
