"""Tables of scores that `rbflex-evo tabulate` made of a whole space, beside the known accuracies of that space.

A benchmark of searches reads scores from these tables, so that any number of draws costs nothing: it looks up which network a
score or a preset would have selected from a set. Networks are identified by their index in the benchmark's order. Several indices
may be the same network, with one row in the table, because the papers draw cells and not classes of equal cells. Accuracies are
looked up for the selected indices only after the selection.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from rbflex_evo.engine.configuration.config import Config, load_config
from rbflex_evo.fitness.measuring.tabulated import load, score_names
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, DataError, RbflexEvoError, SearchSpace, create_space

from .samples import SIZES

SPACES = ("nats_tss", "nats_sss")
DRAWS = 500
# File and arrays of known accuracies, percent: (space, data set) -> kind -> array.
ACCURACIES: dict[str, tuple[str, dict[tuple[str, str], str]]] = {
    "nats_tss": (
        "nb201.npz",
        {
            ("cifar10", "test"): "cifar10_test_200ep_mean",
            ("cifar10", "test, one seed"): "cifar10_test_200ep_one_seed",
            ("cifar100", "test"): "cifar100_test_200ep_mean",
            ("cifar100", "test, one seed"): "cifar100_test_200ep_one_seed",
        },
    ),
    "nats_sss": (
        "nats_sss.npz",
        {
            ("cifar10", "test"): "cifar10_test_90ep",
            ("cifar10", "validation"): "cifar10_val_90ep",
            ("cifar100", "validation"): "cifar100_val_90ep",
        },
    ),
}


@dataclass(frozen=True)
class Choice:
    """Criterion of a search: one score, or the ranks of a preset."""

    label: str
    members: tuple[str, ...]
    rule: str = "score"
    weights: tuple[float, ...] = ()

    @property
    def preset(self) -> bool:
        return self.rule != "score"


@dataclass(frozen=True)
class Scores:
    """The table of one space.

    Attributes:
        path: Path of the npz.
        space: Search space of the table.
        of: Scores by name, float64 [networks] in the benchmark's order, NaN where it failed.
    """

    path: Path
    space: SearchSpace
    of: Mapping[str, np.ndarray]

    @cached_property
    def choices(self) -> list[Choice]:
        """Every score of the table, and every preset whose members it has."""
        found = [Choice(name, (name,)) for name in self.of]
        for name in PRESETS.names():
            preset = PRESETS.get(name)
            if set(preset.members) <= set(self.of):
                found.append(Choice(name, preset.members, preset.rule, preset.weights))
        return found

    @property
    def missing(self) -> dict[str, list[str]]:
        """Returns the presets that the table cannot make, and their missing members."""
        lacking = {name: [m for m in PRESETS.get(name).members if m not in self.of] for name in PRESETS.names()}
        return {name: members for name, members in lacking.items() if members}

    def choice(self, label: str) -> Choice | None:
        """Returns the choice of that label, None where the table lacks it."""
        return next((choice for choice in self.choices if choice.label == label), None)

    def members(self, choice: Choice) -> np.ndarray:
        """Returns float64 [members, networks]."""
        return np.array([self.of[name] for name in choice.members])

    @cached_property
    def costs(self) -> dict[str, np.ndarray]:
        """Parameters and multiply-accumulates of the networks as the benchmark counts them, float64 [networks] each."""
        found = [self.space.costs(self.space.at(index)) for index in range(SIZES[self.space.name])]
        return {"params": np.array([cost.params for cost in found]), "flops": np.array([cost.flops for cost in found])}

    @property
    def config(self) -> Config | None:
        """The configuration that `tabulate` left beside the table."""
        beside = self.path.with_name("config.yaml")
        return load_config(beside) if beside.is_file() else None


def read_scores(path: Path, name: str) -> Scores:
    """Reads a table of the whole space of that name.

    Raises:
        ConfigError: if the file is missing, is of another space, or lacks an architecture.
    """
    arrays = load(path)
    if arrays is None or not {"key", "notation"} <= arrays.keys():
        raise ConfigError(f"{str(path)!r} is no table of scores; make one with: rbflex-evo tabulate CONFIG")
    names = score_names(arrays)
    if not names:
        raise ConfigError(f"{str(path)!r} holds no score")
    space = create_space(name)
    row = {key: i for i, key in enumerate(arrays["key"].tolist())}
    keys = [space.key(space.at(index)) for index in range(SIZES[name])]
    unknown = next((key for key in keys if key not in row), None)
    if unknown is not None:
        raise ConfigError(f"{str(path)!r} has no scores of {unknown!r} of {name}; tabulate the whole space without a sample")
    rows = np.array([row[key] for key in keys])
    return Scores(path, space, {score: arrays[score].astype(np.float64)[rows] for score in names})


def worth(choice: Choice, members: np.ndarray) -> np.ndarray:
    """Returns the utility of candidates in a search that has seen only these, -inf where a member failed.

    Equal to `fitness.objective` with the reference "archive", for many archives at once.

    Args:
        members: float64 [members, ..., candidates].

    Returns:
        float64 [..., candidates].
    """
    alive = np.isfinite(members).all(axis=0)
    if not choice.preset:
        return np.where(alive, members[0], -np.inf)
    # Failed candidates rank below all others, so their number is subtracted from the others' ranks.
    failed = alive.shape[-1] - alive.sum(axis=-1, keepdims=True)
    ranks = rankdata(np.where(alive, members, -np.inf), axis=-1) - failed
    shares = np.where(alive, ranks, 1.0) / np.maximum(alive.shape[-1] - failed, 1)
    weights = np.array(choice.weights or (1.0,) * len(members)).reshape(-1, *[1] * (members.ndim - 1))
    terms = np.log(shares) if choice.rule == "log" else shares
    mean = (terms * weights).sum(axis=0) / weights.sum()
    return np.where(alive, np.round(np.exp(mean) if choice.rule == "log" else mean, 12), -np.inf)


def draws(networks: int, size: int, count: int, seed: int = 0) -> np.ndarray:
    """Returns int64 [count, size], `count` sets of distinct random networks; the first S of a row are a draw of S."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(networks, size, replace=False) for _ in range(count)])


