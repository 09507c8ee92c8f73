"""Kendall's tau of forms of layered RBFleX with known accuracies of unlike spaces; every form reads the same spectra of layers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.shared.known_settings import SETTINGS, Setting
from rbflex_evo.fitness import Observer, Proxy, Statistics, WeightParameters
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.proxies.rbflex.kernels import centred_basis, squared_distances
from rbflex_evo.fitness.proxies.rbflex.layered import LayeredObserver, LayeredParameters


class Spectra(Proxy):
    """What the forms read of a network."""

    name = "layer_spectra"
    description = "spectra of the distances in each layer"
    Parameters = LayeredParameters

    def __init__(self, parameters=None, parts="kq"):
        super().__init__(parameters)
        self.parts = parts

    @property
    def identity(self):
        return super().identity | ({} if self.parts == "kq" else {"parts": self.parts})

    def for_space(self, space):
        return Spectra(self.parameters, "k" if space.features == "none" else "kq")

    def observer(self) -> Observer:
        return SpectraObserver(self.parts)

    def score(self, statistics: Statistics) -> float:
        return 0.0


class SpectraObserver(LayeredObserver):
    """Observer of `Spectra`."""

    def __init__(self, parts="kq"):
        super().__init__(parts)
        self.columns = []

    def activation(self, name, output, multiplicity=1):
        super().activation(name, output, multiplicity)
        self.columns.append(output[0].numel())

    def take(self, reduced, columns, multiplicity=1):
        super().take(reduced, columns, multiplicity)
        self.columns.append(columns)

    def fork(self):
        other = SpectraObserver()
        other.rows = self.rows.fork()
        other.columns = list(self.columns)
        return other

    def finish(self) -> Statistics:
        whole = self.rows.finish()
        layers = self.rows.parts["k"].separately()
        d = squared_distances(layers["gram"])
        off = d[:, ~np.eye(d.shape[-1], dtype=bool)]
        found = {
            "eig": eigenvalues(layers["gram"]),
            "m": layers["multiplicity"],
            "live": layers["live"],
            "columns": np.array(self.columns),
            "dmin": off.min(axis=1),
            "dmedian": np.median(off, axis=1),
            "k_eig": eigenvalues(whole["k_gram"]),
            "norms": np.diagonal(layers["gram"], axis1=-2, axis2=-1).sum(axis=1),
            "sums": layers["gram"].sum(axis=(1, 2)),
        }
        if "q_gram" in whole:
            found |= {"q_eig": eigenvalues(whole["q_gram"]), "q_live": whole["q_live"]}
        return found


def eigenvalues(gram):
    basis = centred_basis(gram.shape[-1])
    return np.linalg.eigvalsh(-basis.T @ squared_distances(gram) @ basis)


def measured(setting: Setting, folder: Path, count: int, n: int, seed: int, sample: int) -> list[tuple[Statistics | None, dict[str, float]]]:
    space = setting.create()
    genotypes, accuracies = setting.read(folder, space)
    chosen = np.random.default_rng(sample).permutation(len(genotypes))[:count]
    batch = Batch(space.example_inputs(n, seed))
    proxies = {"spectra": Spectra()}
    found = []
    conditions = Conditions.of(space, batch, weights=WeightParameters(seed=seed))
    with Evaluator(conditions, proxies, workers=1, cache=default_path(), in_process=True) as evaluator:
        keys = [evaluator.key(genotypes[i]) for i in chosen]
        unique = list(dict.fromkeys(keys))
        arrived = {}
        names = iter(unique)
        started = time.time()
        for block in evaluator._statistics(unique, evaluator.proxies):
            for one in block:
                arrived[next(names)] = one.statistics.get("spectra")
                if one.failures and "path" not in str(one.failures): print(one.failures)
        print(setting.name, n, seed, len(unique), f"{time.time() - started:.1f} s", flush=True)
    return [(arrived[key], {t: a[i] for t, a in accuracies.items()}) for key, i in zip(keys, chosen)]


def main(arguments: Sequence[str] | None = None) -> None:
    import pickle
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=250)
    parser.add_argument("--n", type=int, nargs="+", default=[16])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--settings", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("/tmp/study"))
    o = parser.parse_args(arguments)
    for n in o.n:
        for seed in o.seeds:
            for s in SETTINGS:
                if o.settings and s.name.split()[0] not in o.settings and s.name not in o.settings: continue
                r = measured(s, o.benchdata, o.networks, n, seed, o.sample)
                with open(o.out / f"{s.name.replace(' ', '-')}_n{n}_s{seed}_p{o.sample}.pkl", "wb") as f:
                    pickle.dump(r, f)


if __name__ == "__main__":
    main()
