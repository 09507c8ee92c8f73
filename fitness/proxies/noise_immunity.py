"""Noise immunity (Wu et al., IEEE TEVC 2023; Rank-based NAS, Hsieh, section 2.1): how little noise on the input changes the maps.

    X' = X + sigma z, z ~ N(0, 1);  p_k: the input of the k-th pooling layer
    eta = sum over pooling layers of the mean of (p_k(X) - p_k(X'))^2,  score = -eta

Images of one class should stay similar under noise, so a small eta is good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.data.inputs import refuse_words
from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics, sum_dtype
from rbflex_evo.spaces import Parameters, SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    from torch import Tensor

    from rbflex_evo.fitness.passes.subject import Subject


class NoiseImmunityParameters(Parameters):
    """Parameters of the score.

    Attributes:
        sigma: Standard deviation of the noise; images are usually normalised to about 1.
    """

    sigma: float = Field(default=1.0, gt=0)


class NoiseImmunity(Proxy):
    """Noise immunity -eta; higher is better, at most 0.

    Cost: two forwards on the run's images. Any pooling counts, a module or a function, the global one included. Pitfalls: the sum
    grows with the number of pooling layers in a cell. The TEVC article divides a size of the network and its share of pooling
    layers by eta; these are separate scores here. A network that noise does not change would have the best score, but is dead, so
    it fails.
    """

    name = "ni"
    description = "noise immunity: minus the squared change of the maps at the pooling layers under noise on the input"
    needs = "network"
    cost = "forward"
    Parameters = NoiseImmunityParameters
    measured_by = ("sigma",)
    parameters: NoiseImmunityParameters

    def check(self, space: SearchSpace) -> None:
        """Refuses a space of words, whose inputs take no noise.

        Raises:
            ConfigError: If the inputs of `space` are words.
        """
        refuse_words(self.name, "adds noise to the inputs", space)

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``changes`` [pooling layers], the mean squared change of each, in the order in which they run."""
        import torch

        from rbflex_evo.fitness.passes.last_map import channels_last
        from rbflex_evo.fitness.passes.watch import POOLINGS, Rewired, batch_norm, evaluation_mode, normalisations

        network, images = subject.network, subject.images
        double = sum_dtype(images.device)
        clean: list[Tensor] = []
        changes: list[float] = []

        def remember(func: Any, args: tuple[Any, ...], output: Any) -> None:
            # A value that is not per image is no map.
            if len(args[0]) == len(images):
                clean.append(args[0].clone())

        def compare(func: Any, args: tuple[Any, ...], output: Any) -> None:
            if len(args[0]) == len(images):
                changes.append(float((clean[len(changes)] - args[0]).to(double).square().mean()))

        noisy = images + self.parameters.sigma * subject.normal("ni/noise", tuple(images.shape))
        with torch.no_grad(), evaluation_mode(network):
            for inputs, watcher in ((images, remember), (noisy, compare)):
                with Rewired(normalisations(batch_norm), dict.fromkeys(POOLINGS, watcher)):
                    network(channels_last(inputs))
        return {"changes": np.array(changes)}

    def score(self, statistics: Statistics) -> float:
        """Returns minus the sum over the pooling layers.

        Raises:
            CandidateFailed: If there is no pooling layer, a map is not finite, or noise changes nothing.
        """
        changes = statistics["changes"]
        if not len(changes):
            raise CandidateFailed("the network has no pooling layer")
        if not np.isfinite(changes).all():
            raise CandidateFailed("the maps at the pooling layers hold NaN or infinity")
        if changes[-1] == 0:
            raise CandidateFailed("noise on the input changes nothing at the last pooling layer: the signal died")
        return float(-changes.sum())
