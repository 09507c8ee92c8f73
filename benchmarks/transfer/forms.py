"""Forms of layered RBFleX: what one more layer, its units, its spectrum and the features are worth.

A form reads the statistics of `layered` and `rbflex` of one network and no accuracy, so that any number of forms costs one forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbflex_evo.fitness import Statistics
from rbflex_evo.fitness.proxies.rbflex.kernels import centred_basis, squared_distances
from rbflex_evo.fitness.proxies.rbflex.layered import flat_log_determinants, spectral_entropies

CALIBRATION = 10  # networks whose layers set gamma in the forms that detect it


@dataclass(frozen=True)
class Layers:
    """What the forms read of a network: the layers in which images differ, and the features.

    Attributes:
        eigenvalues: Of -Z^T D Z, [L, N - 1], ascending.
        units: Values of each layer per image, [L].
        first: Position of the first of equal layers, for each distinct one.
        features: Eigenvalues [N - 1] and units of the features, None if they carry no information.
        whole: Eigenvalues [N - 1] of all activation layers laid side by side.
    """

    eigenvalues: np.ndarray
    units: np.ndarray
    first: np.ndarray
    features: tuple[np.ndarray, float] | None
    whole: np.ndarray

    def once(self) -> Layers:
        """Returns the layers without repetitions."""
        kept = np.sort(self.first)
        return Layers(self.eigenvalues[kept], self.units[kept], np.arange(len(kept)), self.features, self.whole)


Form = Callable[[Layers], float]
Term = Callable[[np.ndarray, np.ndarray], np.ndarray]


def layers_of(layered: Statistics, rbflex: Statistics) -> Layers:
    """Returns the live layers of a network."""
    alive = layered["eigenvalues"][:, -1] > 0
    eigenvalues = layered["eigenvalues"][alive]
    basis = centred_basis(eigenvalues.shape[1] + 1)
    whole = np.linalg.eigvalsh(-basis.T @ squared_distances(rbflex["k_gram"]) @ basis)
    features = (layered["q_eigenvalues"], float(layered["q_units"])) if "q_units" in layered else None
    first = np.unique(eigenvalues, axis=0, return_index=True)[1]
    return Layers(eigenvalues, layered["units"][alive].astype(float), first, features, whole)


def positive(eigenvalues: np.ndarray) -> np.ndarray:
    return np.maximum(eigenvalues, 0.0)


def determinant(c: float) -> Term:
    """Log-determinant plus (N - 1) c."""
    return lambda e, u: flat_log_determinants(e) + e.shape[-1] * c


def spectrum(c: float) -> Term:
    """Logarithm of units times the share of the full rank that is used, plus c."""
    return lambda e, u: np.log(u) + spectral_entropies(e) - np.log(e.shape[-1]) + c


def effective_rank(e: np.ndarray, u: np.ndarray) -> np.ndarray:
    ranks: np.ndarray = np.exp(spectral_entropies(e))
    return ranks


def participation_ratio(e: np.ndarray, u: np.ndarray) -> np.ndarray:
    ratios: np.ndarray = positive(e).sum(axis=-1) ** 2 / (positive(e) ** 2).sum(axis=-1)
    return ratios


def soft(t: float, relative: str = "") -> Term:
    """Sum of log(1 + lambda / t), t absolute, or relative to the trace or to the number of units."""

    def term(e: np.ndarray, u: np.ndarray) -> np.ndarray:
        scale = {"": 1.0, "trace": positive(e).sum(axis=-1, keepdims=True), "units": np.asarray(u)[..., None]}[relative]
        found: np.ndarray = np.log1p(positive(e) / (t * scale)).sum(axis=-1)
        return found

    return term


def form(term: Term, features: float = 1.0, *, once: bool = False, whole: float = 0.0, feature_term: Term | None = None) -> Form:
    """Returns the sum of `term` over the layers, plus weights times the term of the features and the log-determinant of K."""

    def score(network: Layers) -> float:
        layers = network.once() if once else network
        total = float(term(layers.eigenvalues, layers.units).sum())
        if features and network.features is not None:
            total += features * float((feature_term or term)(network.features[0], np.asarray(network.features[1])))
        return total + (whole * float(flat_log_determinants(network.whole)) if whole else 0.0)

    return score


def rbflex(network: Layers) -> float:
    """Returns flat log|K| + log|Q|."""
    q = 0.0 if network.features is None else float(flat_log_determinants(network.features[0]))
    return float(flat_log_determinants(network.whole)) + q


def product_with_rank(c: float) -> Term:
    """Logarithm of units and share of the rank, times the effective rank."""
    return lambda e, u: spectrum(c)(e, u) * effective_rank(e, u)


def of_gamma(term: Callable[[float], Term], c: float, features: float = 1.0, **values: Any) -> Form:
    """Returns a form with the logarithm c of gamma, which is left out of the features."""
    return form(term(c), features, feature_term=term(0), **values)


DEFAULT = "spectrum, gamma e^-6, Q twice (default)"
FORMS: dict[str, Form] = {
    "rbflex (one kernel)": rbflex,
    **{f"determinant, gamma e^{c}, Q once": of_gamma(determinant, c) for c in (0, -4, -5, -6)},
    "determinant, gamma e^-5, without Q": of_gamma(determinant, -5, 0),
    "determinant, gamma e^-5, Q 4 times": of_gamma(determinant, -5, 4),
    "determinant, gamma e^-5, Q 16 times": of_gamma(determinant, -5, 16),
    "determinant, gamma e^-5, each map once": of_gamma(determinant, -5, once=True),
    "determinant, gamma e^-5, plus K of all layers": of_gamma(determinant, -5, whole=1),
    "determinant, gamma e^-5, plus 10 K of all layers": of_gamma(determinant, -5, whole=10),
    "number of layers (a count)": form(lambda e, u: np.ones_like(u), 0),
    "log units (a count)": form(lambda e, u: np.log(u), 0),
    "log units - 5 (a count)": form(lambda e, u: np.log(u) - 5, 0),
    "log units - 6 (a count)": form(lambda e, u: np.log(u) - 6, 0),
    "log mean spread of a unit + 5": form(lambda e, u: np.log(positive(e).mean(axis=-1) / u) + 5, 0),
    "entropy": form(lambda e, u: spectral_entropies(e)),
    "effective rank": form(effective_rank),
    "participation ratio": form(participation_ratio),
    "log(1 + lambda)": form(soft(1)),
    "log(1 + lambda / 100)": form(soft(100)),
    "log(1 + lambda / 1000)": form(soft(1000)),
    "log(1 + lambda / trace)": form(soft(1, "trace")),
    "log(1 + 100 lambda / units)": form(soft(0.01, "units")),
    **{f"spectrum, gamma e^{c}, Q twice": of_gamma(spectrum, c, 2) for c in (0, -4, -5)},
    DEFAULT: of_gamma(spectrum, -6, 2),
    "spectrum, gamma e^-7, Q twice": of_gamma(spectrum, -7, 2),
    **{f"spectrum, gamma e^{c}, Q once": of_gamma(spectrum, c) for c in (-4, -5, -6)},
    **{f"spectrum, gamma e^{c}, without Q": of_gamma(spectrum, c, 0) for c in (-5, -6)},
    "spectrum, gamma e^-6, Q twice, each map once": of_gamma(spectrum, -6, 2, once=True),
    "spectrum, gamma e^-6, Q once, times effective rank": form(product_with_rank(-6), feature_term=product_with_rank(0)),
}


# gamma such that this function of the layers' terms of a few networks is zero.
DETECTED: dict[str, Callable[[np.ndarray], float]] = {
    f"determinant, gamma from the {name} of {CALIBRATION} networks' layers": rule
    for name, rule in {
        "least term": lambda terms: float(terms.min()),
        "5 % quantile": lambda terms: float(np.quantile(terms, 0.05)),
        "median": lambda terms: float(np.median(terms)),
    }.items()
}
NAMES = (*FORMS, *DETECTED)


def detected(networks: Sequence[Layers | None]) -> dict[str, Form]:
    """Returns the forms whose gamma comes from the layers of the first live networks."""
    live = [one for one in networks if one is not None][:CALIBRATION]
    terms = np.concatenate([flat_log_determinants(one.eigenvalues) / one.eigenvalues.shape[1] for one in live])
    return {name: of_gamma(determinant, -rule(terms)) for name, rule in DETECTED.items()}


def scores_of(networks: Sequence[Layers | None]) -> dict[str, np.ndarray]:
    """Returns each form's score of each network of one setting, NaN for a failed one."""
    forms = FORMS | detected(networks)
    return {name: np.array([np.nan if one is None else score(one) for one in networks]) for name, score in forms.items()}
