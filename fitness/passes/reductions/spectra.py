"""Spectra of the maps of primary blocks: how evenly a block uses its channels.

Every pixel (or word) of every image is one observation of the channels. The covariance of the channels is summed while the forward
runs, and only two numbers of its eigenvalues are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.passes.observer import sum_dtype

if TYPE_CHECKING:
    from torch import Tensor

# Number of rows whose products are summed in the maps' precision; the sums of such chunks are added in float64.
CHUNK = 256


def spectra(outputs: Tensor) -> Tensor:
    """Returns [K, 2], the sums and entropies of `spectra_of` for one block's outputs [K, N, C, H, W], [K, N, T, C] or [K, N, C]."""
    import torch

    covariances = []
    for output in outputs:
        rows = observations(output)
        centred = rows - rows.mean(dim=0)
        # With fewer observations than channels, those of the products between observations are the eigenvalues that are not zero.
        factor = centred if len(centred) >= centred.shape[1] else centred.mT
        covariances.append(product(factor, factor) / len(centred))
    found = torch.stack(covariances)
    finite = found.isfinite().all(dim=2).all(dim=1)
    # Eigenvalues are not defined for values that are not finite, and not implemented on Apple's devices.
    solved = torch.where(finite[:, None, None], found, 0.0)
    eigenvalues = torch.linalg.eigvalsh(solved.cpu() if solved.device.type == "mps" else solved).to(found.device)
    eigenvalues = torch.where(finite[:, None], eigenvalues, torch.nan)
    if eigenvalues.device.type == "cpu":
        return torch.from_numpy(spectra_of(eigenvalues.numpy()))
    # Without waiting for the device.
    shares = eigenvalues.clamp_min(0) / eigenvalues.clamp_min(0).sum(dim=1, keepdim=True)
    return torch.stack([eigenvalues.sum(dim=1), torch.special.entr(shares).sum(dim=1)], dim=1)


def spectra_of(eigenvalues: np.ndarray) -> np.ndarray:
    """Returns the sums of K rows of eigenvalues [K, C], and their entropies, each row divided by its sum, as [K, 2].

    An entropy is NaN if the eigenvalues are not finite, or all zero.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        # Rounding makes an eigenvalue of zero slightly negative.
        shares = np.maximum(eigenvalues, 0)
        shares = shares / shares.sum(axis=1, keepdims=True)
        entropies = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)
    return np.stack([eigenvalues.sum(axis=1), entropies], axis=1)


def observations(maps: Tensor) -> Tensor:
    """Returns maps [N, C, H, W] (or tokens [N, T, C], or features [N, C]) as observations [N H W, C]."""
    return (maps.movedim(1, -1) if maps.dim() > 3 else maps).flatten(0, -2)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Returns a^T b of rows [R, A] and [R, B]; only sums within chunks of rows are in the precision of the rows."""
    double = sum_dtype(a.device)
    whole = len(a) // CHUNK * CHUNK
    chunks = a[:whole].reshape(-1, CHUNK, a.shape[1]).mT @ b[:whole].reshape(-1, CHUNK, b.shape[1])
    return chunks.sum(dim=0, dtype=double) + a[whole:].to(double).mT @ b[whole:].to(double)
