"""A table with one entry for each layer, whose sum is the cost of a network (ProxylessNAS, Cai et al., ICLR 2019).

The entries are fitted to the costs of whole networks by ridge regression. In a space whose genes are choices for fixed
positions, an entry belongs to a position and its choice. In other spaces it belongs to a kernel of one shape, and the sizes of
each kind of kernel are features, too, so that an entry which was seen rarely is near that of similar shapes. Costs or their
logarithms are summed, whichever has the smaller median leave-one-out error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rbflex_evo.spaces import Genotype, SearchSpace, VectorEncoding

from .cutting import Cutter, Runtime
from .least_squares import Linear, ridge
from .predictor import Predictor, State

# Standard deviation that the sizes of kinds are scaled to; entries are counts of about 1, so that sizes are penalised less.
SIZES = 10.0

Transform = Callable[[np.ndarray], np.ndarray]
SCALES: dict[str, tuple[Transform, Transform]] = {"sum": (lambda x: x, lambda x: x), "log": (np.log, np.exp)}


class Lookup(Predictor):
    """An additive table of layers, fitted by ridge regression.

    Args:
        space: Search space of the genotypes.
        seed: Not used.
        runtime: What runs the networks, which decides what a kernel is; not used for genes of fixed positions.
        cutter: Cuts networks into kernels; None for one of its own.
    """

    name = "lookup"
    description = "additive table of layers, by position and operation or by kernel"

    def __init__(self, space: SearchSpace, seed: int = 0, runtime: Runtime = "eager", cutter: Cutter | None = None) -> None:
        super().__init__(space, seed)
        self.cutter = cutter or Cutter(space, runtime)
        self.labels: list[str] = []
        self.kinds: list[str] = []
        self.scale = "sum"
        self.sizes = np.empty((2, 0))
        self.line = Linear(np.empty(0), 0.0, np.empty(0))

    @property
    def positional(self) -> bool:
        """Whether the genes are choices for fixed positions."""
        return isinstance(self.space.encoding, VectorEncoding)

    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        counts = [self._entries(genotype) for genotype in genotypes]
        self.labels = sorted(set().union(*counts))
        if not self.positional:
            self.kinds = self.cutter.kinds(genotypes)
            sizes = self._sizes(genotypes)
            self.sizes = np.stack([sizes.mean(axis=0), np.maximum(sizes.std(axis=0), 1e-12 + 1e-9 * sizes.mean(axis=0))])
        features = self._features(genotypes)
        lines = {name: ridge(features, there(values)) for name, (there, _) in SCALES.items()}

        def error(name: str) -> float:
            return float(np.median(np.abs(SCALES[name][1](lines[name].left_out) - values) / values))

        self.scale = min(lines, key=error)
        self.line = lines[self.scale]

    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return SCALES[self.scale][1](self.line(self._features(genotypes)))

    def _entries(self, genotype: Genotype) -> Mapping[str, int]:
        if self.positional:
            return Counter(f"{position}: {gene}" for position, gene in enumerate(genotype))
        return self.cutter(genotype).labels

    def _features(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        places = {label: i for i, label in enumerate(self.labels)}
        features = np.zeros((len(genotypes), len(places)))
        for row, genotype in enumerate(genotypes):
            for label, count in self._entries(genotype).items():
                if label in places:
                    features[row, places[label]] = count
        if self.positional:
            return features
        mean, spread = self.sizes
        return np.hstack([features, SIZES * (self._sizes(genotypes) - mean) / spread])

    def _sizes(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return np.array([self.cutter(genotype).of(self.kinds) for genotype in genotypes])

    def state(self) -> State:
        """Returns the table."""
        plain = {"runtime": self.cutter.runtime, "labels": self.labels, "kinds": self.kinds, "scale": self.scale}
        return State({**plain, "intercept": self.line.intercept}, {"entries": self.line.weights, "sizes": self.sizes})

    def restore(self, state: State) -> None:
        """Takes over a table."""
        plain = state.plain
        self.cutter = Cutter(self.space, plain["runtime"])
        self.labels, self.kinds, self.scale = list(plain["labels"]), list(plain["kinds"]), plain["scale"]
        self.sizes = state.arrays["sizes"]
        self.line = Linear(state.arrays["entries"], float(plain["intercept"]), np.empty(0))
        self.fitted = True
