"""Forms of layered RBFleX: Kendall's tau with known accuracies, and which form holds on a space left out.

    python -m benchmarks layered_forms --benchdata FOLDER [--networks 200] [--sample 0] [--seeds 0] [--images 16]
        [--settings nats_tss darts ...] [--minutes 30] [--quick]

Each network is measured once, by the statistics of `layered` and `rbflex`, through the user's cache: an interrupted run resumes,
and another form costs no forward. Images are noise. Weights and noise have the seeds of `--seeds`; the mean over seeds is of the
scores. `--sample` draws the networks; a smaller sample is the start of a larger one. With `--minutes`, settings that are not
started by then are left out, and the table says how many networks each setting has.

Settings of one space are averaged before spaces are compared. `conv` is the mean over the six spaces of convolutional networks,
`mean` and `worst` are over all spaces. The second table leaves out one space in turn, chooses the form with the largest sum of
mean and worst on the others, and gives that form's tau on the space that was left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau
from tqdm import tqdm

from benchmarks.shared import samples
from benchmarks.shared.known_settings import SETTINGS, Setting
from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness import Statistics, WeightParameters, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.proxies.rbflex.kernels import centred_basis, squared_distances
from rbflex_evo.fitness.proxies.rbflex.layered import flat_log_determinants, spectral_entropies

CONVOLUTIONAL = ("nats_tss", "nats_sss", "nasbench101", "nasbench_macro", "transnas_micro", "transnas_macro")
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
Scores = dict[str, np.ndarray]


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


DEFAULT = "spectrum, c = -6, Q times 2 (default)"
FORMS: dict[str, Form] = {
    "rbflex (one kernel)": rbflex,
    "log-determinant, c = -75": form(determinant(-5), feature_term=determinant(0)),
    "c = -90": form(determinant(-6), feature_term=determinant(0)),
    "c = 0": form(determinant(0), feature_term=determinant(0)),
    "c = -75, without Q": form(determinant(-5), 0),
    "c = -75, Q times 4": form(determinant(-5), 4, feature_term=determinant(0)),
    "c = -75, Q times N": form(determinant(-5), 16, feature_term=determinant(0)),
    "c = -75, distinct maps": form(determinant(-5), once=True, feature_term=determinant(0)),
    "c = -75, plus K of all layers": form(determinant(-5), feature_term=determinant(0), whole=1),
    "c = -75, plus 10 K": form(determinant(-5), feature_term=determinant(0), whole=10),
    "number of layers": form(lambda e, u: np.ones_like(u), 0),
    "log units": form(lambda e, u: np.log(u), 0),
    "log units - 5": form(lambda e, u: np.log(u) - 5, 0),
    "log mean spread of a unit + 5": form(lambda e, u: np.log(positive(e).mean(axis=-1) / u) + 5, 0),
    "entropy": form(lambda e, u: spectral_entropies(e)),
    "effective rank": form(effective_rank),
    "participation ratio": form(participation_ratio),
    "log(1 + lambda / 1)": form(soft(1)),
    "log(1 + lambda / 100)": form(soft(100)),
    "log(1 + lambda / 1000)": form(soft(1000)),
    "log(1 + lambda / trace)": form(soft(1, "trace")),
    "log(1 + 100 lambda / units)": form(soft(0.01, "units")),
    "spectrum, c = 0, Q times 2": form(spectrum(0), 2),
    "spectrum, c = -5, Q times 2": form(spectrum(-5), 2, feature_term=spectrum(0)),
    DEFAULT: form(spectrum(-6), 2, feature_term=spectrum(0)),
    "spectrum, c = -7, Q times 2": form(spectrum(-7), 2, feature_term=spectrum(0)),
    "spectrum, c = -6, without Q": form(spectrum(-6), 0),
    "spectrum, c = -6, Q once": form(spectrum(-6), feature_term=spectrum(0)),
    "spectrum, c = -6, Q times 2, distinct maps": form(spectrum(-6), 2, once=True, feature_term=spectrum(0)),
    "spectrum, c = -6, Q once, times effective rank": form(
        lambda e, u: spectrum(-6)(e, u) * effective_rank(e, u), feature_term=lambda e, u: spectrum(0)(e, u) * effective_rank(e, u)
    ),
}


def detected(networks: Sequence[Layers | None]) -> dict[str, Form]:
    """Returns the forms whose c comes from the layers of the first live networks."""
    live = [one for one in networks if one is not None][:CALIBRATION]
    flat = np.concatenate([flat_log_determinants(one.eigenvalues) / one.eigenvalues.shape[1] for one in live])
    rules = {"least": flat.min(), "5 % quantile": np.quantile(flat, 0.05), "median": np.median(flat), "least - 1": flat.min() - 1}
    return {
        f"c from the {name} layer term of {CALIBRATION} networks": form(determinant(-c), feature_term=determinant(0))
        for name, c in rules.items()
    }


def measured(setting: Setting, options: argparse.Namespace, seed: int) -> tuple[list[Layers | None], dict[str, np.ndarray]]:
    """Returns the layers of each network, None for a failed one, and the accuracies by task."""
    space = setting.create()
    genotypes, accuracies = setting.read(options.benchdata, space)
    chosen = np.random.default_rng(options.sample).permutation(len(genotypes))[: options.networks]
    conditions = Conditions.of(space, Batch(space.example_inputs(options.images, seed)), weights=WeightParameters(seed=seed))
    # The gammas of rbflex are not needed.
    proxies = {"layered": create_proxy("layered"), "rbflex": create_proxy("rbflex", gamma="flat")}
    with Evaluator(conditions, proxies, workers=options.workers, cache=default_path()) as evaluator:
        keys = [evaluator.key(genotypes[i]) for i in chosen]
        unique = list(dict.fromkeys(keys))
        arriving = tqdm(evaluator.statistics(unique), f"{setting.name}, seed {seed}", total=len(unique), disable=None)
        found = dict(zip(unique, (one.statistics for one in arriving), strict=True))
    networks = {key: layers_of(**statistics) if len(statistics) == len(proxies) else None for key, statistics in found.items()}
    return [networks[key] for key in keys], {task: values[chosen] for task, values in accuracies.items()}


def scores_of(networks: Sequence[Layers | None]) -> Scores:
    """Returns each form's score of each network, -infinity for a failed one."""
    forms = FORMS | detected(networks)
    return {name: np.array([-np.inf if one is None else score(one) for one in networks]) for name, score in forms.items()}


