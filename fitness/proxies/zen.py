"""Zen-score (Lin et al., Zen-NAS, ICCV 2021, arXiv 2102.01063, algorithm 1): sensitivity of the network's last map to its input.

    n, e: images of N(0, 1) noise;  f: the map before global pooling, of a network with weights of N(0, 1), no biases
    score = log E ||f(n) - f(n + alpha e)||_F + sum over batch normalisations of log sqrt(mean_c variance_c)

The second term restores the scale that each batch normalisation divides by, so that depth and width count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.data.inputs import refuse_words
from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics, sum_dtype
from rbflex_evo.spaces import Parameters, SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.subject import Subject


class ZenParameters(Parameters):
    """Parameters of the score.

    Attributes:
        images: Number of noise images.
        alpha: Size of the perturbation; the paper takes 0.01.
    """

    images: int = Field(default=16, ge=2)
    alpha: float = Field(default=0.01, gt=0)


class Zen(Proxy):
    """Zen-score; higher is better.

    Cost: two forwards of a network that is built for this score alone. Pitfalls: weights are N(0, 1) in any configuration, because
    the score depends on their scale. The paper removes residual links first; here they are part of the search space, and on
    topology spaces the score ranks poorly. The paper averages 32 draws of the weights; here there is one, a function of the seed.
    """

    name = "zen"
    description = "Zen-score: how fast the map before pooling changes with its input, batch normalisation undone"
    needs = "network"
    cost = "forward"
    Parameters = ZenParameters
    measured_by = ("images", "alpha")
    parameters: ZenParameters

    def check(self, space: SearchSpace) -> None:
        """Refuses a space of words, whose inputs take no noise.

        Raises:
            ConfigError: If the inputs of `space` are words.
        """
        refuse_words(self.name, "moves inputs of noise by a little noise", space)

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``change`` [], the mean norm, and ``variances`` [batch normalisations], the means over channels."""
        import torch

        from rbflex_evo.fitness.passes.last_map import last_map, last_map_and_variances
        from rbflex_evo.spaces.architecture.lean import LeanNetwork

        network = subject.lean_initialised("standard_normal")
        classifier = None if isinstance(network, LeanNetwork) else subject.space.classifier(network)
        double = sum_dtype(subject.images.device)
        shape = (self.parameters.images, *subject.images.shape[1:])
        noise, perturbation = subject.normal("zen/images", shape), subject.normal("zen/perturbation", shape)
        with torch.no_grad():
            before, variances = last_map_and_variances(network, classifier, noise)
            after = last_map(network, classifier, noise + self.parameters.alpha * perturbation)
        change = (before.to(double) - after.to(double)).flatten(1).norm(dim=1).mean()
        return {
            "change": change.cpu().numpy(),
            "variances": torch.stack([v.mean(dtype=double) for v in variances]).cpu().numpy().astype(float)
            if variances
            else np.zeros(0),
        }

    def score(self, statistics: Statistics) -> float:
        """Returns the logarithm of the change plus the scales of the batch normalisations.

        Raises:
            CandidateFailed: If a map is not finite or does not depend on the input.
        """
        change, variances = float(statistics["change"]), statistics["variances"]
        if not np.isfinite(change) or not np.isfinite(variances).all():
            raise CandidateFailed("the map before pooling, or one on the way to it, holds NaN or infinity")
        if change == 0 or (variances == 0).any():
            raise CandidateFailed("the map before pooling does not depend on the input: the signal died")
        return float(np.log(change) + 0.5 * np.log(variances).sum())
