"""Samples of a space, images, known accuracies, and the correlation of scores with accuracies.

Networks are scored through the `Evaluator` with the user's cache, so that a larger sample, a second run or another command
measures only new networks. Samples are nested: `sample(space, 300)` begins with `sample(space, 100)`. Scores that run the network
themselves, most of them backward, and scores of raw networks are expensive; they may use a smaller sample than scores that share
a planned forward. Accuracies are read from the tables afterwards and are not visible to the scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata
from tqdm import tqdm

from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.correlation import ordering
from rbflex_evo.fitness import Proxy, WeightParameters, create_batch, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.data.datasets import Cifar10, Cifar100, ImageNet16
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import ConfigError, DataError, Genotype, RbflexEvoError, SearchSpace, create_space

SIZES = {"nats_tss": 15625, "nats_sss": 32768}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet16": 120}
# File and array of known accuracies. For nats_sss on CIFAR-100 only validation accuracies are available.
TABLES = {
    ("nats_tss", "cifar10"): ("nb201.npz", "cifar10_test_200ep_mean"),
    ("nats_tss", "cifar100"): ("nb201.npz", "cifar100_test_200ep_mean"),
    ("nats_sss", "cifar10"): ("nats_sss.npz", "cifar10_test_90ep"),
    ("nats_sss", "cifar100"): ("nats_sss.npz", "cifar100_val_90ep"),
}
# File, array of images, array of labels, normalisation.
IMAGES: dict[str, tuple[str, str, str | None, Any]] = {
    "cifar10": ("foolbox_samples.npz", "cifar10_images", "cifar10_labels", Cifar10),
    "cifar10_test": ("cifar10_test_images.npz", "images", "labels", Cifar10),
    "cifar100": ("foolbox_samples.npz", "cifar100_images", "cifar100_labels", Cifar100),
    # Its labels are of all ILSVRC classes, not of the 120, so they are left out.
    "imagenet16": ("imagenet16_images.npz", "images", None, ImageNet16),
}
RESAMPLES = 200


@dataclass(frozen=True)
class Score:
    """A row of a table: a registered proxy and its parameters, or the sum of several proxies' ranks.

    Attributes:
        label: what the table calls it.
        proxies: registered names; more than one are summed by rank.
        parameters: of each of them.
    """

    label: str
    proxies: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """Sizes of a table: networks, networks for scores that run the network themselves, images, resamples."""

    networks: int
    own_passes: int
    images: int = 16
    resamples: int = RESAMPLES

    def document(self) -> dict[str, int]:
        return asdict(self)


def space_of(name: str, dataset: str) -> SearchSpace:
    """Returns the space with a classifier for the data set's classes."""
    return create_space(name, classes=CLASSES[dataset])


def images_of(folder: Path, dataset: str, n: int = 16, seed: int | None = None, file: str | None = None) -> Batch:
    """Returns N images, and labels if they are of the data set's classes: the first of the file, or a random draw.

    Args:
        file: Name of a file with the same arrays, instead of the default.
    """
    name, array, labels, source = IMAGES[dataset]
    path = folder / (file or name)
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies and images")
    values = {"labels": labels} if labels else {}
    order = {"order": "first"} if seed is None else {"seed": seed}
    normal = {"mean": list(source.normal.mean), "std": list(source.normal.std)}
    return create_batch("file", path=str(path), array=array, n=n, **values, **order, **normal)


def accuracies_of(folder: Path, space: str, dataset: str) -> np.ndarray:
    """Returns the known accuracies of the whole space, percent, float64 [networks], in the benchmark's order."""
    file, array = TABLES[space, dataset]
    path = folder / file
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies and images")
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[array].astype(np.float64)


def sample(space: str, count: int, seed: int = 0) -> np.ndarray:
    """Returns the benchmark's indices of `count` distinct random networks; a smaller sample is the start of a larger one."""
    return np.random.default_rng(seed).permutation(SIZES[space])[:count]


def wanted(rows: Sequence[Score], chosen: Sequence[str] | None) -> list[Score]:
    """Returns the rows whose proxies are all among `chosen`, every row for None, after creating each proxy once.

    Raises:
        UnknownNameError: if a proxy is not registered.
        ConfigError: if none is left, or a chosen name is in no row.
    """
    if chosen is not None:
        unknown = set(chosen) - {name for row in rows for name in row.proxies}
        if unknown:
            names = ", ".join(sorted({name for row in rows for name in row.proxies}))
            raise ConfigError(f"no row of this table is of {', '.join(sorted(unknown))}; it has {names}")
        rows = [row for row in rows if set(row.proxies) <= set(chosen)]
    for row in rows:
        for name in row.proxies:
            create_proxy(name, **row.parameters)
    return list(rows)


