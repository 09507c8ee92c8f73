"""The log-determinant is right at any gamma, where the plain one has lost every digit."""

from __future__ import annotations

import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.proxies.rbflex import kernels


def rows(n: int = 16, length: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, length))


def exact_log_determinant(distances: np.ndarray, gamma: float) -> float:
    with mpmath.workdps(60 + 15 * 20):
        n = len(distances)
        matrix = mpmath.matrix(n)
        for i in range(n):
            for j in range(n):
                matrix[i, j] = mpmath.exp(-mpmath.mpf(gamma) * mpmath.mpf(float(distances[i, j])))
        return float(mpmath.log(mpmath.det(matrix)))


@pytest.mark.parametrize("gamma", [10.0**-k for k in range(1, 21)])
@pytest.mark.parametrize("seed", [0, 1])
def test_log_determinant_equals_mpmath_to_1e_10(gamma, seed):
    distances = kernels.squared_distances(rows(seed=seed) @ rows(seed=seed).T)
    expected = exact_log_determinant(distances, gamma)
    assert kernels.rbf_log_determinants(distances, gamma) == pytest.approx(expected, rel=1e-10)


def test_plain_slogdet_is_wrong_where_ours_is_right():
    distances = kernels.squared_distances(rows() @ rows().T)
    exact = exact_log_determinant(distances, 1e-18)
    assert np.linalg.slogdet(np.exp(-1e-18 * distances))[1] != pytest.approx(exact, rel=1e-3)


def test_flat_is_the_limit_of_small_gammas_without_its_gamma_term():
    distances = kernels.squared_distances(rows() @ rows().T)
    for gamma in (1e-12, 1e-16):
        limit = kernels.rbf_log_determinants(distances, gamma) - 15 * np.log(gamma)
        assert kernels.flat_log_determinants(distances) == pytest.approx(limit, rel=1e-8)


def test_flat_equals_the_cayley_menger_determinant():
    points = rows(n=5, length=4)
    distances = kernels.squared_distances(points @ points.T)
    bordered = np.block([[np.zeros((1, 1)), np.ones((1, 5))], [np.ones((5, 1)), distances]])
    # |det of the bordered matrix| is the determinant of -Z^T D Z times N: both are the squared volume of the simplex.
    assert kernels.flat_log_determinants(distances) == pytest.approx(np.linalg.slogdet(bordered)[1], rel=1e-10)


def test_fewer_features_than_images_use_the_same_floor_at_every_gamma():
    points = rows(length=8)
    distances = kernels.squared_distances(points @ points.T)
    at = [kernels.rbf_log_determinants(distances, g) - 15 * np.log(g) for g in (1e-9, 1e-12, 1e-16)]
    assert at[0] == pytest.approx(at[1], rel=1e-6)
    assert at[1] == pytest.approx(at[2], rel=1e-6)
    assert kernels.flat_log_determinants(distances) == pytest.approx(at[2], rel=1e-6)


def test_equal_rows_are_refused_rather_than_scored():
    assert np.isnan(kernels.rbf_log_determinants(np.zeros((4, 4)), 1e-3))
    zeros = {"gram": np.zeros((4, 4)), "normalised_sums": np.zeros(4), "live": np.int64(0)}
    with pytest.raises(CandidateFailed, match="no positive eigenvalue"):
        create_proxy("rbflex", gamma=[1e-3, 1e-3]).score(
            {f"{part}_{name}": array for part in "kq" for name, array in zeros.items()}
        )


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 20))
def test_centred_basis_is_orthonormal_and_sums_to_zero(n):
    basis = kernels.centred_basis(n)
    np.testing.assert_allclose(basis.T @ basis, np.eye(n - 1), atol=1e-12)
    np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_squared_distances_are_those_of_the_rows(seed, n):
    points = rows(n, 30, seed)
    expected = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.testing.assert_allclose(kernels.squared_distances(points @ points.T), expected, atol=1e-9)


def test_rival_kernels_equal_their_definitions():
    points = rows(6, 50)
    gram = points @ points.T
    one = kernels.NormalisedRows(gram[None], points.sum(axis=1)[None], np.array([50]))
    np.testing.assert_allclose(kernels.linear_matrices(one)[0] * np.diagonal(gram).mean(), gram)
    psnr = kernels.psnr_matrices(one)[0]
    error = ((points[0] - points[1]) ** 2).mean()
    assert psnr[0, 1] == pytest.approx(10 * np.log10(1 / error) / 100)
    assert psnr[0, 0] == 1
    ssim = kernels.ssim_matrices(one)[0]
    a, b = points[0], points[1]
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    expected = ((2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)) / (
        (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4)
    )
    assert ssim[0, 1] == pytest.approx(expected)
    np.testing.assert_allclose(np.diagonal(ssim), 1)


@pytest.mark.parametrize(
    "kernel", [kernels.Rbf(1e-3), kernels.Flat(), kernels.Linear(), kernels.Psnr(), kernels.Ssim()], ids=lambda kernel: repr(kernel)
)
def test_kernels_are_values_that_compute_many_candidates_as_one_alone(kernel):
    points = np.random.default_rng(0).random((3, 6, 50))
    stack = kernels.NormalisedRows(points @ points.transpose(0, 2, 1), points.sum(axis=2), np.full(3, 50))
    together = kernel.log_determinants(stack)
    alone = [kernel.log_determinants(kernels.NormalisedRows(*(array[i : i + 1] for array in stack)))[0] for i in range(3)]
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert pickle.loads(pickle.dumps(kernel)) == kernel
