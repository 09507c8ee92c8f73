"""ZiCo (Li et al., ICLR 2023, arXiv 2301.11300): size of the gradients relative to their deviation between batches.

score = sum over layers of log sum over weights of mean_b |g_b| / std_b(g_b),  g_b = dL_b/dw for batch b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.passes.observer import Statistics, sum_dtype

from .proxy import Proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.subject import Subject


class Zico(Proxy):
    """Sum over layers of log sum_w mean_b|g| / std_b(g) over two batches; higher is better.

    The two batches are the halves of the N images, each normalised by its own statistics; a middle image is in the second.
    Cost: one backward of each half. The loss is the task's; labels are the data's or seeded random ones. Layers are convolutions
    and linear layers. As in the published code, the deviation is that of the population and of the signed gradients; the paper's
    formula has absolute values. A weight of deviation 0 is omitted, and so is a layer without a gradient or without another
    weight. Pitfalls: with two batches, the ratio is at least 1 and heavy-tailed (a weight whose gradients nearly agree may
    outweigh its layer), so float32 changes it by up to 3 %, and other scores by less than 1 %. More layers give a higher score.
    """

    name = "zico"
    description = "gradients' size beside their deviation between two batches"
    needs = "network"
    cost = "backward"
    uses_labels = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``ratios`` [layers], the sum over each layer's weights, float64."""
        import torch

        from rbflex_evo.fitness.passes.backward import collect, inputs_of, part_gradients, weights_of

        network, images = subject.lean, inputs_of(subject)
        weights = weights_of(network)
        middle = len(images) // 2
        found = part_gradients(network, images, subject.loss, weights, [slice(middle), slice(middle, len(images))])
        double = sum_dtype(images.device)
        ratios = []
        for first, second in zip(*found, strict=True):
            if first is None or second is None:
                continue
            # For two numbers, the mean of the sizes and the deviation are half the sum of sizes and half the distance.
            sizes, distances = first.abs() + second.abs(), (first - second).abs()
            ratios.append(torch.where(distances == 0, 0, sizes.to(double) / distances.to(double)).sum())
        return {"ratios": collect(ratios, "ratios of gradients and deviations")}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over layers of the logarithms."""
        ratios = statistics["ratios"]
        return float(np.log(ratios[ratios > 0]).sum())
