"""The genetic algorithms of pymoo (Blank & Deb, IEEE Access 8, 2020) as a strategy.

Choices become integer variables with uniform crossover, and with a mutation that replaces a value by another one, drawn uniformly.
A child is a duplicate if its architecture was proposed or told before, so a generation holds new candidates only.

The generation is told as a whole. Candidates that pymoo did not propose join the next generation that is told. An algorithm of one
objective gets the utility. Violations are told as a constraint; a failed candidate is one with a very large violation.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from pydantic import Field

from rbflex_evo.spaces import ConfigError, Encoding, near_name

from .library import LibraryParameters, LibraryStrategy, check_options
from .optimiser import FAILED, KeyOf, Optimiser, Outcome, Point

# AGE-MOEA2 and SMS-EMOA are left out, because they fail with one objective.
ALGORITHMS = {
    "GA": "soo.nonconvex.ga",
    "NSGA2": "moo.nsga2",
    "NSGA3": "moo.nsga3",
    "UNSGA3": "moo.unsga3",
    "AGEMOEA": "moo.age",
    "SPEA2": "moo.spea2",
}
ONE_OBJECTIVE = {"GA"}
OBJECTS = ("sampling", "selection", "crossover", "mutation", "survival", "eliminate_duplicates", "output", "ref_dirs", "pop_size")
FAILURE = 1e30
MATINGS = 20


class PymooParameters(LibraryParameters):
    """Parameters of the algorithms of pymoo.

    Attributes:
        algorithm: Name of the class of the algorithm.
        population: Number of members and of children per generation, `pop_size` in pymoo.
        options: Further arguments of the algorithm, by their names in the library.
        repeats: Number of known or invalid proposals in a row after which a random genotype is evaluated instead.
    """

    algorithm: str = "GA"
    population: int = Field(100, ge=2)
    options: dict[str, Any] = Field(default_factory=dict)


class PymooOptimiser(Optimiser):
    """An algorithm that is asked for a generation and told it.

    Args:
        encoding: Encoding of the genotypes.
        objectives: Number of objectives of the search.
        algorithm: Name of the algorithm.
        seed: Seed of the algorithm.
        population: Number of members.
        options: Further arguments of the algorithm.
    """

    def __init__(
        self, encoding: Encoding, objectives: int, algorithm: str, seed: int, population: int, options: dict[str, Any]
    ) -> None:
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.ux import UniformCrossover

        from .pymoo_operators import DistinctSampling, Reset, SameArchitecture

        super().__init__(encoding, 1 if algorithm in ONE_OBJECTIVE else objectives)
        made = algorithm_class(algorithm)
        known = inspect.signature(made).parameters
        own: dict[str, Any] = {}
        if "ref_dirs" in known:
            own["ref_dirs"] = _directions(self.objectives, population)
        if "survival" in known:
            # Its default has a state that all algorithms of the process would share.
            own["survival"] = copy.deepcopy(known["survival"].default)
        self._problem = Problem(
            n_var=len(self.free),
            n_obj=self.objectives,
            n_ieq_constr=1,
            xl=np.zeros(len(self.free), dtype=int),
            xu=np.array([self.variables[i].count - 1 for i in self.free]),
            vtype=int,
        )
        self._algorithm = made(
            pop_size=population,
            sampling=DistinctSampling(self._new_key),
            crossover=UniformCrossover(prob=0.9),
            mutation=Reset(),
            eliminate_duplicates=SameArchitecture(self._new_key),
            **own,
            **options,
        )
        # A generation is cut after this many rounds of mating, as in a space that is nearly exhausted.
        self._algorithm.mating.n_max_iterations = MATINGS
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=seed)
        self._generation: Any = None
        self._outcomes: list[Outcome | None] = []
        self._added: list[tuple[list[int], Outcome]] = []

    def ask(self, key_of: KeyOf, known: set[str]) -> list[Point]:
        """Returns the next generation, which is empty if the algorithm finds no new child."""
        self._key_of, self._known = key_of, known
        if self._added and self._algorithm.is_initialized:
            self._advance()
        self._generation = self._algorithm.ask()
        values = [] if self._generation is None else self._generation.get("X")
        self._outcomes = [None] * len(values)
        return [Point(self.reader(one), i) for i, one in enumerate(values)]

    def tell(self, point: Point, outcome: Outcome) -> None:
        """Keeps the outcome, and tells the generation once it is complete."""
        self._outcomes[point.handle] = outcome
        if all(one is not None for one in self._outcomes):
            self._advance()

    def add(self, values: Sequence[int | None], outcome: Outcome) -> None:
        """Keeps a candidate for the next generation that is told."""
        self._added.append((self.whole(values), outcome))

    def _new_key(self, values: np.ndarray) -> str | None:
        key = self._key_of(self.reader(values.tolist()))
        return None if key in self._known else key

    def _advance(self) -> None:
        """Tells the generation, and what was added."""
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.problems.static import StaticProblem

        outcomes = [FAILED if one is None else one for one in self._outcomes] + [outcome for _, outcome in self._added]
        told = Population.new(X=np.array([values for values, _ in self._added], dtype=int)) if self._added else Population.empty()
        if self._outcomes:
            told = Population.merge(self._generation, told)
        losses = np.array([[0.0] * self.objectives if one.values is None else [-value for value in one.values] for one in outcomes])
        violations = np.array([[FAILURE if one.values is None else one.violation] for one in outcomes])
        Evaluator().eval(StaticProblem(self._problem, F=losses, G=violations), told)
        self._outcomes, self._added = [], []
        self._algorithm.tell(infills=told)


def algorithm_class(name: str) -> Any:
    """Returns the class of an algorithm of pymoo.

    Raises:
        ConfigError: If there is none of that name for a search.
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"'strategy.algorithm': pymoo has no algorithm {name!r} for a search{near_name(name, ALGORITHMS)}")
    return getattr(import_module(f"pymoo.algorithms.{ALGORITHMS[name]}"), name)


def _directions(objectives: int, population: int) -> np.ndarray:
    """Returns reference directions, at most as many as the population has members if that is possible."""
    from pymoo.util.ref_dirs import get_reference_directions

    if objectives == 1:
        return np.ones((1, 1))
    partitions = 1
    while math.comb(partitions + objectives, objectives - 1) <= population:
        partitions += 1
    return np.asarray(get_reference_directions("das-dennis", objectives, n_partitions=partitions))


class Pymoo(LibraryStrategy):
    """A genetic algorithm of pymoo, by its name (Blank & Deb, IEEE Access 8, 2020). `PymooParameters` describes the parameters."""

    name = "pymoo"
    description = f"a genetic algorithm of pymoo: {', '.join(ALGORITHMS)}; extra: pymoo"
    package = "pymoo"
    packages = ("pymoo",)
    Parameters = PymooParameters
    parameters: PymooParameters

    @property
    def chosen(self) -> str:
        """Name of the algorithm."""
        return self.parameters.algorithm

    def create(self, objectives: int, seed: int) -> PymooOptimiser:
        """Returns a new algorithm."""
        name, options = self.parameters.algorithm, self.parameters.options
        known = [each for each in inspect.signature(algorithm_class(name)).parameters if each != "kwargs"]
        check_options(options, known, name, OBJECTS)
        return PymooOptimiser(self.encoding, objectives, name, seed, self.parameters.population, options)
