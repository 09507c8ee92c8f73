"""The hyperparameter detection algorithm of RBFleX (eq. 8-16): gammas from the overlap of the images' raw vectors.

    for each of M networks, for each pair i < j of images:
        D_ij = (m_i - m_j)^2                      m, s^2: mean and variance of the raw vector
        G_ij = D_ij / (2 (s_i^2 + s_j^2))         where D_ij != 0
    gamma = the minimum of G over all pairs and networks

If gamma is small, its value hardly matters: in the flat limit of the kernel it only adds a constant to every score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rbflex_evo.spaces import ConfigError


def candidates(sums: np.ndarray, squares: np.ndarray, length: int) -> np.ndarray:
    """Returns every G_ij with D_ij != 0 (eq. 10-13), float64 [at most N (N - 1) / 2].

    Args:
        sums: Sum of each raw row, float64 [N].
        squares: Sum of squares of each raw row, float64 [N].
        length: Number of columns of a row.
    """
    means = sums / length
    variances = np.maximum(squares / length - means**2, 0.0)
    i, j = np.triu_indices(len(sums), k=1)
    gaps = (means[i] - means[j]) ** 2
    spreads = 2 * (variances[i] + variances[j])
    usable = (gaps != 0) & (spreads > 0)
    found: np.ndarray = gaps[usable] / spreads[usable]
    return found


def detect(moments: Sequence[tuple[np.ndarray, np.ndarray, int]], rule: str = "hda") -> float:
    """Returns gamma, the smallest G of M networks (eq. 15-16) or the largest.

    Args:
        moments: Sums, squares and length of each network, as for `candidates`.
        rule: ``hda`` for the paper's minimum, or ``hda_max`` for the maximum, its comparison (Fig. 11).

    Raises:
        ConfigError: If every D_ij of every network is zero.
    """
    found = np.concatenate([candidates(*network) for network in moments])
    if not len(found):
        raise ConfigError(
            f"no gamma can be detected: the images have equal mean activations in all {len(moments)} networks; "
            "use other images, or set gamma"
        )
    return float(found.min() if rule == "hda" else found.max())
