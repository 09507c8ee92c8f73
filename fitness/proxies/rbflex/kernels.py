"""Kernels of RBFleX: the log-determinant of a similarity matrix of N rows, computed from their Gram matrix.

`Rbf` is the kernel of the score (RBFleX eq. 2-5), `Flat` its limit for small gammas, and `Linear`, `Psnr` and `Ssim` are the
similarities that the paper compares it with (Fig. 10). All arrays are float64, and M candidates are computed in one call. No
function reads the rows themselves, so that another kernel costs no forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

# Eigenvalues below this fraction of the largest are raised to it. If there are fewer features than N - 1, the determinant of the
# centred kernel would be round-off noise; this floor then decides, and it is the same at every gamma.
FLOOR = 1e-5
# Constants of SSIM for a dynamic range of 1.
LUMINANCE, CONTRAST = 0.01**2, 0.03**2


class NormalisedRows(NamedTuple):
    """Sums over the columns of N rows of M candidates, each column normalised to [0, 1] over the rows (RBFleX eq. 1).

    Attributes:
        gram: Gram matrices of the rows, [M, N, N].
        sums: Sums of each row, [M, N].
        length: Number of columns that are not constant, int64 [M].
    """

    gram: np.ndarray
    sums: np.ndarray
    length: np.ndarray


class Kernel(Protocol):
    """Similarity of rows, a frozen value without state."""

    def log_determinants(self, rows: NormalisedRows) -> np.ndarray:
        """Returns the log-determinants [M] of the kernel matrices, NaN for a matrix without a positive eigenvalue."""


@dataclass(frozen=True)
class Rbf:
    """RBF kernel exp(-gamma ||x_i - x_j||^2) (RBFleX eq. 2-5).

    Attributes:
        gamma: Inverse width of the kernel, positive.
    """

    gamma: float

    def log_determinants(self, rows: NormalisedRows) -> np.ndarray:
        """Returns log|exp(-gamma D)| [M] of the squared distances D."""
        return rbf_log_determinants(squared_distances(rows.gram), self.gamma)


@dataclass(frozen=True)
class Flat:
    """Limit of the RBF kernel for gamma to 0, without the term (N - 1) log gamma."""

    def log_determinants(self, rows: NormalisedRows) -> np.ndarray:
        """Returns log N + log|-Z^T D Z| [M] of the squared distances D."""
        return flat_log_determinants(squared_distances(rows.gram))


@dataclass(frozen=True)
class Linear:
    """Linear kernel x_i . x_j, scaled to a mean diagonal of 1 (RBFleX Fig. 10)."""

    def log_determinants(self, rows: NormalisedRows) -> np.ndarray:
        """Returns the log-determinants [M] of the scaled Gram matrices."""
        return floored_log_determinants(linear_matrices(rows))


@dataclass(frozen=True)
class Psnr:
    """Pairwise peak signal-to-noise ratio in units of 100 dB, with a peak of 1 (RBFleX Fig. 10).

    The paper does not define the infinite diagonal. Here a ratio is capped at 100 dB, so that the diagonal is 1.
    """

    def log_determinants(self, rows: NormalisedRows) -> np.ndarray:
        """Returns the log-determinants [M] of the matrices of ratios."""
        return floored_log_determinants(psnr_matrices(rows))


@dataclass(frozen=True)
class Ssim:
    """Pairwise structural similarity over the whole vector, for a dynamic range of 1 (RBFleX Fig. 10).

    The paper does not define the window. A feature vector has no neighbourhoods, so the global form is used, with the usual
    constants 0.01^2 and 0.03^2.
    """

    def log_determinants(self, rows: NormalisedRows) -> np.ndarray:
        """Returns the log-determinants [M] of the matrices of similarities."""
        return floored_log_determinants(ssim_matrices(rows))


def squared_distances(gram: np.ndarray) -> np.ndarray:
    """Returns the squared distances ||x_i - x_j||^2, [..., N, N], of rows with the Gram matrices `gram` [..., N, N]."""
    norms = np.diagonal(gram, axis1=-2, axis2=-1)
    distances: np.ndarray = np.maximum(norms[..., :, None] + norms[..., None, :] - 2 * gram, 0.0)
    n = range(gram.shape[-1])
    distances[..., n, n] = 0.0
    return distances


def centred_basis(n: int) -> np.ndarray:
    """Returns Helmert's orthonormal basis Z [n, n - 1] of the vectors whose entries sum to zero."""
    basis = np.zeros((n, n - 1))
    for k in range(1, n):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -float(k)
        basis[:, k - 1] /= np.sqrt(k * (k + 1.0))
    return basis


