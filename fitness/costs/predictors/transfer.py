"""A new device from a few measurements, by the costs of known devices (the case of HELP, Lee et al., NeurIPS 2021).

All known devices have costs of the same architectures. Their standardised logarithms are the features of an architecture, and
one of these methods predicts the logarithm of its cost on the new device:

    ridge     ridge regression on all known devices
    nearest   the mean of the known devices that correlate most on the measured architectures, and a rising line
    parts     ridge regression on the principal components of the known devices

The method is chosen without the new device: each known device is taken as new in turn, with the same measured architectures and
without the devices of its own chip; the method with the highest mean Spearman correlation over the other architectures is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace

from .predictor import Predictor, State

# A cost below this share of a device's lowest percent is measured noise of an empty network.
FLOOR = 0.5
# Architectures on which methods are compared.
COMPARED = 1000

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class KnownDevices:
    """Costs of the same architectures on known devices.

    Attributes:
        names: Name of each device.
        chips: Name of the chip of each device; devices of one chip tell nothing new of each other.
        costs: float64 [architectures, devices].
        genotypes: Architecture of each row.
    """

    names: tuple[str, ...]
    chips: tuple[str, ...]
    costs: np.ndarray
    genotypes: Sequence[Genotype]

    def without(self, chip: str) -> KnownDevices:
        """Returns the devices of other chips.

        Raises:
            ConfigError: If fewer than two remain.
        """
        kept = [i for i, known in enumerate(self.chips) if known != chip]
        if len(kept) < 2:
            raise ConfigError(f"'transfer' needs at least two devices of other chips than {chip!r}, but there are {len(kept)}")
        names, chips = ([of[i] for i in kept] for of in (self.names, self.chips))
        return KnownDevices(tuple(names), tuple(chips), self.costs[:, kept], self.genotypes)


class Transfer(Predictor):
    """Regression of a new device on known ones.

    Args:
        space: Search space of the genotypes.
        known: The known devices; None for a predictor that is restored.
        seed: Seed of the architectures on which methods are compared.
    """

    name = "transfer"
    description = "a new device from ten measurements, by regression on known devices (HELP's case)"

    def __init__(self, space: SearchSpace, seed: int = 0, known: KnownDevices | None = None) -> None:
        super().__init__(space, seed)
        self.known = known
        self.method = ""
        self.devices: tuple[str, ...] = ()
        self._rows: dict[Genotype, int] = {} if known is None else {genotype: i for i, genotype in enumerate(known.genotypes)}
        self._predicted = np.empty(0)

    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        if self.known is None:
            raise ConfigError("'transfer' is fitted beside known devices; give a table of them")
        features = standardised(self.known.costs)
        rows = self._rows_of(genotypes)
        self.devices = self.known.names
        self.method = self._chosen(features, rows)
        # The line is fitted to logarithms, since a cost is a share of another one rather than a difference.
        self._predicted = np.exp(METHODS[self.method](features[rows], np.log(values), features))

    def _chosen(self, features: np.ndarray, rows: np.ndarray) -> str:
        """Returns the method that is best for known devices in the place of the new one."""
        from scipy.stats import rankdata

        known = self.known
        assert known is not None
        rng = np.random.Generator(np.random.PCG64(self.seed))
        others = np.setdiff1d(np.arange(len(features)), rows)
        others = rng.choice(others, min(COMPARED, len(others)), replace=False)
        compared = features[others]
        found: dict[str, list[float]] = {name: [] for name in METHODS}
        for device, chip in enumerate(known.chips):
            left = [i for i, other in enumerate(known.chips) if other != chip]
            target = features[:, device]
            if len(left) < 2 or np.ptp(target[rows]) == 0:
                continue
            truth = rankdata(target[others])
            for name, method in METHODS.items():
                predicted = method(features[rows][:, left], target[rows], compared[:, left])
                ranks = rankdata(predicted)
                found[name].append(float(np.corrcoef(truth, ranks)[0, 1]) if np.ptp(ranks) else 0.0)
        return max(found, key=lambda name: float(np.mean(found[name] or [0.0])))

    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return np.asarray(self._predicted[self._rows_of(genotypes)])

    def _rows_of(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        unknown = [genotype for genotype in genotypes if genotype not in self._rows]
        if unknown:
            raise CandidateFailed(f"the known devices have no cost of {self.space.notation(unknown[0])}")
        return np.array([self._rows[genotype] for genotype in genotypes], dtype=np.int64)

    def state(self) -> State:
        """Returns the predicted cost of every architecture of the known devices."""
        plain = {"method": self.method, "devices": list(self.devices)}
        genes = np.array(list(self._rows), dtype=np.int16)
        return State(plain, {"genotypes": genes, "predicted": self._predicted})

    def restore(self, state: State) -> None:
        """Takes over predicted costs."""
        self.method, self.devices = state.plain["method"], tuple(state.plain["devices"])
        self._rows = {tuple(row): i for i, row in enumerate(state.arrays["genotypes"].tolist())}
        self._predicted = state.arrays["predicted"]
        self.fitted = True


def standardised(costs: np.ndarray) -> np.ndarray:
    """Returns the logarithms of costs with mean 0 and deviation 1 for each device, float64 [architectures, devices]."""
    logs = np.log(np.maximum(costs, FLOOR * np.quantile(costs, 0.01, axis=0)))
    return np.asarray((logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 1e-12))


def _ridge(measured: np.ndarray, values: np.ndarray, features: np.ndarray, penalty: float) -> np.ndarray:
    middle, mean = measured.mean(axis=0), values.mean()
    centred = measured - middle
    solved = np.linalg.solve(centred @ centred.T + penalty * np.eye(len(values)), values - mean)
    return np.asarray(mean + (features - middle) @ (centred.T @ solved))


def _nearest(measured: np.ndarray, values: np.ndarray, features: np.ndarray, count: int) -> np.ndarray:
    centred, target = measured - measured.mean(axis=0), values - values.mean()
    norms = np.maximum(np.linalg.norm(centred, axis=0) * np.linalg.norm(target), 1e-12)
    nearest = np.argsort(-(target @ centred) / norms, kind="stable")[:count]
    one, every = measured[:, nearest].mean(axis=1), features[:, nearest].mean(axis=1)
    # A line that falls would turn the order of the known devices around.
    slope = max(float(np.cov(one, values)[0, 1] / max(one.var(ddof=1), 1e-12)), 1e-3)
    return np.asarray(values.mean() + slope * (every - one.mean()))


def _parts(measured: np.ndarray, values: np.ndarray, features: np.ndarray, count: int, penalty: float) -> np.ndarray:
    middle = features.mean(axis=0)
    _, directions = np.linalg.eigh((features - middle).T @ (features - middle))
    chosen = directions[:, ::-1][:, :count]
    return _ridge((measured - middle) @ chosen, values, (features - middle) @ chosen, penalty)


METHODS: dict[str, Method] = {
    **{f"ridge {penalty:g}": partial(_ridge, penalty=penalty) for penalty in (1.0, 10.0)},
    **{f"nearest {count}": partial(_nearest, count=count) for count in (1, 3, 5, 8)},
    **{f"parts {count}": partial(_parts, count=count, penalty=1.0) for count in (2, 4, 6)},
}
