"""The official records of NATS-Bench as a `Table`, read through the API of the benchmark."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from rbflex_evo.spaces.cache_folder import cache_folder
from rbflex_evo.spaces.errors import TableError, reason
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.notations import checked_notations
from rbflex_evo.spaces.tables.table import Table

# Number of new records from which they are written to the cache; fewer are read in seconds.
KEPT_FROM = 50
# Seeds of the official training runs; an architecture has some of them.
SEEDS = (777, 888, 999)


class NatsBenchParameters(Parameters):
    """Location and data set of the official records.

    Attributes:
        path: The official ``...-simple`` folder of the space.
        dataset: The data set whose accuracies are reported.
    """

    path: str
    dataset: Literal["cifar10", "cifar100", "ImageNet16-120"] = "cifar10"


class NatsBenchTable(Table):
    """The official records of NATS-Bench: means over seeds after 200 (nats_tss) or 90 epochs (nats_sss).

    Source: Dong et al. 2021, arXiv 2009.00437. CIFAR-10 validation accuracies are those of the ``cifar10-valid`` training. Records
    are read on request; `accuracies` reads all records in the folder.
    """

    name = "nats_bench"
    description = "NATS-Bench's official records for nats_tss and nats_sss; reading the whole folder once takes half an hour"
    Parameters = NatsBenchParameters
    # Name of each space in the API, and the epochs of its full training; the API reports 12 epochs by default.
    _SPACES: ClassVar[Mapping[str, tuple[str, str]]] = {"nats_tss": ("tss", "200"), "nats_sss": ("sss", "90")}

    def __init__(self, parameters: NatsBenchParameters, space: SearchSpace) -> None:
        if space.name not in self._SPACES:
            raise TableError(f"table 'nats_bench' is for nats_tss and nats_sss, but the search space is {space.name!r}")
        self.space, self.dataset = space.name, parameters.dataset
        self.folder = Path(parameters.path).expanduser()
        kind, self.epochs = self._SPACES[space.name]
        self._api = self._open(kind)
        self._known: dict[int, tuple[float, float]] = {}
        self._runs: dict[int, tuple[float, ...]] = {}
        checked_notations(self.name, space, self._api.meta_archs[:1])

    def _open(self, kind: str) -> Any:
        if not (self.folder / "meta.pickle.pbz2").is_file():
            raise TableError(
                f"no NATS-Bench records in {str(self.folder)!r}; expected the official unpacked folder "
                f"NATS-{kind}-...-simple with its meta.pickle.pbz2"
            )
        try:
            import nats_bench

            return nats_bench.create(str(self.folder), kind, fast_mode=True, verbose=False)
        except Exception as error:
            raise TableError(f"cannot read {str(self.folder / 'meta.pickle.pbz2')!r}: {reason(error)}") from error

    def accuracy(self, notation: str) -> float | None:
        """Returns one test accuracy in percent, or None if the table does not contain it."""
        record = self._record(self._api.query_index_by_arch(notation))
        return None if record is None else record[0]

    def validation(self, notation: str) -> float | None:
        """Returns one validation accuracy in percent, or None if the table does not contain it."""
        record = self._record(self._api.query_index_by_arch(notation))
        return None if record is None else record[1]

    def runs(self, notation: str) -> tuple[float, ...]:
        """Returns the test accuracies of the seeds 777, 888 and 999 in percent, NaN where an architecture lacks one."""
        index = self._api.query_index_by_arch(notation)
        if index not in self._runs:
            # The cache file has no runs, so that the record is read again.
            self._known.pop(index, None)
            self._record(index)
        return self._runs.get(index, ())

    def accuracies(self) -> Mapping[str, float]:
        """Returns every known test accuracy in percent by notation."""
        return self._all

    @cached_property
    def _all(self) -> dict[str, float]:
        from tqdm import tqdm

        indices = [index for index in range(len(self._api)) if self._file(index) is not None]
        if not indices:
            raise TableError(f"no records in {str(self.folder)!r}; expected files such as 000000.pickle.pbz2")
        kept = self._kept(indices)
        self._known |= _read_kept(kept)
        before = len(self._known)
        bar = tqdm(indices, desc=f"{len(indices)} of {len(self._api)} NATS-Bench records", delay=2, disable=None)
        try:
            records = {self._api.meta_archs[index]: self._record(index) for index in bar}
        finally:
            # Also after Ctrl-C, so that no record is read twice.
            if len(self._known) > before + KEPT_FROM:
                _keep(kept, self._known)
        return {notation: record[0] for notation, record in records.items() if record is not None}

    def _kept(self, indices: list[int]) -> Path:
        """Returns the cache file of the records of this folder; it depends on the content of the folder."""
        times = [file.stat().st_mtime_ns for file in map(self._file, indices) if file is not None]
        content = f"{self.folder.resolve()} {self.space} {self.dataset} {len(times)} {max(times)}"
        return cache_folder() / "tables" / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.npz"

    def _file(self, index: int) -> Path | None:
        # The official folders use both names.
        names = (f"{index:06d}.pickle.pbz2", f"{index}.pickle.pbz2")
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)

    def _record(self, index: int) -> tuple[float, float] | None:
        """Returns the test and validation accuracy of an official index, or None if the folder does not contain it."""
        if index not in self._known:
            file = self._file(index) if index >= 0 else None
            if file is None:
                return None
            try:
                self._known[index] = self._read(index)
            except Exception as error:
                raise TableError(
                    f"{str(file)!r} has no {self.dataset} record of {self.epochs} epochs that can be read: {reason(error)}"
                ) from error
            finally:
                # The API caches every record that it has read, 5 GB for the whole space.
                self._api.arch2infos_dict.pop(index, None)
                self._api.evaluated_indexes.discard(index)
        return self._known[index]

    def _read(self, index: int) -> tuple[float, float]:
        validated = "cifar10-valid" if self.dataset == "cifar10" else self.dataset
        with warnings.catch_warnings():
            # The official pickles refer to modules that numpy has since moved.
            warnings.simplefilter("ignore", DeprecationWarning)
            test = self._api.get_more_info(index, self.dataset, hp=self.epochs, is_random=False)
            validation = self._api.get_more_info(index, validated, hp=self.epochs, is_random=False)
            there = self._api.arch2infos_dict[index][self.epochs].get_dataset_seeds(self.dataset)
            runs = {
                seed: float(self._api.get_more_info(index, self.dataset, hp=self.epochs, is_random=seed)["test-accuracy"])
                for seed in there
            }
        found = float(test["test-accuracy"]), float(validation["valid-accuracy"])
        self._runs[index] = tuple(runs.get(seed, math.nan) for seed in SEEDS)
        if not all(0 <= accuracy <= 100 for accuracy in found):
            raise ValueError(f"the accuracies are {found[0]:g} and {found[1]:g}; expected percent (0..100)")
        return found


def _keep(path: Path, records: Mapping[int, tuple[float, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(unfinished, index=np.array(list(records), dtype=np.int64), accuracy=np.array(list(records.values())))
    unfinished.replace(path)


def _read_kept(path: Path) -> dict[int, tuple[float, float]]:
    try:
        with np.load(path, allow_pickle=False) as kept:
            pairs = zip(kept["index"].tolist(), kept["accuracy"].tolist(), strict=True)
            return {index: (test, validation) for index, (test, validation) in pairs}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return {}  # missing or damaged: the official records are read instead
