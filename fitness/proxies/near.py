"""NEAR, Network Expressivity by Activation Rank (Husistein, Reiher & Eckhoff, ICLR 2025, arXiv 2408.08776).

    Z of a layer: rows are positions of the batch, columns are channels; as many consecutive rows as columns
    erank(Z) = exp(-sum_k p_k log p_k),  p_k = sigma_k / sum sigma, the singular values of Z (Roy & Vetterli, 2007)
    score = sum over the outputs before and after activations of erank(Z)

The paper's abstract and the authors' code were available to us. As in the code, the outputs are those of all modules with weights
(convolutions, batch normalisations, linear layers) and of all activations, in training mode. The block of rows begins at a random
image and column of pixels, here by a function of the weights' seed. The code averages over repetitions with new weights; here
there is one, a function of the seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics

from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rbflex_evo.fitness.passes.subject import Subject


class Near(Proxy):
    """Sum over the layers' outputs, before and after activations, of their effective rank; higher is better.

    Cost class: forward. Batch normalisation takes the statistics of the batch. Pitfalls: the score grows with each layer and each
    channel, so it is partly a size; each of convolution, normalisation and activation counts. A layer with more channels than
    the batch has positions is limited by these, and the singular values of layers with thousands of channels (BERT's inner
    layers) take seconds each.
    """

    name = "near"
    description = "NEAR: effective rank of the layers' outputs before and after activations"
    needs = "network"
    cost = "forward"

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        """Batch normalisation takes its statistics from the batch."""
        return "batch"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``ranks`` [outputs], the effective rank of each, float64.

        Raises:
            CandidateFailed: If the network has no layer, or an output holds NaN or infinity.
        """
        from rbflex_evo.fitness.passes.layer_outputs import show_layers
        from rbflex_evo.fitness.passes.watch import batch_norm

        blocks: list[Tensor] = []

        def keep(output: Tensor) -> None:
            at = (float(subject.uniform(f"near/{len(blocks)}", (1,))[0]) + 1) / 2
            blocks.append(block_of(output, at))

        output = show_layers(subject.network, subject.images, batch_norm, keep)
        if not blocks:
            raise CandidateFailed("the network has no layer with weights and no activation")
        if len(output) > 1 and bool((output == output[:1]).all()):
            raise CandidateFailed("the output is the same for every input: no path from input to output, or the signal died")
        return {"ranks": effective_ranks(blocks)}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over the outputs."""
        return float(statistics["ranks"].sum())


def block_of(output: Tensor, at: float) -> Tensor:
    """Returns consecutive rows of the output of a layer [N, ...], as many as it has channels or fewer if there are no more.

    Args:
        output: The output.
        at: Where the block begins, in [0, 1): first column of the first image to last one from which it fits.

    Returns:
        Block [rows, channels] on the CPU, in the precision of the output.
    """
    from rbflex_evo.fitness.passes.layer_outputs import rows_of

    rows, column = rows_of(output)
    n, positions, channels = rows.shape
    start = int(at * (max(n * positions - channels, 0) // column + 1)) * column
    end = min(start + channels, n * positions)
    image = start // positions
    block = rows[image : -(-end // positions)].flatten(0, 1)[start - image * positions : end - image * positions]
    return block.cpu().clone()


def effective_ranks(blocks: Sequence[Tensor]) -> np.ndarray:
    """Returns the effective rank of each matrix, float64; it is 0 for zeros.

    Raises:
        CandidateFailed: If a matrix holds NaN or infinity.
    """
    import torch

    ranks = np.zeros(len(blocks))
    if not all(bool(block.isfinite().all()) for block in blocks):
        raise CandidateFailed("outputs of layers hold NaN or infinity")
    for shape in {block.shape for block in blocks}:
        of_shape = [i for i, block in enumerate(blocks) if block.shape == shape]
        singular = torch.linalg.svdvals(torch.stack([blocks[i] for i in of_shape])).double()
        shares = singular / singular.sum(dim=1, keepdim=True).clamp(min=torch.finfo(singular.dtype).tiny)
        found = torch.exp(-torch.xlogy(shares, shares).sum(dim=1)) * (singular[:, 0] > 0)
        ranks[of_shape] = found.numpy()
    return ranks
