"""What a strategy keeps of evaluated candidates, and the base of the strategies that keep a population of them.

A `Member` is a genotype and its key, never a utility: a utility may change with every evaluation, so a strategy asks the
view for it when it is needed. A `Population` is a list of members that can be saved as JSON. A `PopulationStrategy` fills a
population with random genotypes and then breeds from it. A `SteadyStateStrategy` can be asked ahead.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters
from rbflex_evo.spaces.parameters import refuse_without_effect

from .strategy import Strategy, View
from .unseen import Unseen


class Member(NamedTuple):
    """The genotype and the key of an evaluated candidate.

    Attributes:
        genotype: The genotype that was evaluated.
        key: The canonical key of its architecture.
    """

    genotype: Genotype
    key: str

    @classmethod
    def of(cls, evaluation: Evaluation) -> Member:
        """Returns the member that an evaluation belongs to."""
        return cls(evaluation.genotype, evaluation.key)

    @classmethod
    def from_json(cls, data: Any) -> Member:
        """Returns the member that `to_json` wrote."""
        return cls(tuple(data["genotype"]), data["key"])

    def to_json(self) -> dict[str, Any]:
        """Returns the member as JSON data."""
        return {"genotype": list(self.genotype), "key": self.key}


class Population(list[Member]):
    """A list of members. The strategy that keeps it defines the order, for example oldest first or best first."""

    @classmethod
    def of(cls, evaluations: Iterable[Evaluation]) -> Population:
        """Returns the members of evaluations, in the same order."""
        return cls(map(Member.of, evaluations))

    @classmethod
    def of_json(cls, data: Iterable[Any]) -> Population:
        """Returns the population that `to_json` wrote."""
        return cls(map(Member.from_json, data))

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the population as JSON data."""
        return [member.to_json() for member in self]

    def utility(self, view: View) -> np.ndarray:
        """Returns the current utility of each member, float64 [members]."""
        return view.utility([member.key for member in self])


def best(members: Iterable[Member], count: int, view: View) -> Population:
    """Returns the `count` members of highest utility, best first; of equal utilities, the earlier ones. Each key occurs once."""
    distinct = Population({member.key: member for member in reversed(list(members))}.values())
    distinct.reverse()
    return Population(distinct[i] for i in np.argsort(-distinct.utility(view), kind="stable")[:count])


class PopulationParameters(Parameters):
    """Parameters of a strategy with a population.

    Attributes:
        population: Largest number of members.
    """

    population: int = Field(100, ge=2)


class PopulationStrategy(Strategy):
    """Base of strategies that fill a population with random genotypes and then breed from it.

    `ask` proposes unseen random genotypes until the population has `initial` members, then the genotypes of `children`.
    The evaluations of a warm start count as members. A subclass implements `children`, and `tell`, which selects the members.
    The search ends when no unseen genotype is found.

    Args:
        encoding: Encoding of the genotypes, with their operators.
        seed: Seed of the strategy's random generator.
        parameters: Validated parameters of the strategy; None for the defaults.
    """

    Parameters: ClassVar[type[Parameters]] = PopulationParameters
    parameters: PopulationParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: PopulationParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.population = Population()
        self._unseen = Unseen(encoding)

    @property
    def initial(self) -> int:
        """Number of members at which breeding begins."""
        return self.parameters.population

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns random genotypes until the population is filled, then genotypes of `children`."""
        missing = self.initial - len(self.population)
        if missing > 0:
            genotypes = self._unseen.draw_up_to(min(n, missing), self.rng, view, set())
        else:
            genotypes = self._unseen.each_or_near(self.children(n, view), self.rng, view, set())
        self.generation += 1 if genotypes else 0
        return genotypes

    @abstractmethod
    def children(self, n: int, view: View) -> Iterator[Genotype]:
        """Yields the children of one batch, at most `n`; `ask` replaces a child that was seen with an unseen one near it."""

    def crossed(self, parents: Sequence[Genotype], count: int, probability: float) -> Iterator[Genotype]:
        """Yields `count` genotypes: each pair of parents in turn, crossed with the given probability."""
        for i in range(0, count, 2):
            pair = (parents[i], parents[i + 1])
            if self.rng.random() < probability:
                pair = self.encoding.crossover(*pair, self.rng)
            yield from pair[: count - i]

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {"population": self.population.to_json()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self.population = Population.of_json(state["population"])


class SteadyStateParameters(PopulationParameters):
    """Parameters of a strategy with a population that can be asked ahead.

    Attributes:
        asynchronous: True asks for children before the last ones are told, so that a slow candidate does not hold up the others.
        ahead: Number of genotypes that are asked for ahead if `asynchronous` is true, rounded up to whole batches.
    """

    asynchronous: bool = False
    ahead: int = Field(50, ge=1)

    @model_validator(mode="after")
    def _is_asynchronous(self) -> SteadyStateParameters:
        if not self.asynchronous:
            refuse_without_effect(self, "ahead", "without asynchronous: true")
        return self

    @model_serializer(mode="wrap")
    def _if_asynchronous(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Settings that are not used stay out, so that runs of earlier versions can be resumed.
        values: dict[str, Any] = serialize(self)
        return values if self.asynchronous else {k: v for k, v in values.items() if k not in ("asynchronous", "ahead")}


class SteadyStateStrategy(PopulationStrategy):
    """Base of strategies with a population that can replace its members without waiting for a whole generation.

    If the parameter `asynchronous` is true, a batch is asked for while the `ahead` genotypes before it are in flight: its parents
    are chosen without their evaluations, as by that many workers that do not wait for each other. The evaluations still arrive in
    the order in which they were asked for, and the lag is fixed, so proposals depend on the seed alone. Random genotypes are
    asked for, in batches, until the population has `initial` told members; those in flight by then become members, too.

    A subclass implements `batch` and the methods of a `PopulationStrategy`.
    """

    Parameters: ClassVar[type[Parameters]] = SteadyStateParameters
    parameters: SteadyStateParameters

    @property
    @abstractmethod
    def batch(self) -> int:
        """Number of children per ask."""

    @property
    def batches_ahead(self) -> int:
        """Number of batches that are asked for before the oldest one is told."""
        return math.ceil(self.parameters.ahead / self.batch) if self.parameters.asynchronous else 0

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns random genotypes until the population is filled, then genotypes of `children`."""
        filling = len(self.population) < self.initial
        return super().ask(min(n, self.batch) if filling and self.parameters.asynchronous else n, view)
