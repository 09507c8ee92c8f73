"""The ask/tell contract: a strategy proposes genotypes and is told their evaluations; it never sees a network.

    while budget is left:
        genotypes = strategy.ask(n, view)
        strategy.tell(evaluate(genotypes), view)

All state is plain data in `state_dict`, so a checkpoint is that value and nothing else. Strategies keep genotypes and
keys, never utilities: what a candidate is worth may change whenever another one is evaluated (ranks), so they ask the view.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Registry, parse
from rbflex_evo.spaces import Parameters as AnyParameters

STRATEGIES = Registry("strategy")
STRATEGIES.register("random", "rbflex_evo.strategies.random_search:RandomSearch")
STRATEGIES.register("genetic", "rbflex_evo.strategies.genetic:Genetic")
STRATEGIES.register("annealing", "rbflex_evo.strategies.annealing:Annealing")
STRATEGIES.register("regularised_evolution", "rbflex_evo.strategies.regularised_evolution:RegularisedEvolution")
STRATEGIES.register("free_rea", "rbflex_evo.strategies.free_rea:FreeRea")
STRATEGIES.register("local_search", "rbflex_evo.strategies.local_search:LocalSearch")
STRATEGIES.register("search_economics", "rbflex_evo.strategies.search_economics:SearchEconomics")
STRATEGIES.register("large_space_evolution", "rbflex_evo.strategies.large_space_evolution:LargeSpaceEvolution")
STRATEGIES.register("nsga2", "rbflex_evo.strategies.nsga2:Nsga2")
STRATEGIES.register("reinforce", "rbflex_evo.strategies.reinforce:Reinforce")


class View(Protocol):
    """What a strategy may know about the candidates evaluated so far.

    A candidate that the search's constraints reject is one that was seen and failed, though nobody evaluated it.
    """

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys)], what each evaluated key is worth now; higher is better, -inf if it failed.

        Where the objective is a rank aggregate these are divided so that they lie within [0, 1]; a single score is
        returned raw. Compare only values of one call.
        """

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys), objectives], each higher is better, NaN in the rows of keys that failed.

        Several objectives where the search has them, else the one utility. Compare only values of one call.
        """

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys)], by how much each key breaks the constraints in total; 0 if it is feasible."""

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""

    def seen(self, key: str) -> bool:
        """True if that key was evaluated in this run, or is rejected by a constraint: proposing it teaches nothing."""


class Strategy(ABC):
    """A search strategy over one encoding.

    Args:
        encoding: the genes and their operators.
        seed: of the strategy's own generator.
        parameters: validated values of `Parameters`; None for the defaults.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""
    Parameters: ClassVar[type[AnyParameters]] = AnyParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: AnyParameters | None = None) -> None:
        self.encoding = encoding
        self.parameters = self.Parameters() if parameters is None else parameters
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.generation = 0

    @abstractmethod
    def ask(self, n: int, view: View) -> list[Genotype]:
        """Proposes between 1 and `n` genotypes, or none if nothing is left to try.

        `n` is what the budget still allows, at least 1: a strategy returns its own natural batch, cut to `n`. A proposal
        that was seen already costs no budget, and is told again with its known evaluation.
        """

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Takes the evaluations of the last `ask`, in its order; `view` knows them already.

        The evaluations of a warm start are told first, before any `ask`.
        """

    def state_dict(self) -> dict[str, Any]:
        """Returns all state as JSON data (dict, list, str, int, float, bool, None)."""
        return {
            "rng": self.rng.bit_generator.state,
            "generation": self.generation,
            "state": self.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned, also after a trip through JSON."""
        self.rng.bit_generator.state = state["rng"]
        self.generation = state["generation"]
        self.set_state(state["state"])

    @abstractmethod
    def get_state(self) -> Any:
        """Returns the subclass's own state as JSON data."""

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Restores the subclass's own state."""


def create_strategy(name: str, encoding: Encoding, seed: int = 0, **values: object) -> Strategy:
    """Returns the registered strategy `name` over `encoding`.

    Raises:
        UnknownNameError: if no strategy has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    strategy = STRATEGIES.get(name)
    return strategy(encoding, seed, parse(strategy.Parameters, values, f"strategy.{name}"))
