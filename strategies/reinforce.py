"""REINFORCE: a policy over genes that follows the policy gradient of a reward (Zoph & Le, ICLR 2017).

The gradient is that of Williams, Machine Learning 8 (1992). The controller is that of NATS-Bench (Dong et al., TPAMI 2021):
independent softmax logits, one for each value of each gene, in place of the paper's recurrent network.

    theta <- 0, baseline <- 1/2
    repeat:
        genotypes <- `batch` unseen draws from p(. | theta)
        reward    <- percentile of each among the last `memory` candidates, by current utility
        theta     <- theta + Adam(learning_rate, mean over the batch of (reward - baseline) grad log p(genotype | theta))
        baseline  <- momentum * baseline + (1 - momentum) * mean reward

    parameter       here   NATS-Bench                     Zoph & Le
    controller    logits   logits                         2-layer LSTM of 35
    learning_rate   0.08   0.01 (Adam)                    0.0006 (Adam)
    batch              8   1                              8 per controller replica
    momentum         0.9   0.9                            moving average, not stated
    reward    percentile   validation accuracy            cubed validation accuracy
    memory           200   (of percentiles)

One step for a batch of 8 is as long as eight steps of NATS-Bench. Percentiles suit raw scores and ranks (recent.py). Their
mean is 1/2, which is the first baseline. A batch consists of the first unseen genotypes among four times as many draws. If
these are too few, draws are mutated until they are unseen. Late in a run, the gradient is therefore only approximately that
of the proposing policy.

The genes of an encoding other than `VectorEncoding` cannot be drawn independently. There the policy is a softmax over a menu
of unseen genotypes. Half of them are drawn from the encoding, half are one-gene mutants of the last told genotypes. Given
the menu, the gradient is exact. The mutants let the search climb further than menus of random genotypes do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters, VectorEncoding

from .policy import Policy
from .recent import Recent
from .situation import Situation
from .strategy import Strategy, View
from .unseen import Unseen

DRAWS = 4
MENU = 32
FIRST_BASELINE = 0.5


class ReinforceParameters(Parameters):
    """Parameters of REINFORCE.

    Attributes:
        learning_rate: Learning rate of Adam.
        batch: Number of genotypes per ask and per gradient step.
        momentum: Share of the old baseline in the new one.
        memory: Number of last told candidates among which a percentile is computed.
    """

    learning_rate: float = Field(0.08, gt=0.0)
    batch: int = Field(8, ge=1)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    memory: int = Field(200, ge=2)


class Reinforce(Strategy):
    """REINFORCE, policy gradient over the genes of any encoding (Zoph & Le, ICLR 2017; Williams, 1992).

    Genotypes are drawn from a softmax policy, which follows the gradient of their percentiles. `ReinforceParameters`
    describes the parameters.
    """

    name = "reinforce"
    description = "policy gradient on percentiles, independent softmax genes"
    default_rule = "learning_rate is 4 over the root of the budget (0.02 to 0.4), batch 0.3 times the root (4 to 8)"
    Parameters: ClassVar[type[Parameters]] = ReinforceParameters
    parameters: ReinforceParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a learning rate that falls with the root of the budget, and a batch that grows with it."""
        rate = min(max(4.0 / math.sqrt(situation.evaluations), 0.02), 0.4)
        return {"learning_rate": round(rate, 4), "batch": situation.root(0.3, 4, 8)}

    def __init__(self, encoding: Encoding, seed: int, parameters: ReinforceParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.policy = Policy(encoding.categories if isinstance(encoding, VectorEncoding) else ())
        self.baseline = FIRST_BASELINE
        self._recent = Recent(self.parameters.memory)
        self._last: list[Genotype] = []
        self._expected: list[np.ndarray] = []
        self._unseen = Unseen(encoding)

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns genotypes drawn from the policy."""
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
        """Moves the policy along the gradient of the told percentiles."""
        if not evaluations:
            return
        genotypes = [evaluation.genotype for evaluation in evaluations]
        keys = [evaluation.key for evaluation in evaluations]
        self._recent.add(keys)
        self._last = genotypes[-MENU // 2 :]
        # The genotypes of a warm start were not drawn from the policy. They only count for later percentiles.
        if self.generation > 0:
            _, rewards = self._recent.worth(keys, view)
            self.policy.learn(genotypes, self._expected, rewards - self.baseline, self.parameters.learning_rate)
            momentum = self.parameters.momentum
            self.baseline = momentum * self.baseline + (1 - momentum) * float(rewards.mean())
            self._expected = []

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {
            "policy": self.policy.to_json(),
            "baseline": self.baseline,
            "recent": self._recent.to_json(),
            "last": [list(genotype) for genotype in self._last],
            "expected": [expected.tolist() for expected in self._expected],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self.policy.restore(state["policy"])
        self.baseline = state["baseline"]
        self._recent = Recent(self.parameters.memory, state["recent"])
        self._last = [tuple(genotype) for genotype in state["last"]]
        self._expected = [np.array(expected, float) for expected in state["expected"]]

    def _drawn(self, count: int, view: View, taken: set[str]) -> list[Genotype]:
        draws = self.policy.draw(DRAWS * count, self.rng)
        genotypes = list(islice(self._unseen.among(draws, view, taken), count))
        # If they are too few, all draws are seen or taken, so each of these is replaced with an unseen genotype near it.
        return genotypes + self._unseen.each_or_near(draws[len(genotypes) : count], self.rng, view, taken)

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
        """Returns up to `MENU` unseen genotypes of distinct keys, or none if no unseen genotype is found."""
        parents = [self._last[int(i)] for i in self.rng.integers(len(self._last), size=MENU // 2)] if self._last else []
        offers = [self.encoding.mutate(parent, self.rng) for parent in parents]
        offers += [self.encoding.sample(self.rng) for _ in range(MENU - len(offers))]
        offered = set(taken)
        menu = list(self._unseen.among(offers, view, offered))
        return menu or self._unseen.each_or_near(offers[:1], self.rng, view, offered)