def tau(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Returns Kendall's tau where the accuracy is known."""
    known = ~np.isnan(accuracies)
    return float(kendalltau(scores[known], accuracies[known]).statistic)


def interval(scores: np.ndarray, accuracies: np.ndarray, resamples: int = 200) -> tuple[float, float]:
    """Returns the 95 % interval of Kendall's tau over resampled networks."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(scores), size=len(scores)) for _ in range(resamples)]
    low, high = np.nanquantile([tau(scores[i], accuracies[i]) for i in drawn], [0.025, 0.975])
    return float(low), float(high)


Row = Mapping[str, float]  # Tau by setting and task.


def by_space(row: Row, family: Mapping[str, str]) -> dict[str, float]:
    """Returns the mean over the settings of each space."""
    found: dict[str, list[float]] = {}
    for name, value in row.items():
        found.setdefault(family[name], []).append(value)
    return {space: float(np.nanmean(values)) for space, values in found.items()}


def summary(spaces: Mapping[str, float]) -> tuple[float, float, float]:
    """Returns the mean over convolutional spaces, the mean over all, and the worst."""
    there = [value for space, value in spaces.items() if space in CONVOLUTIONAL]
    return float(np.mean(there or [np.nan])), float(np.mean(list(spaces.values()))), min(spaces.values())


def left_out(rows: Mapping[str, Row], family: Mapping[str, str]) -> list[list[object]]:
    """Returns for each space the form that is best on the others by mean plus worst, and its tau on the space."""
    spaces = {name: by_space(row, family) for name, row in rows.items()}
    found: list[list[object]] = []
    for space in dict.fromkeys(family.values()):
        others = {name: [v for s, v in values.items() if s != space] for name, values in spaces.items()}
        best = max((name for name in others if others[name]), key=lambda name: np.mean(others[name]) + min(others[name]))
        top = max(spaces, key=lambda name: spaces[name][space])
        found.append([space, best, spaces[best][space], top, spaces[top][space]])
    return found


def judged(
    settings: Iterable[Setting], options: argparse.Namespace
) -> tuple[dict[str, dict[str, float]], dict[str, str], list[dict[str, Any]]]:
    """Measures the settings, and returns tau by form and setting, the space of each setting, and facts."""
    rows: dict[str, dict[str, float]] = {}
    family: dict[str, str] = {}
    facts: list[dict[str, Any]] = []
    end = time.monotonic() + 60 * options.minutes
    for setting in settings:
        if time.monotonic() > end:
            print(f"{setting.name} is left out: {options.minutes:g} minutes are over")
            continue
        started = time.monotonic()
        results = [measured(setting, options, seed) for seed in options.seeds]
        seconds = time.monotonic() - started
        every = [scores_of(networks) for networks, _ in results]
        for task, accuracies in results[0][1].items():
            title = f"{setting.name.partition(' ')[0]} {task}"
            family[title] = setting.family
            for name in every[0]:
                rows.setdefault(name, {})[title] = float(np.mean([tau(scores[name], accuracies) for scores in every]))
            default = [scores[options.default] for scores in every]
            fact = {
                "setting": title, "networks": len(accuracies), "distinct": len({id(one) for one in results[0][0]}),
                "seeds": [tau(scores, accuracies) for scores in default],
                "interval": interval(default[0], accuracies), "seconds": round(seconds, 1),
            }  # fmt: skip
            facts.append(fact)
            print(json.dumps(fact), flush=True)
    return rows, family, facts


def rounded(line: Sequence[Any]) -> list[Any]:
    """Returns the line with three decimals of each float."""
    return [round(value, 3) if isinstance(value, float) else value for value in line]


def command(options: argparse.Namespace) -> None:
    if options.quick:
        options.networks, options.images, options.seeds = 6, 4, [0]
    chosen = [one for one in SETTINGS if not options.settings or {one.name, one.space} & set(options.settings)]
    rows, family, facts = judged(chosen, options)
    titles = list(family)
    lines = [[name, *summary(by_space(row, family)), *(row[title] for title in titles)] for name, row in rows.items()]
    text = markdown(["form", "conv", "mean", "worst", *titles], [rounded(line) for line in lines])
    if len(set(family.values())) > 1:
        columns = ["space left out", "chosen on the others", "tau", "best on it", "tau"]
        text += "\n\n" + markdown(columns, [rounded(line) for line in left_out(rows, family)])
    text += f"\n\n{options.default}, by seed, with the 95 % interval of the first:\n\n" + markdown(
        ["setting", "networks", "distinct", "by seed", "interval"],
        [
            [f["setting"], f["networks"], f["distinct"], *(" ".join(f"{x:.3f}" for x in f[k]) for k in ("seeds", "interval"))]
            for f in facts
        ],
    )
    title = f"Forms of layered RBFleX, Kendall, sample {options.sample}, {options.images} noise images, seeds {options.seeds}"
    write(options.folder, options.name, title, text, {"rows": rows, "spaces": family, "facts": facts})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, required=True, help="folder of known accuracies")
    parser.add_argument("--networks", type=int, default=200, help="random networks of each setting")
    parser.add_argument("--sample", type=int, default=0, help="seed of the random networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of weights and noise")
    parser.add_argument("--images", type=int, default=16, help="noise images")
    parser.add_argument("--settings", nargs="+", help="only settings or spaces of these names")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no setting after this time")
    parser.add_argument("--default", default=DEFAULT, help="form whose seeds and intervals are printed")
    parser.add_argument("--workers", type=int, help="worker processes; one a core by default")
    parser.add_argument("--name", default="layered_forms", help="name of the tables")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where the table goes")
    parser.add_argument("--quick", action="store_true", help="smoke test with a few networks")
    samples.run(parser, command, arguments)


if __name__ == "__main__":
    main()
