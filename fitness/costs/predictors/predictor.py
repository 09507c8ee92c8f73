"""The contract of predictors: `fit` on genotypes and their costs, then `predict` others; the state is plain data and arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rbflex_evo.spaces import ConfigError, Genotype, Registry, SearchSpace

PREDICTORS = Registry("predictor")
PREDICTORS.register("lookup", "rbflex_evo.fitness.costs.predictors.lookup:Lookup")
PREDICTORS.register("kernels", "rbflex_evo.fitness.costs.predictors.kernels:Kernels")
PREDICTORS.register("layers", "rbflex_evo.fitness.costs.predictors.layers:Layers")
PREDICTORS.register("gcn", "rbflex_evo.fitness.costs.predictors.gcn:GraphConvolution")
PREDICTORS.register("transfer", "rbflex_evo.fitness.costs.predictors.transfer:Transfer")
PREDICTORS.register("ridge", "rbflex_evo.fitness.costs.predictors.baselines:RidgeBaseline")
PREDICTORS.register("forest", "rbflex_evo.fitness.costs.predictors.baselines:ForestBaseline")


@dataclass(frozen=True)
class State:
    """What a fitted predictor consists of.

    Attributes:
        plain: JSON data.
        arrays: Arrays by name.
    """

    plain: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Predictor(ABC):
    """A predictor of one cost. Subclasses implement `_fit`, `_predict`, `state` and `restore`.

    Args:
        space: Search space of the genotypes.
        seed: Seed of everything that is drawn while fitting.

    Attributes:
        name: Registered name.
        description: One line for the command's help.
        least: Smallest number of rows that it can be fitted to.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    least: ClassVar[int] = 5

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self.space = space
        self.seed = seed
        self.fitted = False

    def fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        """Fits the predictor.

        Args:
            genotypes: Architectures.
            values: Their costs, float64 [architectures], all above 0.

        Raises:
            ConfigError: If there are too few rows, or a value is not a finite number above 0.
        """
        known = np.asarray(values, dtype=np.float64)
        if known.shape != (len(genotypes),):
            raise ConfigError(f"expected one value for each of {len(genotypes)} architectures, but their shape is {known.shape}")
        if len(known) < self.least:
            raise ConfigError(f"{self.name!r} is fitted to at least {self.least} architectures, but there are {len(known)}")
        if not (np.isfinite(known) & (known > 0)).all():
            raise ConfigError(f"{self.name!r} is fitted to finite values above 0, but the smallest is {known.min():g}")
        self._fit(genotypes, known)
        self.fitted = True

    def predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Returns the predicted costs, float64 [architectures].

        Raises:
            RuntimeError: If the predictor has not been fitted.
            CandidateFailed: If it knows nothing of an architecture.
        """
        if not self.fitted:
            raise RuntimeError("predict() was called without calling fit()")
        return self._predict(genotypes) if len(genotypes) else np.empty(0)

    @abstractmethod
    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        """Fits the predictor to checked values."""

    @abstractmethod
    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Predicts the costs of at least one architecture."""

    @abstractmethod
    def state(self) -> State:
        """Returns the fitted predictor as plain data and arrays."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Takes over a state that `state` of the same class returned for the same space."""
