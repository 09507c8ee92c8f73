"""Plain baselines of scikit-learn on what is known of an architecture without its graph. They need the extra ``predict``.

The features are the logarithms of parameters and multiply-accumulates, and the genes of fixed positions as indicators. The
target is the logarithm of the cost. A fitted forest is kept as arrays, so that no file needs scikit-learn or pickle to be read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from rbflex_evo.spaces import ConfigError, Genotype, VectorEncoding

from .predictor import Predictor, State

TREES = 200


def check_package() -> None:
    """Makes sure that the extra is installed.

    Raises:
        ConfigError: If it is not.
    """
    if find_spec("sklearn") is None:
        raise ConfigError('ridge and forest need the package scikit-learn: pip install "rbflex-evo[predict]"')


class Baseline(Predictor):
    """Regression of the logarithm of the cost on sizes and genes."""

    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        check_package()
        self._learn(self.features(genotypes), np.log(values))

    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return np.asarray(np.exp(self._logs(self.features(genotypes))))

    def features(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Returns what is known of architectures, float64 [architectures, features]."""
        costs = [self.space.costs(genotype) for genotype in genotypes]
        sizes: np.ndarray = np.log1p(np.array([(each.params, each.flops) for each in costs]))
        encoding = self.space.encoding
        if not isinstance(encoding, VectorEncoding):
            return sizes
        genes = np.array(genotypes)
        return np.hstack([sizes, *(genes[:, [i]] == np.arange(count) for i, count in enumerate(encoding.categories))])

    @abstractmethod
    def _learn(self, features: np.ndarray, logs: np.ndarray) -> None: ...

    @abstractmethod
    def _logs(self, features: np.ndarray) -> np.ndarray: ...


class RidgeBaseline(Baseline):
    """Ridge regression; its penalty is chosen by leave-one-out."""

    name = "ridge"
    description = "ridge regression on sizes and genes (scikit-learn)"

    def _learn(self, features: np.ndarray, logs: np.ndarray) -> None:
        from sklearn.linear_model import RidgeCV

        fitted = RidgeCV(np.logspace(-3, 3, 13)).fit(features, logs)
        self._line = np.append(fitted.coef_, fitted.intercept_)

    def _logs(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(features @ self._line[:-1] + self._line[-1])

    def state(self) -> State:
        """Returns the weights, the last of them the intercept."""
        return State({}, {"line": self._line})

    def restore(self, state: State) -> None:
        """Takes over weights."""
        self._line = state.arrays["line"]
        self.fitted = True


class ForestBaseline(Baseline):
    """Random forest of 200 trees."""

    name = "forest"
    description = "random forest on sizes and genes (scikit-learn)"

    def _learn(self, features: np.ndarray, logs: np.ndarray) -> None:
        from sklearn.ensemble import RandomForestRegressor

        fitted = RandomForestRegressor(TREES, random_state=self.seed, max_features=0.5, n_jobs=1).fit(features, logs)
        self._trees = joined([tree.tree_ for tree in fitted.estimators_])

    def _logs(self, features: np.ndarray) -> np.ndarray:
        # scikit-learn compares features in single precision.
        given = features.astype(np.float32)
        total = np.zeros(len(given))
        for root in self._trees["roots"]:
            nodes = np.full(len(given), root)
            while True:
                inner = self._trees["left"][nodes] >= 0
                if not inner.any():
                    break
                at = nodes[inner]
                below = given[inner, self._trees["feature"][at]] <= self._trees["threshold"][at]
                nodes[inner] = np.where(below, self._trees["left"][at], self._trees["right"][at])
            total += self._trees["value"][nodes]
        return total / len(self._trees["roots"])

    def state(self) -> State:
        """Returns the nodes of all trees."""
        return State({}, self._trees)

    def restore(self, state: State) -> None:
        """Takes over trees."""
        self._trees = dict(state.arrays)
        self.fitted = True


def joined(trees: Sequence[Any]) -> dict[str, np.ndarray]:
    """Returns the nodes of trees of scikit-learn in one numbering; a leaf has no left child (-1)."""
    roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
    children = {
        side: np.concatenate(
            [
                np.where((own := getattr(tree, f"children_{side}")) < 0, -1, own + root)
                for tree, root in zip(trees, roots, strict=True)
            ]
        )
        for side in ("left", "right")
    }
    return {
        "roots": roots,
        **children,
        "feature": np.concatenate([np.maximum(tree.feature, 0) for tree in trees]),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "value": np.concatenate([tree.value[:, 0, 0] for tree in trees]),
    }