def rbf_log_determinants(distances: np.ndarray, gamma: float, floor: float = FLOOR) -> np.ndarray:
    """Returns log|exp(-gamma D)| [...] of squared distances D [..., N, N] without cancellation, for any gamma > 0.

    The kernel is 11^T + E with E = expm1(-gamma D), whose entries keep their digits where those of exp(-gamma D) are all
    1 - 1e-16. In the basis [1 / sqrt(N), Z] its determinant is a |S| with a = N + 1^T E 1 / N, b = Z^T E 1 / sqrt(N) and the
    Schur complement S = Z^T E Z - b b^T / a. The value is NaN if the kernel has no positive eigenvalue.
    """
    n = distances.shape[-1]
    basis = centred_basis(n)
    entries = np.expm1(-gamma * distances)
    a = n + entries.sum(axis=(-2, -1)) / n
    b = entries.sum(axis=-1) @ basis / np.sqrt(n)
    complement = basis.T @ entries @ basis - b[..., :, None] * b[..., None, :] / a[..., None, None]
    result: np.ndarray = np.log(a) + floored_log_determinants(complement, floor)
    return result


def flat_log_determinants(distances: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Returns the limit of log|exp(-gamma D)| - (N - 1) log gamma for gamma to 0: log N + log|-Z^T D Z|.

    Up to a constant it is the logarithm of the Cayley-Menger determinant, the squared volume of the simplex that the images
    span. The value is NaN if all distances are zero. `distances` are [..., N, N], the result is [...].
    """
    n = distances.shape[-1]
    basis = centred_basis(n)
    result: np.ndarray = np.log(float(n)) + floored_log_determinants(-basis.T @ distances @ basis, floor)
    return result


def floored_log_determinants(matrices: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Returns the log-determinants [...] of symmetric matrices [..., n, n].

    Eigenvalues are raised to `floor` times the largest one of their matrix. The value is NaN if a matrix is not finite or has no
    positive eigenvalue.
    """
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    values = np.full(matrices.shape[:-1], np.nan)
    values[finite] = np.linalg.eigvalsh((matrices[finite] + matrices[finite].swapaxes(-2, -1)) / 2)
    largest = values[..., -1:]
    found = np.full(matrices.shape[:-2], np.nan)
    positive = largest[..., 0] > 0
    found[positive] = np.log(np.maximum(values, floor * largest)[positive]).sum(axis=-1)
    return found


def linear_matrices(rows: NormalisedRows) -> np.ndarray:
    """Returns the matrices [M, N, N] of `Linear`."""
    matrices: np.ndarray = rows.gram / np.diagonal(rows.gram, axis1=-2, axis2=-1).mean(axis=-1)[..., None, None]
    return matrices


def psnr_matrices(rows: NormalisedRows) -> np.ndarray:
    """Returns the matrices [M, N, N] of `Psnr`."""
    error = squared_distances(rows.gram) / rows.length[:, None, None]
    with np.errstate(divide="ignore"):
        matrices: np.ndarray = np.minimum(-10 * np.log10(error), 100.0) / 100.0
    return matrices


def ssim_matrices(rows: NormalisedRows) -> np.ndarray:
    """Returns the matrices [M, N, N] of `Ssim`."""
    means = rows.sums / rows.length[:, None]
    products = means[:, :, None] * means[:, None, :]
    covariance = rows.gram / rows.length[:, None, None] - products
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    luminance = (2 * products + LUMINANCE) / (means[:, :, None] ** 2 + means[:, None, :] ** 2 + LUMINANCE)
    structure = (2 * covariance + CONTRAST) / (variance[:, :, None] + variance[:, None, :] + CONTRAST)
    matrices: np.ndarray = luminance * structure
    return matrices
