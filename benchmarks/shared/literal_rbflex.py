"""Literal implementation of RBFleX as in its paper, used as reference by the tests and as the "published procedure".

One image at a time through the network in training mode, full N x L matrices in float64, plain `slogdet`. It is slow. Equations
are those of Yamasaki et al., IEEE TNNLS 36(6), 2025.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def raw_vectors(
    network: nn.Module, images: Tensor, classifier: nn.Module, layers: list[nn.Module]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns X [N, L_K], the outputs of `layers`, and Y [N, L_Q], the input of `classifier`, float64.

    Batch normalisation cannot train on one value a channel; where that would happen, a layer keeps its running statistics,
    which are 0 and 1 in an untrained network, so that only its affine terms act.
    """
    outputs: list[np.ndarray] = []
    features: list[np.ndarray] = []
    handles = [m.register_forward_hook(lambda m, i, o: outputs.append(o.detach().double().flatten().numpy())) for m in layers]
    handles.append(classifier.register_forward_pre_hook(lambda m, i: features.append(i[0].detach().double().flatten().numpy())))
    network.train()
    rows_x, rows_y = [], []
    try:
        with torch.no_grad():
            for image in images:
                outputs.clear()
                features.clear()
                network(image[None])
                rows_x.append(np.concatenate(outputs))
                rows_y.append(features[0])
    finally:
        for handle in handles:
            handle.remove()
    return np.stack(rows_x), np.stack(rows_y)


def normalise(matrix: np.ndarray) -> np.ndarray:
    """Column-wise min-max over the rows (eq. 1); a column with equal entries becomes zero."""
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    width = high - low
    return np.where(width > 0, (matrix - low) / np.where(width > 0, width, 1.0), 0.0)


def kernel(rows: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma ||a - b||^2) for every pair of rows (eq. 2-5)."""
    n = len(rows)
    matrix = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            matrix[i, j] = np.exp(-gamma * ((rows[i] - rows[j]) ** 2).sum())
    return matrix


def score(x: np.ndarray, y: np.ndarray, gamma_k: float, gamma_q: float) -> float:
    """N (log|K| + log|Q|) of raw vectors (eq. 6-7)."""
    k, q = kernel(normalise(x), gamma_k), kernel(normalise(y), gamma_q)
    return float(len(x) * (np.linalg.slogdet(k)[1] + np.linalg.slogdet(q)[1]))


def gamma(networks: list[np.ndarray]) -> float:
    """The smallest G_ij with D_ij != 0 over all pairs of images and all networks (eq. 8-16)."""
    found = []
    for rows in networks:
        for i in range(len(rows)):
            for j in range(i + 1, len(rows)):
                d = (rows[i].mean() - rows[j].mean()) ** 2
                if d != 0:
                    found.append(d / (2 * (rows[i].var() + rows[j].var())))
    return float(min(found))