def found(scores: Scores, choice: Choice, drawn: np.ndarray) -> np.ndarray:
    """Returns int64 [count], the network of the highest worth in each draw [count, S]; ties go to the earliest.

    If all networks of a draw failed, its first one is returned.
    """
    values = worth(choice, scores.members(choice)[:, drawn])
    return drawn[np.arange(len(drawn)), np.argmax(values, axis=1)]


def accuracies_of(folder: Path, name: str) -> dict[tuple[str, str], np.ndarray]:
    """Returns by data set and kind the known accuracies of a space, percent, float64 [networks].

    Raises:
        DataError: if their file is missing.
    """
    file, wanted = ACCURACIES[name]
    path = folder / file
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies and images")
    with np.load(path, allow_pickle=False) as arrays:
        return {what: arrays[array].astype(np.float64) for what, array in wanted.items()}


def arguments(description: str | None, *tables: str) -> argparse.ArgumentParser:
    """Returns a parser with the options that every command on tabulated scores has.

    Args:
        tables: Spaces whose tables the command reads.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = {"nats_tss": "--tss-scores", "nats_sss": "--sss-scores"}
    for name in tables:
        parser.add_argument(options[name], type=Path, required=len(tables) == 1, help=f"scores.npz of {name}, from tabulate")
    parser.add_argument("--benchdata", type=Path, required=True, help="folder of known accuracies and images")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where tables and pictures go")
    parser.add_argument("--workers", type=int, help="worker processes that replay searches; one a core by default")
    parser.add_argument("--quick", action="store_true", help="smoke test with a few draws and runs")
    return parser


def tables_of(options: argparse.Namespace) -> dict[str, Scores]:
    """Reads the tables that the options name.

    Raises:
        ConfigError: if the options name no table.
    """
    paths = {"nats_tss": getattr(options, "tss_scores", None), "nats_sss": getattr(options, "sss_scores", None)}
    read = {name: read_scores(path, name) for name, path in paths.items() if path is not None}
    if not read:
        raise ConfigError("name a table of scores with --tss-scores or --sss-scores; make one with: rbflex-evo tabulate CONFIG")
    return read


def run(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], None], options: Sequence[str] | None) -> None:
    """Parses the options and runs the command; a user's error is reported in one line."""
    chosen = parser.parse_args(options)
    try:
        command(chosen)
    except RbflexEvoError as error:
        parser.error(str(error))
