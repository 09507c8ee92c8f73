"""A softmax policy over genotypes with one weight for each value of each gene, and its gradient.

Let phi(g) be the indicator of the pairs (position, value) in a genotype g, and theta one weight per pair. There are two
distributions:

    over all genotypes of categorical genes     p(g) = prod_i softmax(theta_i)[g_i]         independent genes
    over a menu of genotypes of any encoding    p(g) ~ exp(theta . phi(g)),  g in the menu

Both have the gradient  grad log p(g) = phi(g) - E_p[phi].  For independent genes, E_p[phi] holds their probabilities.
The weights are updated with Adam (Kingma & Ba, ICLR 2015) and its published decay rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rbflex_evo.spaces import Genotype

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
SMALL = 1e-8

# Index of the logit -inf, which is appended to the weights; it pads the rows of genes with fewer categories than the most.
PADDING = -1


class Policy:
    """The weights theta, one per pair (position, value), initially zero. A pair is added when it first occurs.

    Args:
        categories: Number of values of each gene if the genes are categorical, which `draw` and `expected` need.
    """

    def __init__(self, categories: Sequence[int] = ()) -> None:
        self._pairs: dict[tuple[int, int], int] = {}
        self._theta = np.zeros(0)
        self._first, self._second = np.zeros(0), np.zeros(0)
        self._updates = 0
        self._genes = np.full((len(categories), max(categories, default=0)), PADDING)
        for position, count in enumerate(categories):
            self._genes[position, :count] = self._indices([(position, value) for value in range(count)])

    def probabilities(self) -> np.ndarray:
        """Returns the probability of each value of each categorical gene, float64 [genes, most categories], padded with 0."""
        return _softmax(self._logits())

    def draw(self, count: int, rng: np.random.Generator) -> list[Genotype]:
        """Returns `count` random genotypes of independent categorical genes; they may repeat."""
        # The argmax of logits + Gumbel noise is distributed as their softmax.
        logits = self._logits()
        drawn = (logits + rng.gumbel(size=(count, *logits.shape))).argmax(axis=-1)
        return [tuple(genes) for genes in drawn.tolist()]

    def expected(self) -> np.ndarray:
        """Returns E[phi] of independent categorical genes, float64 [pairs]."""
        expected = np.zeros(len(self._theta) + 1)
        expected[self._genes] = self.probabilities()
        return expected[:PADDING]

    def choose(self, menu: Sequence[Genotype], rng: np.random.Generator) -> tuple[Genotype, np.ndarray]:
        """Returns a random genotype of the menu, and E[phi] over the menu, float64 [pairs]."""
        rows = [self._indices(list(enumerate(genotype))) for genotype in menu]
        likely = _softmax(np.array([self._theta[row].sum() for row in rows]))
        chosen = int(rng.choice(len(menu), p=likely))
        expected = np.zeros(len(self._theta))
        for row, probability in zip(rows, likely, strict=True):
            expected[row] += probability
        return menu[chosen], expected

    def learn(self, genotypes: Sequence[Genotype], expected: Sequence[np.ndarray], advantages: np.ndarray, rate: float) -> None:
        """Takes one step of Adam that ascends the mean of advantage x grad log p(genotype).

        Args:
            genotypes: Genotypes that were drawn or chosen.
            expected: For each genotype, E[phi] of the distribution that it was drawn from.
            advantages: Reward minus baseline of each genotype, float64 [len(genotypes)].
            rate: Learning rate.
        """
        rows = [self._indices(list(enumerate(genotype))) for genotype in genotypes]
        gradient = np.zeros(len(self._theta))
        for row, mean, advantage in zip(rows, expected, advantages, strict=True):
            gradient[row] += advantage
            gradient[: len(mean)] -= advantage * mean
        self._ascend(gradient / len(genotypes), rate)

    def to_json(self) -> dict[str, Any]:
        """Returns the weights and the state of Adam as JSON data."""
        return {
            "pairs": [list(pair) for pair in self._pairs],
            "theta": self._theta.tolist(),
            "first": self._first.tolist(),
            "second": self._second.tolist(),
            "updates": self._updates,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Restores the data that `to_json` returned."""
        self._pairs = {(int(position), int(value)): i for i, (position, value) in enumerate(data["pairs"])}
        self._theta, self._first, self._second = (np.array(data[name], float) for name in ("theta", "first", "second"))
        self._updates = data["updates"]

    def _logits(self) -> np.ndarray:
        logits: np.ndarray = np.append(self._theta, -np.inf)[self._genes]
        return logits

    def _ascend(self, gradient: np.ndarray, rate: float) -> None:
        self._updates += 1
        self._first = FIRST_DECAY * self._first + (1 - FIRST_DECAY) * gradient
        self._second = SECOND_DECAY * self._second + (1 - SECOND_DECAY) * gradient**2
        first = self._first / (1 - FIRST_DECAY**self._updates)
        second = self._second / (1 - SECOND_DECAY**self._updates)
        self._theta = self._theta + rate * first / (np.sqrt(second) + SMALL)

    def _indices(self, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        """Returns the indices of the weights of (position, value) pairs; adds new pairs with a weight of zero."""
        places = [self._pairs.setdefault(pair, len(self._pairs)) for pair in pairs]
        new = len(self._pairs) - len(self._theta)
        if new:
            self._theta, self._first, self._second = (
                np.pad(values, (0, new)) for values in (self._theta, self._first, self._second)
            )
        return np.array(places, dtype=np.intp)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the softmax over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
