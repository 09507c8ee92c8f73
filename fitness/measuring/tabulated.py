"""Scores read from a table that ``tabulate`` made: an evaluator that needs no network, and no torch.

A search that is replayed on a table proposes what it would have proposed while measuring: scores are those of the table, to the
last digit. A table is known by the hash of its file, so that a run never goes on with another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace, near_name
from rbflex_evo.spaces.errors import reason


@dataclass(frozen=True)
class TabulatedScores:
    """The scores of many architectures.

    Attributes:
        path: of the file.
        fingerprint: a hash of it, 32 hexadecimal digits.
        rows: row by key, K of them.
        notations: K, of the network that was built for each key.
        scores: by proxy float64 [K], NaN where it failed.
        failures: by proxy K reasons, empty where it did not fail.
    """

    path: Path
    fingerprint: str
    rows: dict[str, int]
    notations: list[str]
    scores: dict[str, np.ndarray]
    failures: dict[str, list[str]]

    def evaluation(self, key: str, genotype: Genotype) -> Evaluation:
        """Returns what the table knows of a key.

        Raises:
            ConfigError: if it does not know it.
        """
        row = self.rows.get(key)
        if row is None:
            raise ConfigError(f"{str(self.path)!r} has no scores of {key!r}; tabulate the whole space that is searched")
        reasons = {name: column[row] for name, column in self.failures.items() if column[row]}
        scores = {name: float(column[row]) for name, column in self.scores.items() if name not in reasons}
        return Evaluation(genotype, key, scores, reasons)


def read_tabulated(path: Path, proxies: Iterable[str]) -> TabulatedScores:
    """Reads the scores of those proxies from the npz that ``tabulate`` wrote.

    Raises:
        ConfigError: if the file is missing or damaged, or a proxy is not in it.
    """
    proxies = list(proxies)
    try:
        fingerprint = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        with np.load(path, allow_pickle=False) as arrays:
            known = [name for name in arrays.files if f"{name}_failure" in arrays.files]
            for name in proxies:
                if name not in known:
                    raise ConfigError(f"{str(path)!r} has no scores of {name!r}{near_name(name, known)}")
            wanted = ["key", "notation", *(column for name in proxies for column in (name, f"{name}_failure"))]
            columns = {name: arrays[name] for name in wanted}
    except FileNotFoundError:
        raise ConfigError(f"there is no table of scores {str(path)!r}; make one with: rbflex-evo tabulate CONFIG") from None
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{str(path)!r} is no table of scores, tabulate anew: {reason(error)}") from None
    keys = columns["key"].tolist()
    table = TabulatedScores(
        path=path,
        fingerprint=fingerprint,
        rows={key: row for row, key in enumerate(keys)},
        notations=columns["notation"].tolist(),
        scores={name: columns[name].astype(np.float64) for name in proxies},
        failures={name: columns[f"{name}_failure"].tolist() for name in proxies},
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
    """Answers from a table of scores; `rbflex_evo.fitness.evaluation.EvaluatorLike`.

    Args:
        space: of the genotypes.
        table: its scores.
        raw: every genotype is its own key, as for scores of raw networks.
    """

    def __init__(self, space: SearchSpace, table: TabulatedScores, *, raw: bool = False) -> None:
        self.space, self.table = space, table
        self._key_of = space.notation if raw else space.key
        # What a table knows can be held: a replay asks for the same few thousand architectures again and again.
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
        """The table's scores are final: there is nothing to find out."""

    def evaluate(self, genotypes: Sequence[Genotype]) -> Iterator[Evaluation]:
        """Yields one evaluation for each genotype, in order.

        Raises:
            ConfigError: at the first one that the table does not know.
        """
        for genotype in genotypes:
            key = self.key(genotype)
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self.table.evaluation(key, genotype)
            self._answered += 1
            yield known if known.genotype == genotype else Evaluation(genotype, key, known.scores, known.failures)

    def check_whole(self) -> None:
        """Makes sure that the table knows every architecture of a space that can be enumerated.

        Raises:
            ConfigError: naming the first one that it does not know.
        """
        try:
            for genotype in self.space.encoding.enumerate():
                if self.key(genotype) not in self.table.rows:
                    self.table.evaluation(self.key(genotype), genotype)
        except NotImplementedError:
            return

    def facts(self) -> dict[str, Any]:
        """Returns what a report says about the scoring, as plain data."""
        return {"device": "none: scores come from a table", "scores": str(self.table.path), "from_table": self._answered}
