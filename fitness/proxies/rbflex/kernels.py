"""How far apart N rows lie, from their normalised Gram matrix: the RBF log-determinant of RBFleX and its rivals.

All functions take float64 arrays and cost no forward; the rows themselves are never needed.
"""

from __future__ import annotations

import numpy as np

# Eigenvalues of the centred kernel below this fraction of its largest are raised to it. Fewer features than N - 1 flatten
# the simplex of the images; the determinant is then round-off noise and this floor decides, the same one at every gamma.
FLOOR = 1e-5


def squared_distances(gram: np.ndarray) -> np.ndarray:
    """Returns ||x_i - x_j||^2, float64 [..., N, N], from Gram matrices [..., N, N] of the rows."""
    norms = np.diagonal(gram, axis1=-2, axis2=-1)
    distances = np.maximum(norms[..., :, None] + norms[..., None, :] - 2 * gram, 0.0)
    n = range(gram.shape[-1])
    distances[..., n, n] = 0.0
    return distances


def centred_basis(n: int) -> np.ndarray:
    """Returns Z, float64 [n, n - 1]: an orthonormal basis of the vectors whose entries sum to zero (Helmert's)."""
    basis = np.zeros((n, n - 1))
    for k in range(1, n):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -float(k)
        basis[:, k - 1] /= np.sqrt(k * (k + 1.0))
    return basis


def rbf_log_determinant(distances: np.ndarray, gamma: float, floor: float = FLOOR) -> float:
    """Returns log|exp(-gamma D)| without cancellation, for any gamma > 0 (RBFleX eq. 2-3); see `_log_determinants`.

    Raises:
        ValueError: if the kernel has no positive eigenvalue.
    """
    return _one(distances, gamma, floor)


def flat_log_determinant(distances: np.ndarray, floor: float = FLOOR) -> float:
    """Returns the limit of log|exp(-gamma D)| - (N - 1) log gamma for gamma to 0: log N + log|-Z^T D Z|.

    Up to a constant the log of the Cayley-Menger determinant, the squared volume of the simplex that the images span.

    Raises:
        ValueError: if all distances are zero.
    """
    return _one(distances, None, floor)


def log_determinants(grams: np.ndarray, gamma: float | None, floor: float = FLOOR) -> np.ndarray:
    """Returns log|exp(-gamma D)| [M] of M Gram matrices [M, N, N] at once, or the flat limit for None; NaN where there is none."""
    return _log_determinants(squared_distances(grams), gamma, floor)


def _one(distances: np.ndarray, gamma: float | None, floor: float) -> float:
    value = float(_log_determinants(distances[None], gamma, floor)[0])
    if np.isnan(value):
        raise ValueError("the kernel has no positive eigenvalue")
    return value


def _log_determinants(distances: np.ndarray, gamma: float | None, floor: float) -> np.ndarray:
    """Returns the log-determinants [M] of distances [M, N, N], the eigenvalues of all of them in one call.

    The kernel is 11^T + E with E = expm1(-gamma D), whose entries keep their digits where those of exp(-gamma D) are all
    1 - 1e-16. In the basis [1 / sqrt(N), Z] its determinant is a |S| with a = N + 1^T E 1 / N, b = Z^T E 1 / sqrt(N) and the
    Schur complement S = Z^T E Z - b b^T / a.
    """
    n = distances.shape[1]
    basis = centred_basis(n)
    if gamma is None:
        first = np.full(len(distances), float(n))
        matrices = -basis.T @ distances @ basis
    else:
        entries = np.expm1(-gamma * distances)
        first = n + entries.sum(axis=(1, 2)) / n
        b = entries.sum(axis=2) @ basis / np.sqrt(n)
        matrices = basis.T @ entries @ basis - b[:, :, None] * b[:, None, :] / first[:, None, None]
    finite = np.isfinite(matrices).all(axis=(1, 2))
    values = np.full(matrices.shape[:2], np.nan)
    values[finite] = np.linalg.eigvalsh((matrices[finite] + matrices[finite].transpose(0, 2, 1)) / 2)
    largest = values[:, -1:]
    positive = (largest > 0)[:, 0]
    found = np.full(len(distances), np.nan)
    found[positive] = np.log(first[positive]) + np.log(np.maximum(values, floor * largest)[positive]).sum(axis=1)
    return found


def floored_log_determinant(matrix: np.ndarray, floor: float = FLOOR) -> float:
    """Returns the log-determinant of a symmetric matrix with eigenvalues raised to `floor` times the largest.

    Raises:
        ValueError: if no eigenvalue is positive.
    """
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    largest = values[-1]
    if not largest > 0:
        raise ValueError(f"the kernel has no positive eigenvalue (largest {largest:g})")
    return float(np.log(np.maximum(values, floor * largest)).sum())


def linear_kernel(gram: np.ndarray) -> np.ndarray:
    """Returns the linear kernel x_i . x_j scaled to a mean diagonal of 1 (RBFleX Fig. 10)."""
    return gram / np.diagonal(gram).mean()


def psnr_kernel(gram: np.ndarray, length: int) -> np.ndarray:
    """Returns pairwise peak signal-to-noise ratios in units of 100 dB, peak 1 (RBFleX Fig. 10).

    The paper leaves the infinite diagonal open; here a PSNR is capped at 100 dB, so the diagonal is 1.
    """
    error = squared_distances(gram) / length
    with np.errstate(divide="ignore"):
        return np.minimum(-10 * np.log10(error), 100.0) / 100.0


def ssim_kernel(gram: np.ndarray, sums: np.ndarray, length: int) -> np.ndarray:
    """Returns pairwise structural similarity, one window over the whole vector, dynamic range 1 (RBFleX Fig. 10).

    The paper leaves the window open; a feature vector has no neighbourhoods, so the global form is used, with the usual
    constants 0.01^2 and 0.03^2. `sums` are the rows' sums [N].
    """
    means = sums / length
    covariance = gram / length - np.outer(means, means)
    variance = np.diagonal(covariance)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * np.outer(means, means) + c1) / (means[:, None] ** 2 + means[None, :] ** 2 + c1)
    structure = (2 * covariance + c2) / (variance[:, None] + variance[None, :] + c2)
    return luminance * structure
