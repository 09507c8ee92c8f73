"""Sum of kernels (nn-Meter, Zhang et al., MobiSys 2021): each kind of kernel costs a linear function of its sizes.

    cost(network) = sum over kernels of kind k of  a_k + b_k multiply-accumulates + c_k weights + d_k elements read and written
                    + more for each element beyond 1, 2 and 4 million, which leave the caches

All coefficients are at least 0, so that a network of other sizes than the measured ones has no absurd cost. They are fitted to
the costs of whole networks, by the squared relative error; nn-Meter measures kernels one by one instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rbflex_evo.spaces import Genotype, SearchSpace

from .cutting import Cutter, Runtime
from .predictor import Predictor, State

# Weight of a coefficient's size beside the squared relative errors, which settles coefficients that the data leave open.
PENALTY = 1e-6
# Share of the median cost that smaller costs count as in relative errors, since networks without a path cost next to nothing.
SMALL = 0.5


class Kernels(Predictor):
    """Non-negative linear functions of the sizes of kernels, one for each kind.

    Args:
        space: Search space of the genotypes.
        seed: Not used.
        runtime: What runs the networks: "eager" or "onnx".
        cutter: Cuts networks into kernels; None for one of its own.
    """

    name = "kernels"
    description = "sum over fused kernels, each kind linear in its sizes (nn-Meter's idea)"

    def __init__(self, space: SearchSpace, seed: int = 0, runtime: Runtime = "eager", cutter: Cutter | None = None) -> None:
        super().__init__(space, seed)
        self.cutter = cutter or Cutter(space, runtime)
        self.kinds: list[str] = []
        self.coefficients = np.empty(0)

    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        from scipy.optimize import nnls

        self.kinds = self.cutter.kinds(genotypes)
        features = self._features(genotypes)
        scales = np.maximum(features.max(axis=0), 1e-12)
        targets = np.maximum(values, SMALL * np.median(values))
        weighted = features / scales / targets[:, None]
        penalty = np.sqrt(PENALTY * len(values)) * np.eye(features.shape[1]) * np.abs(weighted).mean()
        solved, _ = nnls(np.vstack([weighted, penalty]), np.concatenate([values / targets, np.zeros(features.shape[1])]))
        self.coefficients = solved / scales

    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return np.asarray(self._features(genotypes) @ self.coefficients)

    def _features(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Returns the summed sizes of each kind, and 1, float64 [architectures, PARTS * kinds + 1]; unknown kinds cost nothing."""
        return np.array([[*self.cutter(genotype).of(self.kinds), 1.0] for genotype in genotypes])

    def state(self) -> State:
        """Returns the coefficients by kind."""
        return State({"runtime": self.cutter.runtime, "kinds": self.kinds}, {"coefficients": self.coefficients})

    def restore(self, state: State) -> None:
        """Takes over coefficients."""
        self.cutter = Cutter(self.space, state.plain["runtime"])
        self.kinds = list(state.plain["kinds"])
        self.coefficients = state.arrays["coefficients"]
        self.fitted = True
