"""GradSign (Zhang & Jia, ICLR 2022, arXiv 2110.08616): how far the images agree on the sign of each weight's gradient.

score = sum over weights of |sum_n sign(dL_n/dw)|,  L_n the loss of image n alone   (survey, arXiv 2307.01998, eq. 5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbflex_evo.fitness.passes.observer import Statistics, sum_dtype

from .proxy import Proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.subject import Subject


class Gradsign(Proxy):
    """Sum over weights of |sum_n sign(dL_n/dw)|; higher is better.

    Cost: one backward of the batch and a gradient of each image's weights, or N backwards of one image for networks whose layers
    are shared, grouped or not of images. The loss is the task's; labels are the data's or
    seeded random ones. The paper feeds images one by one in training mode, so each is normalised by its own statistics. Pitfalls:
    it grows with the number of weights and of images. Only weights of convolutions and linear layers count, as in the published
    code: a bias before a batch normalisation has a gradient of 0, whose sign would be round-off.
    """

    name = "gradsign"
    description = "agreement of the images on the sign of each weight's gradient"
    needs = "network"
    cost = "backward"
    uses_labels = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``agreements`` [layers], the sum over each layer's weights, float64."""
        from rbflex_evo.fitness.passes.backward import collect, image_signs, inputs_of, weights_of
        from rbflex_evo.fitness.passes.watch import image_norm

        network, images = subject.lean, inputs_of(subject)
        signs = image_signs(network, images, subject.loss, weights_of(network), image_norm)
        zero = images.new_zeros((), dtype=sum_dtype(images.device))
        agreements = [zero if total is None else total.abs().sum(dtype=zero.dtype) for total in signs]
        return {"agreements": collect(agreements, "gradients of the loss")}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over the layers."""
        return float(statistics["agreements"].sum())
