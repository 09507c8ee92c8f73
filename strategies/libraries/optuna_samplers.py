"""The samplers of Optuna (Akiba et al., KDD 2019) as a strategy.

Choices become categorical parameters, and numbers such as depths become integer ones. TPE and random search are only asked for the
choices that have an effect; the other samplers decide about all choices, because they know no conditions. CMA-ES works with
numbers, so all its parameters are integers.

A study has as many objectives as the search. A sampler of one objective gets the utility. Failed candidates are told as pruned if
there is one objective, which TPE takes as the worst, else as failed, which samplers leave out. Infeasible candidates are told with
their violation to the samplers that know constraints, and as failed candidates to the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from rbflex_evo.spaces import ConfigError, Encoding, near_name

from .library import LibraryParameters, LibraryStrategy, check_options
from .optimiser import KeyOf, Optimiser, Outcome, Point

CONDITIONAL = {"TPESampler", "RandomSampler"}
NUMBERS_ONLY = {"CmaEsSampler"}
ONE_OBJECTIVE = {"CmaEsSampler"}
CONSTRAINED = {"TPESampler", "NSGAIISampler", "NSGAIIISampler"}
# These are not complete without objects that a configuration cannot hold, or end the study themselves.
LEFT_OUT = {"BaseSampler", "BaseGASampler", "GridSampler", "PartialFixedSampler", "BruteForceSampler"}
SET_HERE = ("seed", "constraints_func")


class OptunaParameters(LibraryParameters):
    """Parameters of the samplers of Optuna.

    Attributes:
        sampler: Name of the class in `optuna.samplers`.
        batch: Number of genotypes that are asked for before they are told.
        options: Further arguments of the sampler, by their names in the library.
        repeats: Number of known or invalid proposals in a row after which a random genotype is evaluated instead.
    """

    sampler: str = "TPESampler"
    batch: int = Field(1, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)
    repeats: int = Field(20, ge=1)


class OptunaOptimiser(Optimiser):
    """A study that is asked and told.

    Args:
        encoding: Encoding of the genotypes.
        objectives: Number of objectives of the search.
        sampler: The sampler.
        batch: Number of proposals per ask.
    """

    def __init__(self, encoding: Encoding, objectives: int, sampler: Any, batch: int) -> None:
        import optuna

        name = type(sampler).__name__
        super().__init__(encoding, 1 if name in ONE_OBJECTIVE else objectives)
        self.batch = batch
        self.constrained = name in CONSTRAINED
        self._study = optuna.create_study(sampler=sampler, directions=["maximize"] * self.objectives)
        self._distributions: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        for i in self.free:
            variable = self.variables[i]
            # Names of choices may repeat.
            self._names[i] = f"{i} {variable.name}"
            self._distributions[self._names[i]] = (
                optuna.distributions.IntDistribution(0, variable.count - 1)
                if variable.ordered or name in NUMBERS_ONLY
                else optuna.distributions.CategoricalDistribution(tuple(range(variable.count)))
            )
        self._fixed = {} if name in CONDITIONAL else self._distributions

    def ask(self, key_of: KeyOf, known: set[str]) -> list[Point]:
        """Returns as many trials as a batch has."""
        return [self._point(self._study.ask(self._fixed)) for _ in range(self.batch)]

    def _point(self, trial: Any) -> Point:
        import optuna

        def value_of(i: int) -> int:
            if i not in self._names:
                return 0
            name = self._names[i]
            distribution = self._distributions[name]
            if isinstance(distribution, optuna.distributions.IntDistribution):
                return int(trial.suggest_int(name, distribution.low, distribution.high))
            return int(trial.suggest_categorical(name, distribution.choices))

        return Point(value_of, trial)

    def tell(self, point: Point, outcome: Outcome) -> None:
        """Finishes a trial."""
        values, state = self._finished(outcome)
        if values is not None and outcome.violation > 0:
            point.handle.set_constraint("violation", outcome.violation)
        self._study.tell(point.handle, values, state)

    def add(self, values: Sequence[int | None], outcome: Outcome) -> None:
        """Adds a finished trial."""
        import optuna

        wanted = {i: values[i] for i in self.free}
        if self._fixed:
            wanted = {i: value or 0 for i, value in wanted.items()}
        params = {self._names[i]: value for i, value in wanted.items() if value is not None}
        told, state = self._finished(outcome)
        constraints = {"violation": outcome.violation} if told is not None and outcome.violation > 0 else None
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=told,
                params=params,
                distributions={name: self._distributions[name] for name in params},
                constraints=constraints,
            )
        )

    def _finished(self, outcome: Outcome) -> tuple[list[float] | None, Any]:
        from optuna.trial import TrialState

        if outcome.values is None or (outcome.violation > 0 and not self.constrained):
            return None, TrialState.PRUNED if self.objectives == 1 else TrialState.FAIL
        return list(outcome.values), TrialState.COMPLETE


class Optuna(LibraryStrategy):
    """A sampler of Optuna, by its name (Akiba et al., KDD 2019). `OptunaParameters` describes the parameters."""

    name = "optuna"
    description = "a sampler of Optuna, such as TPESampler, GPSampler, NSGAIISampler or CmaEsSampler; extra: optuna"
    package = "optuna"
    packages = ("optuna", "cmaes")
    Parameters = OptunaParameters
    parameters: OptunaParameters

    @property
    def chosen(self) -> str:
        """Name of the sampler."""
        return self.parameters.sampler

    def create(self, objectives: int, seed: int) -> OptunaOptimiser:
        """Returns a new study with the sampler."""
        import optuna

        name, options = self.parameters.sampler, self.parameters.options
        names = [each for each in optuna.samplers.__all__ if each.endswith("Sampler") and each not in LEFT_OUT]
        if name not in names:
            raise ConfigError(f"'strategy.sampler': Optuna has no sampler {name!r} for a search{near_name(name, names)}")
        sampler = getattr(optuna.samplers, name)
        check_options(options, list(inspect.signature(sampler).parameters), name, SET_HERE)
        if name == "GPSampler":
            # Loaded here, so that the first proposals are made with the state of its generators that the later ones have.
            import torch  # noqa: F401
        return OptunaOptimiser(self.encoding, objectives, sampler(seed=seed, **options), self.parameters.batch)