def served(rows: Sequence[Score], space: SearchSpace) -> tuple[list[Score], list[str]]:
    """Returns the rows that the space supports, and a sentence for each other row."""
    there, sentences = [], []
    for row in rows:
        try:
            for name in row.proxies:
                create_proxy(name, **row.parameters).check(space)
        except ConfigError as error:
            sentences.append(f"- {row.label}, not on {space.name}: {error}.")
        else:
            there.append(row)
    return there, sentences


def measure(
    space: SearchSpace,
    indices: np.ndarray,
    rows: Sequence[Score],
    batch: Batch,
    *,
    own_passes: int | None = None,
    weights: WeightParameters | None = None,
    workers: int | None = None,
    title: str = "scores",
) -> dict[str, np.ndarray]:
    """Scores networks and returns for each row float64 [networks], NaN where it failed.

    Args:
        indices: of the networks in the benchmark's order.
        own_passes: how many of the first networks are scored by proxies that run the network themselves or a raw one; all for None.
    """
    genotypes = [space.at(int(index)) for index in indices]
    return scored(space, genotypes, rows, batch, own_passes=own_passes, weights=weights, workers=workers, title=title)


def scored(
    space: SearchSpace,
    genotypes: Sequence[Genotype],
    rows: Sequence[Score],
    batch: Batch,
    *,
    own_passes: int | None = None,
    weights: WeightParameters | None = None,
    workers: int | None = None,
    title: str = "scores",
) -> dict[str, np.ndarray]:
    """Scores genotypes; `measure` does the same for indices of a benchmark."""
    proxies = {f"{row.label}/{name}": create_proxy(name, **row.parameters) for row in rows for name in row.proxies}
    found: dict[str, np.ndarray] = {}
    for group, count in _groups(proxies, len(genotypes), own_passes):
        with Evaluator(Conditions.of(space, batch, weights=weights), group, workers=workers, cache=default_path()) as evaluator:
            what = f"{title}: {', '.join(dict.fromkeys(label.partition('/')[0] for label in group))}"
            evaluations = list(tqdm(evaluator.evaluate(keyed(evaluator, genotypes[:count])), what, total=count, disable=None))
        for label in group:
            found[label] = np.array([evaluation.scores.get(label, np.nan) for evaluation in evaluations])
    return {row.label: _summed([found[f"{row.label}/{name}"] for name in row.proxies]) for row in rows}


def _groups(proxies: Mapping[str, Proxy], count: int, own_passes: int | None) -> list[tuple[dict[str, Proxy], int]]:
    """Groups the proxies by evaluator: published scores use raw cells, expensive scores use fewer networks."""
    kinds: dict[tuple[bool, int], dict[str, Proxy]] = {}
    for label, proxy in proxies.items():
        expensive = proxy.needs == "network" or proxy.scores_raw_network
        few = min(own_passes, count) if expensive and own_passes is not None else count
        kinds.setdefault((proxy.scores_raw_network, few), {})[label] = proxy
    return [(group, few) for (_, few), group in kinds.items()]


def _summed(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the one score, or the sum of ranks, failed (NaN) where any part failed."""
    if len(parts) == 1:
        return parts[0]
    both = [part[: min(map(len, parts))] for part in parts]
    return np.sum([rankdata(part, nan_policy="omit") for part in both], axis=0)


def correlation(name: str, scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Returns `kendall`, `spearman` or `pearson` as `engine/correlation/ordering.py` defines it; NaN where it is undefined."""
    values = scores if name == "pearson" else ordering.ranked(scores)
    found: float = getattr(ordering, name)(values, accuracies)
    return found


def judged(scores: np.ndarray, accuracies: np.ndarray, resamples: int) -> dict[str, Statistic]:
    """Returns every statistic of the networks that were scored, which are the first ones, with its bootstrap interval."""
    return ordering.judge(scores, accuracies[: len(scores)], resamples=resamples)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options that every command has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, required=True, help="folder of known accuracies and images")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where tables and pictures go")
    parser.add_argument("--workers", type=int, help="worker processes; one a core by default")
    parser.add_argument("--quick", action="store_true", help="smoke test with a few networks")
    return parser


def add_sizes(parser: argparse.ArgumentParser, networks: int, own_passes: int) -> None:
    """Adds the options of a table of scores."""
    parser.add_argument("--networks", type=int, default=networks, help="random networks of each space")
    parser.add_argument("--own-passes", type=int, default=own_passes, help="networks for scores that run the network themselves")
    parser.add_argument("--scores", nargs="+", help="only the rows that these proxies make")


def size_of(options: argparse.Namespace) -> Size:
    """Returns the sample that the options ask for."""
    return Size(8, 4, 4, 20) if options.quick else Size(options.networks, options.own_passes)


def run(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], None], options: Sequence[str] | None) -> None:
    """Parses the options and runs the command; a user's error is reported in one line."""
    chosen = parser.parse_args(options)
    try:
        command(chosen)
    except RbflexEvoError as error:
        parser.error(str(error))
