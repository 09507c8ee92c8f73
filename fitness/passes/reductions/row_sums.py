"""Sums over the columns of N rows that RBFleX reads (eq. 1-3): Gram matrix of the normalised rows, and moments of the raw rows.

Squared distances add up over columns, so a layer is reduced to its Gram matrix while the forward runs, and its rows are dropped.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, sum_dtype

if TYPE_CHECKING:
    import torch

# Number of columns that one product reduces, more for many images; fixed, so that sums do not depend on the number of threads.
CHUNK = 512
# A column is constant if its range is below this many roundings of the largest value of its map.
ROUNDINGS = 64


class RowStatistics:
    """Sums over the columns of N rows, added block by block; nothing waits for the device until `finish`."""

    def __init__(self) -> None:
        self.columns = 0
        self.blocks: list[torch.Tensor] = []
        self.lengths: list[int] = []
        self.multiplicities: list[int] = []

    def add(self, rows: torch.Tensor, magnitude: torch.Tensor | None, multiplicity: int = 1) -> None:
        """Adds a block of columns.

        Args:
            rows: The block, [N, L].
            magnitude: Largest absolute value [] of the map that the block comes from; None if that is the block itself.
            multiplicity: Number of times that the block counts.
        """
        self.take(reduce_rows(rows[None], magnitude)[0], rows.shape[1], multiplicity)

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        """Adds a block of `columns` columns in the reduced form of `reduce_rows`."""
        self.blocks.append(reduced)
        self.lengths.append(columns)
        self.multiplicities.append(multiplicity)
        self.columns += columns * multiplicity

    def fork(self) -> RowStatistics:
        """Returns a copy that is extended independently."""
        other = RowStatistics()
        other.columns, other.blocks = self.columns, self.blocks.copy()
        other.lengths, other.multiplicities = self.lengths.copy(), self.multiplicities.copy()
        return other

    def finish(self) -> dict[str, np.ndarray]:
        """Returns the sums as float64 arrays by name.

        Raises:
            CandidateFailed: If no block was added.
        """
        blocks = self._stacked()
        sums = _named((blocks * np.array(self.multiplicities, float)[:, None]).sum(axis=0))
        return sums | {"live": np.asarray(sums["live"], np.int64), "length": np.asarray(self.columns, np.int64)}

    def separately(self) -> dict[str, np.ndarray]:
        """Returns ``gram`` [L, N, N], ``live`` [L], ``length`` [L] and ``multiplicity`` [L] of the L blocks, each counted once.

        Raises:
            CandidateFailed: If no block was added.
        """
        sums = _named(self._stacked())
        return {
            "gram": sums["gram"],
            "live": sums["live"].astype(np.int64),
            "length": np.array(self.lengths, np.int64),
            "multiplicity": np.array(self.multiplicities, np.int64),
        }

    def _stacked(self) -> np.ndarray:
        """Returns the reduced blocks, float64 [L, sums]."""
        import torch

        if not self.blocks:
            raise CandidateFailed("the classifier was never called in the forward")
        blocks: np.ndarray = torch.stack(self.blocks).cpu().numpy().astype(float)
        return blocks


def _named(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the parts of sums [..., N^2 + 3 N + 1] by name; a count that is not finite becomes 0."""
    n = math.isqrt(sums.shape[-1])
    while n * n + 3 * n + 1 > sums.shape[-1]:
        n -= 1
    gram, rest = sums[..., : n * n].reshape(*sums.shape[:-1], n, n), sums[..., n * n :]
    return {
        "gram": (gram + gram.swapaxes(-2, -1)) / 2,
        "normalised_sums": rest[..., :n],
        "sums": rest[..., n : 2 * n],
        "squares": rest[..., 2 * n : 3 * n],
        "live": np.where(np.isfinite(rest[..., -1]), rest[..., -1], 0),
    }


def reduce_rows(rows: torch.Tensor, magnitude: torch.Tensor | None = None) -> torch.Tensor:
    """Returns the float64 sums [K, N^2 + 3 N + 1] of K blocks [K, N, L], in the form that `RowStatistics` adds.

    They are the Gram matrix and the sums of the rows after eq. 1, the sums and sums of squares of the rows before it, and the
    number of columns that are not constant. Only sums within fixed chunks of columns are in the precision of the rows.
    """
    import torch

    # Tiles stay in a CPU's cache; an accelerator needs few launches. No intermediate result is as large as the layer.
    tiles = _tiles(rows, 32 if rows.device.type == "cpu" else 8192)
    if magnitude is None and len(tiles) > 1:
        magnitude = functools.reduce(torch.maximum, (_largest(tile, tile) for tile in tiles))
    return functools.reduce(torch.add, (_reduce_tile(tile, magnitude) for tile in tiles))


def _tiles(rows: torch.Tensor, chunks: int) -> list[torch.Tensor]:
    """Cuts rows [K, N, L] into tiles [K, chunks, N, columns]; the remaining columns are a tile of one short chunk."""
    import torch

    k, n, length = rows.shape
    # For many rows, chunks must be long so that their products cost more than adding the results.
    chunk = max(CHUNK, 32 * n)
    chunk = chunk if length >= 2 * chunk else length
    whole, tile = length // chunk * chunk, chunk * chunks
    if whole == length <= tile:
        return [rows.view(k, n, -1, chunk).transpose(1, 2)]
    parts = [part.view(k, n, -1, chunk).transpose(1, 2) for part in torch.split(rows[..., :whole], tile, dim=2)]
    return parts if whole == length else [*parts, rows[:, None, :, whole:]]


def _largest(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Returns the largest absolute value [K, 1, 1, 1] between bounds [K, chunks, R, columns]; a tile is a bound of itself."""
    import torch

    return torch.maximum(high.amax(dim=(1, 2, 3), keepdim=True), low.amin(dim=(1, 2, 3), keepdim=True).neg_())


def _reduce_tile(rows: torch.Tensor, magnitude: torch.Tensor | None) -> torch.Tensor:
    """Returns the sums of one tile [K, chunks, N, columns], as `reduce_rows`; without a magnitude the tile is the whole layer."""
    import torch

    k, chunks, n, columns = rows.shape
    precision = torch.finfo(rows.dtype)
    low, high = rows.amin(dim=2, keepdim=True), rows.amax(dim=2, keepdim=True)
    magnitude = _largest(low, high) if magnitude is None else magnitude
    width = high.sub_(low)
    least = (magnitude * (ROUNDINGS * precision.eps)).clamp_min_(precision.tiny)
    # Ones and zeros in the precision of the rows are several times faster than a mask. A range of NaN stays NaN.
    live = torch.gt(width, least, out=torch.empty_like(width))
    scale = live / torch.maximum(width, least)
    # Each chunk is contiguous, which is fastest for products of small matrices.
    normalised = torch.sub(rows, low, out=torch.empty_like(rows, memory_format=torch.contiguous_format)).mul_(scale)
    flat = normalised.view(k * chunks, n, columns)
    gram = torch.bmm(flat, flat.transpose(1, 2)).view(k, chunks, n * n)
    squares = torch.linalg.vector_norm(rows, dim=3).square_()
    counts = live.sum(dim=3, dtype=torch.float32)
    sums = torch.cat([gram, normalised.sum(dim=3), rows.sum(dim=3), squares, counts], dim=2)
    return sums.to(sum_dtype(rows.device)).sum(dim=1)
