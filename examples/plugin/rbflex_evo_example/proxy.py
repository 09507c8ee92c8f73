"""RankMe (Garrido et al., ICML 2023, arXiv 2210.02885): in how many directions the images' last features spread.

    p_k = s_k / sum_j s_j + epsilon,  s the singular values of the features Y [N, L];  score = exp(- sum_k p_k log p_k)   (eq. 1)

The paper judges trained encoders by it; here it is taken of the untrained network.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from rbflex_evo.fitness import CandidateFailed, Observer, Proxy, Statistics
from rbflex_evo.spaces import ConfigError, Parameters, SearchSpace


class RankMeParameters(Parameters):
    """`epsilon` keeps the logarithm finite; only the score reads it, so another one measures nothing again."""

    epsilon: float = Field(1e-7, gt=0)


class RankMe(Proxy):
    """Effective rank of the N images' last features; higher is better, at most N. Cost class: forward."""

    name = "rankme"
    description = "effective rank of the images' last features"
    Parameters = RankMeParameters

    def check(self, space: SearchSpace) -> None:
        if space.features == "none":
            raise ConfigError(f"the last features of {space.name} are round-off, and {self.name} reads nothing else; leave it out")

    def observer(self) -> Observer:
        return FeatureObserver()

    def score(self, statistics: Statistics) -> float:
        values = statistics["singular_values"]
        shares = values / values.sum() + self.parameters.epsilon
        return float(np.exp(-(shares * np.log(shares)).sum()))


class FeatureObserver(Observer):
    """Keeps ``singular_values`` [min(N, L)] of the features, float64."""

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Leaves the activation layers alone."""

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:
        self.values = torch.linalg.svdvals(output.double())

    def finish(self) -> Statistics:
        values = self.values.cpu().numpy()
        if not np.isfinite(values).all() or not values.any():
            raise CandidateFailed("the last features are zero, NaN or infinite")
        return {"singular_values": values}
