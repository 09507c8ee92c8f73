"""The ask/tell contract: a strategy proposes genotypes and is told their evaluations, without access to networks.

    while budget is left:
        genotypes = strategy.ask(n, view)
        strategy.tell(evaluate(genotypes), view)

A strategy whose algorithm allows it is asked ahead: for batch k once batch k - 1 - `batches_ahead` was told. This number depends on
the strategy and its parameters alone, so that proposals do not depend on how many workers there are.

All state is plain data in `state_dict`, so a checkpoint holds that value only. Strategies keep genotypes and keys, but no
utilities: a candidate's utility may change with every evaluation (ranks), so they ask the view for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Registry, parse
from rbflex_evo.spaces import Parameters as AnyParameters

from .situation import Situation


class View(Protocol):
    """Read access to the evaluated candidates, as far as a strategy may use it.

    A candidate that the search's constraints reject counts as seen and failed, although it was not evaluated.
    """

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the current utility of each evaluated key, float64 [len(keys)]; higher is better, -inf if it failed.

        If the objective is a rank aggregate, utilities are scaled to [0, 1]. A single score is returned unscaled. Only
        values of one call are comparable.
        """

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the objectives of each key, float64 [len(keys), objectives]; higher is better, NaN if the key failed.

        If the search has a single objective, the only column is the utility. Only values of one call are comparable.
        """

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the total constraint violation of each key, float64 [len(keys)]; 0 if it is feasible."""

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""

    def seen(self, key: str) -> bool:
        """True if the key was evaluated in this run, is in flight (asked for and not told), or is rejected by a constraint.

        Proposing it gives no information. The view has no utility of a key in flight.
        """


class Strategy(ABC):
    """Base class of search strategies over an encoding.

    A subclass sets `name`, `description` and `Parameters`, and implements `ask`, `tell`, `get_state` and `set_state`.

    Args:
        encoding: Encoding of the genotypes, with their operators.
        seed: Seed of the strategy's random generator.
        parameters: Validated parameters, an instance of `Parameters`; None for the defaults.

    Attributes:
        rng: Random generator of the strategy, saved in `state_dict`; the only source of randomness that it may use.
        generation: Number of batches asked for; `ask` increments it.
        depends_on_budget: True if what is proposed depends on the `n` of `ask` in another way than that a batch is cut to it,
            such as a cooling schedule over the rest of the budget. A run of such a strategy cannot be given another budget.
        packages: Packages that proposals come from, beyond those that every installation has; their versions are recorded.
        default_rule: What `defaults_for` does, in a phrase for ``list strategies``; empty if no default follows the budget.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""
    depends_on_budget: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()
    default_rule: ClassVar[str] = ""
    Parameters: ClassVar[type[AnyParameters]] = AnyParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: AnyParameters | None = None) -> None:
        self.encoding = encoding
        self.parameters = self.Parameters() if parameters is None else parameters
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.generation = 0

    @classmethod
    def costs_read(cls, parameters: AnyParameters) -> tuple[str, ...]:
        """Returns the names of the metrics whose costs it reads from evaluations, which a search then counts; none by default.

        Args:
            parameters: Validated parameters of the strategy.
        """
        return ()

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values of parameters that follow the budget and the space; the others keep the defaults of `Parameters`.

        A run asks for them when it begins and keeps them, also under a larger budget. Given values replace them.

        Args:
            situation: Budget, space and objective of the search.
            given: Values of parameters that the user set.
        """
        return {}

    @property
    def batches_ahead(self) -> int:
        """Number of batches that may be asked for before the oldest one is told; it depends on class and parameters alone.

        With 0, each batch is told before the next `ask`. With more, `tell` still gets the batches in the order of `ask`.
        """
        return 0

    @abstractmethod
    def ask(self, n: int, view: View) -> list[Genotype]:
        """Proposes between 1 and `n` genotypes of distinct keys, or none if no unseen genotype is found, which ends the search.

        A seen genotype costs no budget and is told again with its known evaluation.

        Args:
            n: Largest number of genotypes that the budget still allows, at least 1; the strategy cuts its batch to `n`.
            view: View of the candidates evaluated so far.
        """

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Updates the strategy with the evaluations of the oldest `ask` that was not told yet.

        The evaluations of a warm start are told once, before the first `ask`.

        Args:
            evaluations: Evaluations of the proposed genotypes, in the order of `ask`.
            view: View of the candidates evaluated so far, including these.
        """

    def state_dict(self) -> dict[str, Any]:
        """Returns the complete state as JSON data (dict, list, str, int, float, bool, None)."""
        return {
            "rng": self.rng.bit_generator.state,
            "generation": self.generation,
            "state": self.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state that `state_dict` returned, also after it was written to JSON and read back."""
        self.rng.bit_generator.state = state["rng"]
        self.generation = state["generation"]
        self.set_state(state["state"])

    @abstractmethod
    def get_state(self) -> Any:
        """Returns the state of the subclass as JSON data."""

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Restores a state that `get_state` returned."""


STRATEGIES = Registry("strategy")
STRATEGIES.register("auto", "rbflex_evo.strategies.auto:Auto")
STRATEGIES.register("random", "rbflex_evo.strategies.random_search:RandomSearch")
STRATEGIES.register("genetic", "rbflex_evo.strategies.genetic:Genetic")
STRATEGIES.register("annealing", "rbflex_evo.strategies.annealing:Annealing")
STRATEGIES.register("regularised_evolution", "rbflex_evo.strategies.regularised_evolution:RegularisedEvolution")
STRATEGIES.register("free_rea", "rbflex_evo.strategies.free_rea:FreeRea")
STRATEGIES.register("local_search", "rbflex_evo.strategies.local_search:LocalSearch")
STRATEGIES.register("search_economics", "rbflex_evo.strategies.search_economics:SearchEconomics")
STRATEGIES.register("large_space_evolution", "rbflex_evo.strategies.large_space_evolution:LargeSpaceEvolution")
STRATEGIES.register("map_elites", "rbflex_evo.strategies.map_elites:MapElites")
STRATEGIES.register("nsga2", "rbflex_evo.strategies.nsga2:Nsga2")
STRATEGIES.register("nsga3", "rbflex_evo.strategies.nsga3:Nsga3")
STRATEGIES.register("reinforce", "rbflex_evo.strategies.reinforce:Reinforce")
STRATEGIES.register("optuna", "rbflex_evo.strategies.libraries.optuna_samplers:Optuna")
STRATEGIES.register("nevergrad", "rbflex_evo.strategies.libraries.nevergrad_optimisers:Nevergrad")
STRATEGIES.register("pymoo", "rbflex_evo.strategies.libraries.pymoo_algorithms:Pymoo")


def own_strategies() -> list[str]:
    """Returns the names of the strategies that need no optional package, sorted."""
    return [name for name in STRATEGIES.names() if not STRATEGIES.get(name).packages]


def create_strategy(name: str, encoding: Encoding, seed: int = 0, **values: object) -> Strategy:
    """Returns a new strategy over an encoding.

    Args:
        name: Registered name of the strategy.
        encoding: Encoding of the genotypes.
        seed: Seed of the strategy's random generator.
        **values: Values of the strategy's parameters; the others keep their defaults.

    Raises:
        UnknownNameError: If no strategy has that name.
        ConfigError: If a parameter is unknown, of a wrong type or out of bounds.
    """
    strategy: type[Strategy] = STRATEGIES.get(name)
    return strategy(encoding, seed, parse(strategy.Parameters, values, f"strategy.{name}"))
