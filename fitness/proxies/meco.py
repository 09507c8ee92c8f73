"""MeCo (Jiang et al., NeurIPS 2023): least eigenvalues of the correlations between the channels of each layer, on one image.

    P(layer)  = Pearson's correlation matrix of its channels, each a vector over the positions of the map, [C, C]
    score     = sum over layers of the least eigenvalue of P

The paper's theory bounds convergence and generalisation by that eigenvalue. It takes one N(0, 1) image of 64 x 64, which batch
normalisation in training mode normalises by its own statistics. Its code sums over the outputs of all modules, containers
included, so a score depends on how the modules of a network are nested. Here the layers are the activation layers and the image
is the first of the batch, in the forward that RBFleX uses. Each activation layer counts once, as everywhere in this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics, SummingObserver, sum_dtype

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

# An eigenvalue below this is zero up to round-off.
ROUNDING = 1e-9
# A channel is constant if its values stay within this many roundings of the largest value of its map.
ROUNDINGS = 64


class Meco(Proxy):
    """Sum over activation layers of the least eigenvalue of the channels' correlations; higher is better.

    Cost class: forward. Pitfalls: a map with no more positions than channels has the eigenvalue 0, so with small images late
    layers contribute nothing (the paper's 64 x 64 give 256 positions to the 64 channels of the last stage of a NATS-Bench network;
    32 x 32 give 64, and that stage contributes nothing). A constant channel makes its layer's eigenvalue 0. Only the first image
    of the batch is read. For the paper's image, set ``data: {source: noise, shape: [3, 64, 64]}``.
    """

    name = "meco"
    description = "least eigenvalues of the correlations between a layer's channels, on one image"

    def observer(self) -> Observer:
        """Returns an observer that adds up least eigenvalues."""
        return MecoObserver()

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over the layers.

        Raises:
            CandidateFailed: If no layer has linearly independent channels.
        """
        total = float(statistics["eigenvalues"])
        if total <= 0:
            raise CandidateFailed("no activation layer has linearly independent channels")
        return total


class MecoObserver(SummingObserver):
    """Observer that adds up the layers' least eigenvalues; statistic ``eigenvalues`` [], float64."""

    reads_channels = True

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        """Returns the least eigenvalues [K] of the first image's map in the outputs [K, N, C, ...] of one layer."""
        first = outputs[:, 0]
        first = first.mT if first.dim() == 3 else first  # Words are [K, T, C]: positions before channels.
        return least_eigenvalues(first.reshape(*first.shape[:2], -1))

    def finish(self) -> Statistics:
        """Returns ``eigenvalues`` [], their sum over the layers."""
        return {"eigenvalues": self.total()}


def least_eigenvalues(maps: torch.Tensor) -> torch.Tensor:
    """Returns the least eigenvalue [K] of the correlations between the channels of K maps [K, C, positions].

    It is 0 if a channel is constant or there are no more positions than channels, and NaN if a map holds NaN or infinity.
    """
    import torch

    values = maps.to(sum_dtype(maps.device))
    finite = values.sum(dim=(1, 2)).isfinite()
    nothing = torch.where(finite, 0.0, torch.nan).to(values)
    channels, positions = maps.shape[1:]
    if positions <= channels:
        return nothing
    centred = values - values.mean(dim=2, keepdim=True)
    rounding = ROUNDINGS * torch.finfo(maps.dtype).eps * values.abs().amax(dim=(1, 2))
    varies = (centred.abs().amax(dim=2) > rounding[:, None]).all(dim=1)
    unit = torch.where((varies & finite)[:, None, None], torch.nn.functional.normalize(centred, dim=2, eps=0.0), 0.0)
    correlations = unit @ unit.transpose(1, 2)
    # Eigenvalues are not implemented on Apple's devices.
    solved = correlations.cpu() if correlations.device.type == "mps" else correlations
    least = torch.linalg.eigvalsh(solved)[:, 0].to(correlations.device)
    return nothing + torch.where(least > ROUNDING, least, 0.0)
