"""Jacobian covariance (Mellor et al. 2020, arXiv 2006.04647v1; Abdelfattah et al. 2021): correlation of the input gradients.

J_n = d(sum of outputs)/dx_n, each image's row centred; S = their correlations, v its eigenvalues
score = - sum_i (log(v_i + k) + 1 / (v_i + k)),  k = 1e-5        (survey, arXiv 2307.01998, eq. 7-10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.data.inputs import refuse_words
from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.subject import Subject

K = 1e-5


class JacobCov(Proxy):
    """Minus sum_i (log(v_i + k) + 1 / (v_i + k)) over the eigenvalues of the input gradients' correlations; higher is better.

    Cost: one backward, to the images only. There is no loss and no labels: the outputs are summed. Batch normalisation uses the
    batch's statistics, so a row is the effect of its image on all outputs. Pitfalls: eq. 10 of the survey omits the logarithm,
    which the papers and their code have. Correlations are symmetric, so their eigenvalues are real. If an image's gradient is
    constant, it has no correlation and the network fails.
    """

    name = "jacob_cov"
    description = "how little the images' input gradients correlate"
    needs = "network"
    cost = "backward"

    def check(self, space: SearchSpace) -> None:
        """Refuses a space of words, whose inputs have no gradient.

        Raises:
            ConfigError: If the inputs of `space` are words.
        """
        refuse_words(self.name, "takes gradients with respect to the inputs", space)

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``covariances`` [N, N] of the centred rows, float64."""
        from rbflex_evo.fitness.passes.backward import gradients, inputs_of, training

        images = inputs_of(subject).detach().clone().requires_grad_()
        with training(subject.lean):
            (gradient,) = gradients(subject.lean(images).sum(), [images])
        if gradient is None:
            raise CandidateFailed("no path from input to output")
        rows = gradient.flatten(1).cpu().numpy().astype(float)
        if not np.isfinite(rows).all():
            raise CandidateFailed("gradients of the images hold NaN or infinity")
        rows -= rows.mean(axis=1, keepdims=True)
        covariances = rows @ rows.T
        if not np.diag(covariances).all():
            raise CandidateFailed("an image's gradient is constant: no path from input to output, or the signal died")
        return {"covariances": covariances}

    def score(self, statistics: Statistics) -> float:
        """Returns the score of the correlations."""
        covariances = statistics["covariances"]
        deviations = np.sqrt(np.diag(covariances))
        values = np.linalg.eigvalsh(covariances / deviations[:, None] / deviations) + K
        return float(-(np.log(values) + 1 / values).sum())
