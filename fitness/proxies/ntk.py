"""Condition number of the neural tangent kernel (TE-NAS, Chen et al., ICLR 2021, arXiv 2102.11535): how evenly images are learnt.

J_n = d(sum of image n's outputs)/d parameters;  Theta = J J^T [N, N], eigenvalues v_1 <= .. <= v_N
score = - v_N / v_1                                   (survey, arXiv 2307.01998, eq. 15)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics, sum_dtype

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject

# Number of entries of all N gradients in memory; if there are more parameters, more backwards are run.
HELD = 2**26
# Number of columns that are converted to float64 at once.
TILE = 2**16


class NtkCond(Proxy):
    """Minus the condition number of the neural tangent kernel of N images; higher is better.

    Cost: one forward and N backwards of the whole batch, by far the most expensive score. Batch normalisation uses the batch's
    statistics, as in the paper, so the output for one image depends on all images. There is no loss and no labels: outputs are
    summed, as in the published code, which makes the kernel N x N rather than (N x outputs)^2. All trainable parameters count, as
    in the paper; the published code omits biases. Pitfalls: the paper averages over initialisations, and this is one. The smallest
    eigenvalue is a small difference; if it is not above the round-off of the largest, it is unknown and the network fails.
    """

    name = "ntk_cond"
    description = "minus the condition number of the neural tangent kernel"
    needs = "network"
    cost = "backward"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``kernel`` [N, N], float64, and ``rounding`` [], the relative precision of its entries.

        Raises:
            CandidateFailed: If a gradient is not finite, or no gradient reaches a parameter.
        """
        import torch

        from rbflex_evo.fitness.passes.backward import gradients, inputs_of, training

        network, images = subject.lean, inputs_of(subject)
        n = len(images)
        with training(network):
            output = network(images)
        totals = [part.sum() for part in torch.split(output, 1)]
        kernel = torch.zeros(n, n, dtype=sum_dtype(images.device), device=images.device)
        chunks = list(_chunks([p for p in network.parameters() if p.requires_grad], HELD // n))
        for chunk in chunks:
            rows = torch.zeros(n, sum(p.numel() for p in chunk), dtype=subject.dtype, device=images.device)
            for row, total in zip(rows, totals, strict=True):
                found = gradients(total, chunk, retain_graph=True)
                for place, gradient in zip(torch.split(row, [p.numel() for p in chunk]), found, strict=True):
                    if gradient is not None:
                        place.copy_(gradient.flatten())
            for tile in torch.split(rows, TILE, dim=1):
                wide = tile.to(kernel.dtype)
                kernel += wide @ wide.T
        entries = kernel.cpu().numpy().astype(float)
        if not np.isfinite(entries).all():
            raise CandidateFailed("gradients of the outputs hold NaN or infinity")
        if not np.diag(entries).all():
            raise CandidateFailed("no gradient of an image's output reaches a parameter")
        return {"kernel": entries, "rounding": np.array(torch.finfo(subject.dtype).eps)}

    def score(self, statistics: Statistics) -> float:
        """Returns minus the condition number.

        Raises:
            CandidateFailed: If the smallest eigenvalue is not above round-off.
        """
        values = np.linalg.eigvalsh(statistics["kernel"])
        least = len(values) * float(statistics["rounding"]) * values[-1]
        if values[0] <= least:
            raise CandidateFailed(
                f"the smallest eigenvalue of the tangent kernel is {values[0]:.1e}, rounding beside the largest, {values[-1]:.1e}"
            )
        return float(-values[-1] / values[0])


def _chunks(parameters: Sequence[torch.Tensor], most: int) -> Iterator[list[torch.Tensor]]:
    """Splits parameters in order into lists of at most `most` numbers, or of one parameter."""
    chunk: list[torch.Tensor] = []
    for parameter in parameters:
        if chunk and sum(p.numel() for p in chunk) + parameter.numel() > most:
            yield chunk
            chunk = []
        chunk.append(parameter)
    if chunk:
        yield chunk
