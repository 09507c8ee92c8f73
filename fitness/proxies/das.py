"""DAS, the distinguishing activation score (Liu et al. 2022, arXiv 2212.12132): a weighted sum of the two terms of NASWOT.

With K_H[i, j] = N_A - hamming(c_i, c_j) as in NASWOT, N images and N_A activation units,

    log|K_H|  =  log|K_H / N_A|  +  N log N_A
    NASWOT       distinguishing     activation

The first term is how differently the images switch a unit on average, independent of the number of units; the second is that
number. The paper calls them the two atomic metrics that NASWOT combines, and looks for a better combination:

    score = log|K_H / N_A| + activation_weight N log N_A
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.spaces import refuse_without_effect

from .naswot import NaswotObserver, NaswotParameters
from .proxy import Proxy


class DasParameters(NaswotParameters):
    """Parameters of the score, without NASWOT's repairs and published mode, which das does not have.

    Attributes:
        activation_weight: Weight of the number of units; 1 is NASWOT, 0 the distinguishing term alone.
    """

    activation_weight: float = Field(default=0.5, ge=0)

    @model_validator(mode="after")
    def _of_the_plain_forward(self) -> DasParameters:
        for name in ("repair", "mode"):
            refuse_without_effect(self, name, "in das, which has the plain forward alone")
        return self


class Das(Proxy):
    """Distinguishing term plus weighted activation term of log|K_H|; higher is better.

    Cost class: forward; it shares NASWOT's statistics and pass. Pitfalls: the split is exact, but we do not know the paper's rule
    for combining its terms, so the default weight is ours. It has little influence: the number of units decides the order down to
    weights of 0.2, and RBFleX-NAS (Table I) finds DAS within 0.01 of NASWOT. The distinguishing term alone gives the reverse order
    on NATS-Bench TSS. As with NASWOT, the score depends on N, and a network fails if two images have equal codes.
    """

    name = "das"
    description = "NASWOT's distinguishing ability and number of units, weighed apart"
    Parameters = DasParameters
    parameters: DasParameters

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        """The inputs that batch normalisation takes its statistics from."""
        return self.parameters.statistics

    def observer(self) -> Observer:
        """Returns an observer that counts matching activation codes."""
        return NaswotObserver()

    def score(self, statistics: Statistics) -> float:
        """Returns the weighted sum of both terms.

        Raises:
            CandidateFailed: If two images have equal activation codes.
        """
        matches = statistics["matches"]
        units = matches[0, 0]
        sign, distinguishing = np.linalg.slogdet(matches / units)
        if sign <= 0 or not np.isfinite(distinguishing):
            raise CandidateFailed("two images have equal activation codes")
        return float(distinguishing + self.parameters.activation_weight * len(matches) * np.log(units))
