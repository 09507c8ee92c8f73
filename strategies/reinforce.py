"""REINFORCE: a policy over genes, moved by the policy gradient towards what was rewarded (Zoph & Le, ICLR 2017).

Also Williams, Machine Learning 8 (1992), for the gradient, and NATS-Bench (Dong et al., TPAMI 2021) for the controller:
independent softmax logits, one a value of each gene, in place of the paper's recurrent network.

    theta <- 0, baseline <- 1/2
    repeat:
        genotypes <- `batch` unseen draws from p(. | theta)
        reward    <- percentile of each among the last `memory` candidates, by utility as it is now
        theta     <- theta + Adam(learning_rate, mean over the batch of (reward - baseline) grad log p(genotype | theta))
        baseline  <- momentum * baseline + (1 - momentum) * mean reward

    parameter       here   NATS-Bench                     Zoph & Le
    controller    logits   logits                         2-layer LSTM of 35
    learning_rate   0.08   0.01 (Adam)                    0.0006 (Adam)
    batch              8   1                              8 a controller replica
    momentum         0.9   0.9                            moving average, not stated
    reward    percentile   validation accuracy            cubed validation accuracy
    memory           200   (of percentiles)

A batch of 8 takes one step as long as NATS-Bench's eight. A percentile is 1/2 on average, whence the first baseline; it
serves raw scores and ranks alike (`recent.py`). The batch is the first unseen ones of four times as many
draws; where these are too few, draws are mutated until they are new. So late in a run the gradient is only approximately
that of the policy which proposed.

Over an encoding that is no vector of categories the genes cannot be drawn one by one. There the policy is a softmax over a
menu: half of it drawn from the encoding, half one-gene mutants of the last told genotypes, all unseen. Given the
menu its gradient is exact, too; the mutants let it climb further than any menu of random genotypes reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters, VectorEncoding

from .candidates import Candidate, Unseen
from .policy import Policy
from .recent import Recent
from .strategy import Strategy, View

DRAWS = 4
MENU = 32
FIRST_BASELINE = 0.5


class ReinforceParameters(Parameters):
    """Parameters of REINFORCE.

    Attributes:
        learning_rate: Learning rate of Adam.
        batch: Genotypes of one step.
        momentum: Momentum of the baseline.
        memory: Number of candidates that a percentile is taken over.
    """

    learning_rate: float = Field(0.08, gt=0.0)
    batch: int = Field(8, ge=1)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    memory: int = Field(200, ge=2)


class Reinforce(Strategy):
    """Policy gradient over the genes of any encoding."""

    name = "reinforce"
    description = "policy gradient on percentiles, independent softmax genes"
    Parameters: ClassVar[type[Parameters]] = ReinforceParameters
    parameters: ReinforceParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: ReinforceParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.policy = Policy(encoding.categories if isinstance(encoding, VectorEncoding) else ())
        self.baseline = FIRST_BASELINE
        self._recent = Recent(self.parameters.memory)
        self._last: list[Genotype] = []
        self._expected: list[np.ndarray] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        count = min(n, self.parameters.batch)
        taken: set[str] = set()
        if isinstance(self.encoding, VectorEncoding):
            genotypes = self._drawn(count, view, taken)
            self._expected = [self.policy.expected()] * len(genotypes)
        else:
            genotypes, self._expected = self._chosen(count, view, taken)
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        if not evaluations:
            return
        told = [Candidate.of(evaluation) for evaluation in evaluations]
        self._recent.add(candidate.key for candidate in told)
        self._last = [candidate.genotype for candidate in told][-MENU // 2 :]
        # A warm start was not drawn from the policy: it is what later candidates are compared with, no more.
        if self.generation > 0:
            _, rewards = self._recent.worth([candidate.key for candidate in told], view)
            genotypes = [candidate.genotype for candidate in told]
            self.policy.learn(genotypes, self._expected, rewards - self.baseline, self.parameters.learning_rate)
            momentum = self.parameters.momentum
            self.baseline = momentum * self.baseline + (1 - momentum) * float(rewards.mean())
            self._expected = []

    def get_state(self) -> dict[str, Any]:
        return {
            "policy": self.policy.to_json(),
            "baseline": self.baseline,
            "recent": self._recent.to_json(),
            "last": [list(genotype) for genotype in self._last],
            "expected": [expected.tolist() for expected in self._expected],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.policy.restore(state["policy"])
        self.baseline = state["baseline"]
        self._recent = Recent(self.parameters.memory, state["recent"])
        self._last = [tuple(genotype) for genotype in state["last"]]
        self._expected = [np.array(expected, float) for expected in state["expected"]]

    def _drawn(self, count: int, view: View, taken: set[str]) -> list[Genotype]:
        draws = self.policy.draw(DRAWS * count, self.rng)
        unseen = (genotype for genotype in draws if self._unseen.take(genotype, view, taken))
        genotypes = list(islice(unseen, count))
        while len(genotypes) < count:
            genotype = self._unseen.near(draws[len(genotypes)], self.rng, view, taken)
            if genotype is None:
                break
            genotypes.append(genotype)
        return genotypes

    def _chosen(self, count: int, view: View, taken: set[str]) -> tuple[list[Genotype], list[np.ndarray]]:
        genotypes: list[Genotype] = []
        expected: list[np.ndarray] = []
        while len(genotypes) < count:
            menu = self._menu(view, taken)
            if not menu:
                break
            genotype, mean = self.policy.choose(menu, self.rng)
            taken.add(view.key(genotype))
            genotypes.append(genotype)
            expected.append(mean)
        return genotypes, expected

    def _menu(self, view: View, taken: set[str]) -> list[Genotype]:
        """Returns unseen genotypes of distinct keys, up to `MENU`; none only where no unseen one is found."""
        parents = [self._last[int(i)] for i in self.rng.integers(len(self._last), size=MENU // 2)] if self._last else []
        offers = [self.encoding.mutate(parent, self.rng) for parent in parents]
        offers += [self.encoding.sample(self.rng) for _ in range(MENU - len(offers))]
        offered = set(taken)
        menu = [genotype for genotype in offers if self._unseen.take(genotype, view, offered)]
        if not menu:
            found = self._unseen.near(offers[0], self.rng, view, offered)
            menu = [] if found is None else [found]
        return menu
