"""A softmax policy over genotypes with one weight for each value of each gene, and its gradient.

With phi(g) the indicator of the pairs (position, value) in a genotype g, and theta one weight a pair, two distributions:

    over all genotypes of categorical genes     p(g) = prod_i softmax(theta_i)[g_i]         independent genes
    over a menu of genotypes of any encoding    p(g) ~ exp(theta . phi(g)),  g in the menu

Both have the gradient  grad log p(g) = phi(g) - E_p[phi],  where for independent genes E_p[phi] holds their probabilities.
Ascent is by Adam (Kingma & Ba, ICLR 2015) with its published decay rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rbflex_evo.spaces import Genotype

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
SMALL = 1e-8

# The last place of the weights with one of -inf appended: what genes of fewer categories than the most are filled up with.
PADDING = -1


class Policy:
    """The weights theta, one a pair (position, value), all zero at first; pairs are added as they are met.

    Args:
        categories: the number of values of each gene where genes are categorical, so that `draw` can be used.
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
        """Returns float64 [genes, most categories], how likely each value of each categorical gene is; 0 beyond a gene's."""
        return _softmax(self._logits())

    def draw(self, count: int, rng: np.random.Generator) -> list[Genotype]:
        """Returns `count` genotypes of independent categorical genes, equal ones among them."""
        # The largest of logits + Gumbel noise is distributed as their softmax.
        logits = self._logits()
        drawn = (logits + rng.gumbel(size=(count, *logits.shape))).argmax(axis=-1)
        return [tuple(genes) for genes in drawn.tolist()]

    def expected(self) -> np.ndarray:
        """Returns float64 [pairs], E[phi] of independent categorical genes."""
        expected = np.zeros(len(self._theta) + 1)
        expected[self._genes] = self.probabilities()
        return expected[:PADDING]

    def choose(self, menu: Sequence[Genotype], rng: np.random.Generator) -> tuple[Genotype, np.ndarray]:
        """Returns one genotype of the menu, and float64 [pairs], E[phi] over the menu."""
        rows = [self._indices(list(enumerate(genotype))) for genotype in menu]
        likely = _softmax(np.array([self._theta[row].sum() for row in rows]))
        chosen = int(rng.choice(len(menu), p=likely))
        expected = np.zeros(len(self._theta))
        for row, probability in zip(rows, likely, strict=True):
            expected[row] += probability
        return menu[chosen], expected

    def learn(self, genotypes: Sequence[Genotype], expected: Sequence[np.ndarray], advantages: np.ndarray, rate: float) -> None:
        """Takes one step of Adam up the mean of advantage x grad log p(genotype).

        Args:
            genotypes: what was drawn or chosen.
            expected: for each, E[phi] of the distribution that it was drawn from.
            advantages: float64 [len(genotypes)], reward less baseline.
            rate: the learning rate.
        """
        rows = [self._indices(list(enumerate(genotype))) for genotype in genotypes]
        gradient = np.zeros(len(self._theta))
        for row, mean, advantage in zip(rows, expected, advantages, strict=True):
            gradient[row] += advantage
            gradient[: len(mean)] -= advantage * mean
        self._ascend(gradient / len(genotypes), rate)

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as JSON data."""
        return {
            "pairs": [list(pair) for pair in self._pairs],
            "theta": self._theta.tolist(),
            "first": self._first.tolist(),
            "second": self._second.tolist(),
            "updates": self._updates,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Restores what `to_json` returned."""
        self._pairs = {(int(position), int(value)): i for i, (position, value) in enumerate(data["pairs"])}
        self._theta, self._first, self._second = (np.array(data[name], float) for name in ("theta", "first", "second"))
        self._updates = data["updates"]

    def _logits(self) -> np.ndarray:
        return np.append(self._theta, -np.inf)[self._genes]

    def _ascend(self, gradient: np.ndarray, rate: float) -> None:
        self._updates += 1
        self._first = FIRST_DECAY * self._first + (1 - FIRST_DECAY) * gradient
        self._second = SECOND_DECAY * self._second + (1 - SECOND_DECAY) * gradient**2
        first = self._first / (1 - FIRST_DECAY**self._updates)
        second = self._second / (1 - SECOND_DECAY**self._updates)
        self._theta = self._theta + rate * first / (np.sqrt(second) + SMALL)

    def _indices(self, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        """Returns the weights' places of (position, value) pairs; new pairs get a place and a weight of zero."""
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
