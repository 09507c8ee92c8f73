"""What the comparison of strategies lets search: our strategies, samplers of other libraries, and DEAP's own loop for reference.

All have their defaults for the budget. A search counts unique networks, as a run of `rbflex-evo search` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.searches.landscapes import COST, SCORE, Landscape
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import Genotype, deap_random
from rbflex_evo.strategies import STRATEGIES, Situation, create_strategy, own_strategies
from rbflex_evo.strategies.auto import Auto

# Samplers of other libraries: the strategy, which has the name of its package, and its parameters.
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Optuna TPE": ("optuna", {"sampler": "TPESampler"}),
    "Optuna NSGA-II": ("optuna", {"sampler": "NSGAIISampler"}),
    "Nevergrad DiscreteOnePlusOne": ("nevergrad", {"optimiser": "DiscreteOnePlusOne"}),
    "Nevergrad PortfolioDiscreteOnePlusOne": ("nevergrad", {"optimiser": "PortfolioDiscreteOnePlusOne"}),
    "pymoo GA": ("pymoo", {"algorithm": "GA"}),
}
SLOW = ("optuna", "nevergrad")
REFERENCE = "DEAP eaSimple"
# Restarts of the reference loop after a population that proposes nothing new.
MOST_GENERATIONS = 1000


@dataclass(frozen=True)
class Contender:
    """A strategy with its parameters.

    Attributes:
        label: Name in tables.
        name: Registered name of the strategy; None for the reference loop.
        values: Parameters that are not the defaults.
        own: Whether it is a strategy of ours.
    """

    label: str
    name: str | None
    values: Mapping[str, Any] = field(default_factory=dict)
    own: bool = True

    @property
    def slow(self) -> bool:
        """True for samplers that take so long that they search with few seeds and small budgets only."""
        return self.name in SLOW


def contenders() -> list[Contender]:
    """Returns every contender whose packages are installed."""
    own = [Contender(name, name) for name in own_strategies() if name != Auto.name]
    others = [
        Contender(label, name, values, own=False)
        for label, (name, values) in SAMPLERS.items()
        if name in STRATEGIES.names() and find_spec(name) is not None
    ]
    return [*own, Contender(REFERENCE, None, own=False), *others]


class Search:
    """One search of a landscape.

    Args:
        landscape: The landscape.
        budget: Number of unique evaluations.
    """

    def __init__(self, landscape: Landscape, budget: int) -> None:
        self.landscape, self.budget = landscape, budget
        costs = (COST,) if landscape.cost is not None else ()
        objective = Objective((SCORE, *costs), "pareto", minimised=costs) if costs else Objective((SCORE,))
        self.view = ArchiveView(objective, landscape.key)

    @property
    def left(self) -> int:
        """Number of evaluations that the budget still allows."""
        return self.budget - len(self.view)

    def evaluate(self, genotype: Genotype) -> Evaluation:
        """Returns the evaluation of a genotype, which is counted if its key is new."""
        key = self.landscape.key(genotype)
        if not self.view.seen(key):
            self.view.add(self.landscape.evaluation(genotype, key))
        known = self.view.get(key)
        return Evaluation(genotype, key, known.scores, known.failures, costs=known.costs)

    def value(self) -> float:
        """Returns the highest score found, or the hypervolume of the front; NaN if every candidate failed."""
        return self.landscape.worth([one for one in self.view.evaluations if not one.failed])


def search(landscape: Landscape, contender: Contender, budget: int, seed: int) -> float:
    """Returns what a search finds: the highest score, or the hypervolume of its front."""
    found = Search(landscape, budget)
    if contender.name is None:
        ea_simple(found, seed)
        return found.value()
    situation = Situation.of(budget, landscape.encoding.size, len(found.view.objective.members))
    values = {**STRATEGIES.get(contender.name).defaults_for(situation, contender.values), **contender.values}
    strategy = create_strategy(contender.name, landscape.encoding, seed, **values)
    while found.left:
        asked = strategy.ask(found.left, found.view)
        if not asked:
            break
        strategy.tell([found.evaluate(genotype) for genotype in asked], found.view)
    return found.value()


class _Spent(Exception):
    """Ends the reference loop when the budget is spent."""


def ea_simple(found: Search, seed: int) -> None:
    """DEAP's `algorithms.eaSimple` with a population of 20, tournaments of 3, p_c = 0.5 and p_m = 0.2, mutating each gene with 0.2.

    A network that was evaluated before costs nothing, as in our searches. Encodings that are not vectors of categories are
    varied by their own operators.
    """
    from deap import algorithms, base, tools

    encoding, rng = found.landscape.encoding, np.random.default_rng(seed)

    class Individual(list[int]):
        def __init__(self, genes: Sequence[int]) -> None:
            super().__init__(genes)
            self.fitness = _Fitness()

    class _Fitness(base.Fitness):  # type: ignore[misc]
        weights = (1.0,)

    def evaluate(individual: Individual) -> tuple[float]:
        if not found.left:
            raise _Spent
        scores = found.evaluate(tuple(individual)).scores
        return (scores.get(SCORE, float("-inf")),)

    def mate(first: Individual, second: Individual) -> tuple[Individual, Individual]:
        first[:], second[:] = encoding.crossover(tuple(first), tuple(second), rng)
        return first, second

    def mutate(individual: Individual) -> tuple[Individual]:
        individual[:] = encoding.mutate(tuple(individual), rng, 0.2)
        return (individual,)

    toolbox = base.Toolbox()
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", mate)
    toolbox.register("mutate", mutate)
    toolbox.register("select", tools.selTournament, tournsize=3)
    population = [Individual(encoding.sample(rng)) for _ in range(20)]
    with deap_random(rng):
        try:
            algorithms.eaSimple(population, toolbox, cxpb=0.5, mutpb=0.2, ngen=MOST_GENERATIONS, verbose=False)
        except _Spent:
            return
