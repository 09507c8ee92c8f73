"""Accuracies of TransNAS-Bench-101 (Duan et al. 2021, arXiv 2105.11871) from three kinds of files.

    transnas-bench_v10141024.pth    the official file: every metric of every epoch, of both spaces and all tasks
    micro_class_object.json         [["64-41414-0_00_000", value], ...]: one metric of one space and one task
    *.npz                           arrays `arch_str`, `class_object`, ...: one metric for each task

Files of one metric contain its value on the validation images, at the best epoch. All values are converted to percent: a similarity
(SSIM) is multiplied by 100, and for the room layout, whose nine targets have mean 0 and variance 1, the value is the explained
variance, 100 (1 - mean squared error).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rbflex_evo.spaces.errors import ConfigError, TableError, near_name, reason, shown
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import existing_file, read_json, read_npz
from rbflex_evo.spaces.tables.notations import checked_notations
from rbflex_evo.spaces.tables.npz_csv import Columns
from rbflex_evo.spaces.tables.percent import check_percent
from rbflex_evo.spaces.tables.table import LoadedTable

from .tasks import TASKS, Name

SPACES = {"transnas_micro": "micro", "transnas_macro": "macro"}
# Names of the metrics without their split.
METRICS = ("top1", "top5", "acc", "mIoU", "ssim", "neg_loss")
# Offset and factor that convert a metric to percent.
SCALES = {"ssim": (0.0, 100.0), "neg_loss": (100.0, 100.0)}
VALIDATION = ("valid_", "val_")


class TransNasParameters(Parameters):
    """File, task and metric of the TransNAS-Bench-101 table.

    Attributes:
        path: Path of the file.
        task: The task; null for the task of the space.
        metric: Metric of the official file, such as ``test_top1`` or ``valid_mIoU``; null for the metric of the task on the test
            images.
        epoch: Epoch of the official file: the ``best`` one on the validation images, or the ``last``.
        dataset: Name of the data set in reports; null for the task and metric.
    """

    path: str
    task: Name | None = None
    metric: str | None = None
    epoch: Literal["best", "last"] = "best"
    dataset: str | None = None


class TransNasTable(LoadedTable):
    """Accuracies of the networks of one space on one task."""

    name = "transnas101"
    description = "TransNAS-Bench-101: the official .pth file (read without running it), or one metric in .json or .npz form"
    Parameters = TransNasParameters

    def __init__(self, parameters: TransNasParameters, space: SearchSpace) -> None:
        if space.name not in SPACES:
            known = " and ".join(map(repr, SPACES))
            raise TableError(f"table {self.name!r} is for spaces {known}, but the search space is {space.name!r}")
        self.space = space.name
        task = parameters.task or str(space.parameters.task)  # type: ignore[attr-defined]
        suffix = Path(parameters.path).suffix.lower()
        if suffix == ".pth":
            read = _OfficialFile(parameters, space, task)
            self.loaded, self.validations, metric = read.accuracies, read.validations, read.metric
        else:
            if parameters.metric is not None:
                raise ConfigError(f"{parameters.path!r} has one metric, so 'table.metric' cannot be chosen; leave it out")
            metric = f"valid_{TASKS[task].metric}"
            where = f"task {task!r} of {parameters.path!r}"
            self.loaded = _scaled(TASKS[task].metric, _one_metric(parameters.path, suffix, space, task), where)
            self.validations = self.loaded
        self.dataset = parameters.dataset or f"{task} {metric}"


def _one_metric(path: str, suffix: str, space: SearchSpace, task: str) -> Mapping[str, float]:
    """Returns the values of a file of one metric by notation."""
    if suffix == ".npz":
        arrays = Columns(path, *read_npz(existing_file(path), {task, "arch_str"}))
        return arrays.numbers(task, checked_notations(path, space, arrays.get("arch_str").tolist()))
    if suffix != ".json":
        raise ConfigError(f"{path!r} is not a file of TransNAS-Bench-101; expected one that ends in .pth, .json or .npz")
    named = [name for name in TASKS if name in Path(path).stem]
    if named and task not in named:
        raise TableError(f"{path!r} is of task {named[0]!r} by its name, but the task is {task!r}; set table.task or space.task")
    rows = _pairs(path)
    notations = checked_notations(path, space, [notation for notation, _ in rows])
    return {notation: value for notation, (_, value) in zip(notations, rows, strict=True)}


def _pairs(path: str) -> list[tuple[str, float]]:
    content = read_json(path)
    if not isinstance(content, list):
        raise TableError(f"{path!r} holds {type(content).__name__}; expected a list of [notation, value]")
    return [_pair(path, row, entry) for row, entry in enumerate(content, start=1)]


def _pair(path: str, row: int, entry: Any) -> tuple[str, float]:
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and _is_number(entry[1]):
        return entry[0], float(entry[1])
    raise TableError(f"{path!r}, row {row} is {shown(entry, 60)}; expected [notation, value]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _scaled(metric: str, values: Mapping[str, float], where: str) -> dict[str, float]:
    """Returns the values of a metric in percent; a similarity and an explained variance may be negative."""
    if metric not in SCALES:
        check_percent(values, where)
        return dict(values)
    offset, factor = SCALES[metric]
    scaled = {notation: offset + factor * value for notation, value in values.items()}
    for row, (value, percent) in enumerate(zip(values.values(), scaled.values(), strict=True), start=1):
        if percent > 100:
            raise TableError(f"{where}, row {row}: expected a {metric} of at most {(100 - offset) / factor:g}, but it is {value:g}")
    return scaled


class _OfficialFile:
    """One task of one space in the official file: a metric, and the metric of the task on the validation images, in percent.

    data[space][notation][task]["metrics"][metric] = [value of each epoch]
    """

    def __init__(self, parameters: TransNasParameters, space: SearchSpace, task: str) -> None:
        self.path, self.task, self.epoch = parameters.path, task, parameters.epoch
        self.own = TASKS[task].metric
        split, name = _split(parameters.metric or f"test_{self.own}")
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise ConfigError(f"'table.metric': {name!r} is none of {known} after 'test_' or 'valid_'; for these, higher is better")
        self.metric = f"{split}{name}"
        networks = self._networks(SPACES[space.name])
        notations = checked_notations(self.path, space, networks)
        found: dict[str, float] = {}
        valid: dict[str, float] = {}
        for notation, record in zip(notations, networks.values(), strict=True):
            metrics = self._metrics(notation, record)
            validation = self._series(notation, metrics, "valid_", self.own)
            series = self._series(notation, metrics, split, name)
            if len(series) != len(validation):
                raise TableError(f"{self.path!r}: {notation!r} has {len(series)} epochs of {self.metric!r}, not {len(validation)}")
            epoch = int(np.argmax(validation)) if self.epoch == "best" else -1
            found[notation], valid[notation] = series[epoch], validation[epoch]
        where = f"task {task!r} of {self.path!r}"
        self.accuracies, self.validations = _scaled(name, found, where), _scaled(self.own, valid, where)

    def _networks(self, name: str) -> Mapping[str, Any]:
        content = _plain(self.path)
        spaces = content.get("data") if isinstance(content, dict) else None
        networks = spaces.get(name) if isinstance(spaces, dict) else None
        if not isinstance(networks, dict) or not networks:
            raise TableError(f"{self.path!r} is not the official file of TransNAS-Bench-101: it has no networks in data.{name}")
        return networks

    def _metrics(self, notation: str, record: Any) -> Mapping[str, Any]:
        task = record.get(self.task) if isinstance(record, dict) else None
        metrics = task.get("metrics") if isinstance(task, dict) else None
        if not isinstance(metrics, dict):
            raise TableError(f"{self.path!r}: {notation!r} has no metrics of task {self.task!r}")
        return metrics

    def _series(self, notation: str, metrics: Mapping[str, Any], split: str, name: str) -> Sequence[float]:
        """Returns one metric for every epoch; the file may contain a negative loss as the loss itself."""
        signs = {name: 1.0} | ({"loss": -1.0} if name == "neg_loss" else {})
        for prefix in VALIDATION if split in VALIDATION else (split,):
            for known, sign in signs.items():
                series = metrics.get(prefix + known)
                if isinstance(series, list) and series and all(map(_is_number, series)):
                    return [sign * value for value in series]
        raise TableError(
            f"{self.path!r}: {notation!r} has no list of finite numbers as {split + name!r} of task {self.task!r}"
            f"{near_name(split + name, map(str, metrics))}"
        )


def _split(metric: str) -> tuple[str, str]:
    """Returns the prefix of the name of a metric, which is its split, and the rest."""
    for prefix in ("train_", "test_", *VALIDATION):
        if metric.startswith(prefix):
            return prefix, metric.removeprefix(prefix)
    raise ConfigError(f"'table.metric': {metric!r} is of no split; expected one such as 'test_top1' or 'valid_mIoU'")


def _plain(path: str) -> Any:
    """Returns the content of a file that torch saved, if it is only containers, numbers, strings and tensors; no code is run."""
    import torch

    file = existing_file(path)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TableError(f"{path!r} is not a file of plain data that torch saved: {reason(error)}") from None
