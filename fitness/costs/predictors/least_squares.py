"""Ridge regression whose penalty is chosen by leave-one-out.

minimise |y - b - X w|^2 + penalty |w|^2
leave-one-out residual of row i = residual_i / (1 - H_ii), H the hat matrix (Hoerl & Kennard 1970; Allen 1974)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PENALTIES = tuple(10.0**exponent for exponent in range(-4, 4))


@dataclass(frozen=True)
class Linear:
    """A fitted line y = intercept + X w.

    Attributes:
        weights: float64 [features].
        intercept: Value where all features are 0.
        left_out: Prediction of each row of the training set from the other rows, float64 [rows].
    """

    weights: np.ndarray
    intercept: float
    left_out: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Returns the predictions for features [rows, features]."""
        return np.asarray(features @ self.weights + self.intercept)


def ridge(features: np.ndarray, values: np.ndarray, penalties: Sequence[float] = PENALTIES) -> Linear:
    """Returns the ridge regression with the penalty of the smallest squared leave-one-out error.

    Args:
        features: float64 [rows, features].
        values: float64 [rows].
        penalties: Candidates, relative to the mean eigenvalue of X X^T.
    """
    middle, mean = features.mean(axis=0), values.mean()
    centred, target = features - middle, values - mean
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    scale = float((sizes**2).mean()) or 1.0
    projected = left.T @ target
    best: tuple[float, Linear] | None = None
    for penalty in penalties:
        shrunk = sizes**2 / (sizes**2 + penalty * scale)
        fitted = left @ (shrunk * projected)
        # The mean is fitted, too, which adds 1 / rows to the hat matrix.
        hat = (left**2) @ shrunk + 1 / len(values)
        left_out = mean + fitted - (target - fitted) * hat / np.maximum(1 - hat, 1e-6)
        weights = right.T @ (np.divide(shrunk, sizes, out=np.zeros_like(sizes), where=sizes > 1e-12) * projected)
        found = Linear(weights, float(mean - middle @ weights), left_out)
        error = float(((left_out - values) ** 2).sum())
        if best is None or error < best[0]:
            best = error, found
    if best is None:
        raise ValueError("there are no penalties to choose from")
    return best[1]
