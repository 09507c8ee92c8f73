"""The npz of a transfer matrix: sampled networks, their scores, sizes and known accuracies by setting.

    nats_tss/positions      int64 [networks], places in the order of the file
    nats_tss/notations      text [networks]
    nats_tss/scores         float64 [seeds, networks, scores], NaN where a score failed or was not measured
    nats_tss/params, flops  float64 [networks] of the network in the setting's size
    nats_tss/tasks          text [tasks], and nats_tss/accuracies float64 [tasks, networks]
    nats_tss/measured       bool [seeds, networks]
    scores, seeds, document text of the columns, int64 of the rows, and JSON of the reasons and conditions

A file that is written replaces the previous one at once, so that a reader never sees half of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.spaces import ConfigError

PARTS = ("positions", "notations", "scores", "params", "flops", "tasks", "accuracies", "measured")


@dataclass
class Measurements:
    """Scores and known accuracies of the sample of one setting; the arrays are those of the file.

    Attributes:
        positions: Places of the networks in the order of the file.
        notations: Networks in the notation of the space.
        scores: float64 [seeds, networks, scores].
        params: Parameters of the networks.
        flops: Multiply-accumulates of the networks.
        tasks: Names of the accuracies.
        accuracies: float64 [tasks, networks].
        measured: bool [seeds, networks].
        reasons: Number of failed networks by score and reason.
    """

    positions: np.ndarray
    notations: np.ndarray
    scores: np.ndarray
    params: np.ndarray
    flops: np.ndarray
    tasks: np.ndarray
    accuracies: np.ndarray
    measured: np.ndarray
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Transfer:
    """All settings of a transfer matrix.

    Attributes:
        scores: Labels of the scores, the last axis of every setting's `scores`.
        seeds: Seeds of the weights.
        settings: Measurements by setting.
        document: Facts about the conditions as plain data.
    """

    scores: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, Measurements]
    document: Mapping[str, Any] = field(default_factory=dict)


def write(path: Path, transfer: Transfer) -> None:
    """Writes the file."""
    content: dict[str, np.ndarray] = {"scores": np.array(transfer.scores), "seeds": np.array(transfer.seeds)}
    for name, one in transfer.settings.items():
        content |= {f"{name}/{part}": getattr(one, part) for part in PARTS}
    reasons = {name: one.reasons for name, one in transfer.settings.items()}
    content["document"] = np.array(json.dumps({**transfer.document, "reasons": reasons}))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as opened:
        np.savez_compressed(opened, **content)  # type: ignore[arg-type]
    beside.replace(path)


def read(path: Path) -> Transfer:
    """Reads the file.

    Raises:
        ConfigError: If it is missing or no such file.
    """
    if not path.is_file():
        raise ConfigError(f"no file {str(path)!r}; make it with: python -m benchmarks transfer")
    with np.load(path, allow_pickle=False) as arrays:
        if not {"scores", "seeds", "document"} <= set(arrays.files):
            raise ConfigError(f"{str(path)!r} is not a file of python -m benchmarks transfer")
        document = json.loads(str(arrays["document"]))
        reasons = document.pop("reasons")
        settings = {
            name: Measurements(**{part: arrays[f"{name}/{part}"] for part in PARTS}, reasons=found)
            for name, found in reasons.items()
        }
        return Transfer(tuple(arrays["scores"].tolist()), tuple(arrays["seeds"].tolist()), settings, document)
