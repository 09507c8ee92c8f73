"""Kendall's tau over many resamples at once, over all pairs of networks or those of about one size, and given controls.

Tau-b is a cosine: with s_ij = sign(x_i - x_j) and t_ij = sign(y_i - y_j) over the pairs i != j,

    tau(x, y) = sum s_ij t_ij / sqrt(sum s_ij^2  sum t_ij^2)

A resample is a vector w that holds how often each network was drawn, and its sums are those of w_i w_j s_ij t_ij. Two draws of one
network are a tie on both sides. Up to `EXACT` networks these sums are exact. Beyond, they are taken to first order in w - 1 (the
projection of a U-statistic, Hoeffding 1948), whose error falls as 1 / N: one pass over the pairs serves all resamples.

The partial tau is the partial correlation of those signs. With R the matrix of taus of score, accuracy and controls, and P its
inverse, it is - P_01 / sqrt(P_00 P_11) (Kendall 1942 has the case of one control). It is computed from what the controls leave of
score and accuracy, by the pseudo-inverse of the controls' own matrix. A control that is constant, or that repeats another one,
therefore changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .ordering import Groups

# Most networks of which sums over resampled pairs are exact.
EXACT = 2000
# Parameters of two networks of one size differ by less than this share of the larger number.
NEAR = 0.1
# Number of pairs that are held at once.
ELEMENTS = 1 << 20
# What the controls leave of a sum of squares of 1, below which nothing is left.
NOTHING = 1e-9


def taus(first: np.ndarray, others: Sequence[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """Returns tau-b [B] of `first` with each of the others for the weights; NaN where one side is constant.

    Args:
        first: Ranks or values [N], without NaN.
        others: Ranks or values [N] each, without NaN.
        weights: Float [B, N], how often each network was drawn.
    """
    sums = [np.zeros(len(weights)) for _ in others]
    for rows in _blocks(len(first)):
        signs = _signs(first, rows)
        for total, other in zip(sums, others, strict=True):
            total += _weighted(signs * _signs(other, rows), rows, weights)
    own = untied(first, weights)
    return [_cosine(total, own, untied(other, weights)) for total, other in zip(sums, others, strict=True)]


def untied(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns [B], the weighted number of ordered pairs whose values [N] differ."""
    groups = Groups(values).sums(np.asarray(weights, dtype=np.float64))
    if len(values) <= EXACT:
        return np.asarray(groups.sum(axis=1) ** 2 - (groups**2).sum(axis=1))
    # To first order, as the sums of pairs are.
    sizes = Groups(values).sums(np.ones((1, len(values))))
    return np.asarray(2 * (groups * (len(values) - sizes)).sum(axis=1) - (sizes * (len(values) - sizes)).sum())


def taus_of_one_size(first: np.ndarray, second: np.ndarray, params: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns tau-b [B] over the pairs of networks of one size (see `near`); NaN where no such pair differs on both sides.

    Args:
        first: Ranks or values [N], without NaN.
        second: Ranks or values [N], without NaN.
        params: Numbers of parameters [N]; a network without one (NaN) is in no pair.
        weights: Float [B, N], how often each network was drawn.
    """
    sums = np.zeros((3, len(weights)))
    for rows in _blocks(len(first)):
        one, two, close = _signs(first, rows), _signs(second, rows), near(params, rows)
        for total, pairs in zip(sums, (one * two, np.abs(one), np.abs(two)), strict=True):
            total += _weighted(pairs * close, rows, weights)
    return _cosine(*sums)


def near(params: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
    """Returns bool [rows, N], the pairs of one size: |p_i - p_j| < 0.1 max(p_i, p_j), and two equal numbers always."""
    one, other = params[rows, None], params[None, :]
    return np.asarray((np.abs(one - other) < NEAR * np.maximum(one, other)) | (one == other))


def pairs_of_one_size(params: np.ndarray) -> int:
    """Returns the number of unordered pairs of networks of one size."""
    ordered = sum(int(near(params, rows).sum()) for rows in _blocks(len(params)))
    return (ordered - int(np.isfinite(params).sum())) // 2


def partial(both: np.ndarray, first: np.ndarray, second: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """Returns the partial tau [B] of two sides given C controls; NaN where the controls determine a side.

    Args:
        both: Tau of the two sides [B].
        first: Taus of the first side with the controls [B, C]; NaN where a control is constant.
        second: Taus of the second side with the controls [B, C]; NaN where a control is constant.
        controls: Taus of the controls with each other [B, C, C]; NaN where a control is constant.
    """
    # A constant control has no direction of its own: zeros, which the pseudo-inverse leaves out.
    one, two, matrix = (np.nan_to_num(values, nan=0.0) for values in (first, second, controls))
    inverse = np.linalg.pinv(matrix, rcond=NOTHING, hermitian=True)
    explained = [np.einsum("bi,bij,bj->b", left, inverse, right) for left, right in ((one, two), (one, one), (two, two))]
    rest = np.minimum(1 - explained[1], 1 - explained[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (both - explained[0]) / np.sqrt((1 - explained[1]) * (1 - explained[2]))
    return np.where(rest > NOTHING, found, np.nan)


def _blocks(count: int) -> Iterator[slice]:
    size = max(1, ELEMENTS // max(1, count))
    return (slice(start, min(count, start + size)) for start in range(0, count, size))


def _signs(values: np.ndarray, rows: slice) -> np.ndarray:
    own = values[rows, None]
    return np.subtract(own > values, own < values, dtype=np.int8)


def _weighted(pairs: np.ndarray, rows: slice, weights: np.ndarray) -> np.ndarray:
    """Returns [B], the part of the weighted sum that these rows [R, N] of a symmetric matrix add."""
    if pairs.shape[1] <= EXACT:
        # Whole numbers below 2^24, which float32 holds exactly.
        each = np.asarray(weights, dtype=np.float32) @ pairs.T.astype(np.float32)
        return np.asarray(np.einsum("bi,bi->b", each.astype(np.float64), np.asarray(weights[:, rows], dtype=np.float64)))
    sums = pairs.sum(axis=1, dtype=np.int32).astype(np.float64)
    return np.asarray(2 * (np.asarray(weights[:, rows], dtype=np.float64) @ sums) - sums.sum())


def _cosine(product: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = first * second
    known = (first > 0) & (second > 0)
    return np.asarray(np.divide(product, np.sqrt(np.where(known, squares, 1.0)), out=np.full(len(product), np.nan), where=known))
