"""Evaluator that reads scores from a table written by ``tabulate``; it needs neither networks nor torch.

A search on a table proposes the same candidates as a search that measures, because the scores are equal to the last digit. A
table is identified by the hash of its file, so that a run is never resumed with another table.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace, near_name

Arrays = dict[str, np.ndarray]

# A score's column of reasons is named by the score and this.
FAILURE = "_failure"


@dataclass(frozen=True)
class TabulatedScores:
    """Scores of K architectures.

    Attributes:
        path: Path of the file.
        fingerprint: Hash of the file, 32 hexadecimal digits.
        rows: Row number by key.
        notations: Notations [K] of the networks that were built for the keys.
        scores: Scores by proxy, each float64 [K]; NaN for a failure.
        failures: Reasons [K] by proxy; empty where the score did not fail.
    """

    path: Path
    fingerprint: str
    rows: dict[str, int]
    notations: list[str]
    scores: dict[str, np.ndarray]
    failures: dict[str, list[str]]

    def evaluation(self, key: str, genotype: Genotype) -> Evaluation:
        """Returns the evaluation of a key.

        Raises:
            ConfigError: If the table does not contain the key.
        """
        row = self.rows.get(key)
        if row is None:
            raise ConfigError(f"{str(self.path)!r} has no scores of {key!r}; tabulate the whole space that is searched")
        reasons = {name: column[row] for name, column in self.failures.items() if column[row]}
        scores = {name: float(column[row]) for name, column in self.scores.items() if name not in reasons}
        return Evaluation(genotype, key, scores, reasons)


def load(path: Path) -> Arrays | None:
    """Reads all arrays of an npz file; returns None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def is_column(array: np.ndarray, kinds: str) -> bool:
    """Returns whether an array has one dimension and a type of these kinds, as numpy abbreviates them."""
    return array.ndim == 1 and (array.dtype.kind in kinds or not array.size)


def described(array: np.ndarray) -> str:
    """Returns shape and type of an array, for messages."""
    return f"an array of shape {array.shape} and type {array.dtype}"


def score_names(arrays: Arrays) -> list[str]:
    """Returns the names of the scores of a table, in order."""
    return [name for name in arrays if f"{name}{FAILURE}" in arrays]


def read_tabulated(path: Path, proxies: Iterable[str]) -> TabulatedScores:
    """Reads the scores of the given proxies from the npz file that ``tabulate`` wrote.

    Raises:
        ConfigError: If the file is missing or damaged, or does not contain a proxy.
    """
    if not path.is_file():
        raise ConfigError(f"there is no table of scores {str(path)!r}; make one with: rbflex-evo tabulate CONFIG")
    columns = load(path)
    if columns is None or not {"key", "notation"} <= columns.keys():
        raise ConfigError(f"{str(path)!r} is no table of scores, tabulate anew")
    proxies, known = list(proxies), score_names(columns)
    for name in proxies:
        if name not in known:
            raise ConfigError(f"{str(path)!r} has no scores of {name!r}{near_name(name, known)}")
    needed = {"key": "U", "notation": "U", **dict.fromkeys(proxies, "fiu"), **{f"{name}{FAILURE}": "U" for name in proxies}}
    for name, kinds in needed.items():
        if not is_column(columns[name], kinds):
            raise ConfigError(f"{name!r} of {str(path)!r} is {described(columns[name])}; tabulate anew")
    keys = columns["key"].tolist()
    table = TabulatedScores(
        path=path,
        fingerprint=hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(),
        rows={key: row for row, key in enumerate(keys)},
        notations=columns["notation"].tolist(),
        scores={name: columns[name].astype(np.float64) for name in proxies},
        failures={name: columns[f"{name}{FAILURE}"].tolist() for name in proxies},
    )
    _check(table, keys)
    return table


def _check(table: TabulatedScores, keys: Sequence[str]) -> None:
    if len(table.rows) != len(keys):
        raise ConfigError(f"{str(table.path)!r} has {len(keys)} rows, but only {len(table.rows)} different keys")
    for name, scores in table.scores.items():
        failed = np.array([bool(why) for why in table.failures[name]], dtype=bool)
        if scores.shape != (len(keys),) or len(failed) != len(keys):
            raise ConfigError(f"{name!r} of {str(table.path)!r} has {len(scores)} rows, but there are {len(keys)} keys")
        wrong = np.flatnonzero(np.isfinite(scores) == failed)
        if len(wrong):
            raise ConfigError(
                f"{name!r} of {str(table.path)!r} must have either a finite score or a reason why there is none, "
                f"but row {wrong[0]} has {'both' if failed[wrong[0]] else 'neither'}"
            )


class TabulatedEvaluator:
    """Reads evaluations from a table of scores; an `rbflex_evo.fitness.evaluation.EvaluatorLike`.

    Args:
        space: Search space of the genotypes.
        table: Scores of the space.
        raw: True if every genotype has its own key, as for ``published`` scores.
    """

    def __init__(self, space: SearchSpace, table: TabulatedScores, *, raw: bool = False) -> None:
        self.space, self.table = space, table
        self._key_of = space.notation if raw else space.key
        # Comparisons request the same few thousand architectures repeatedly, so all evaluations are kept.
        self._keys: dict[Genotype, str] = {}
        self._known: dict[str, Evaluation] = {}
        self._answered = 0

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""
        key = self._keys.get(genotype)
        if key is None:
            key = self._keys[genotype] = self._key_of(genotype)
        return key

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Does nothing, because the scores of the table are final."""

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        """Yields one evaluation for each (key, genotype) pair, in order.

        Raises:
            ConfigError: At the first key that is not in the table.
        """
        for key, genotype in pairs:
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self.table.evaluation(key, genotype)
            self._answered += 1
            yield known if known.genotype == genotype else Evaluation(genotype, key, known.scores, known.failures)

    def check_whole(self) -> None:
        """Checks that the table contains every architecture of the space, if the space can be enumerated.

        Raises:
            ConfigError: At the first architecture that is missing.
        """
        try:
            for genotype in self.space.encoding.enumerate():
                if self.key(genotype) not in self.table.rows:
                    self.table.evaluation(self.key(genotype), genotype)
        except NotImplementedError:
            return

    def facts(self) -> dict[str, Any]:
        """Returns facts about the scores for the report, as plain data."""
        return {"device": "none: scores come from a table", "scores": str(self.table.path), "from_table": self._answered}
