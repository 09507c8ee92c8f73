"""Predictors as files: an ``.npz`` of plain arrays, of which ``document`` is a JSON text. No pickle is read or written."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import SearchSpace, TableError, file_error
from rbflex_evo.spaces.errors import reason
from rbflex_evo.spaces.tables.files import existing_file

from .predictor import PREDICTORS, Predictor, State

# To be raised when the content of a file changes its meaning.
VERSION = 1
DOCUMENT = "document"
PREFIX = "state_"


@dataclass(frozen=True)
class Provenance:
    """Where a predictor comes from.

    Attributes:
        device: Device of the costs.
        quantity: "latency" or "energy".
        unit: Unit of the costs.
        rows: Number of architectures that it was fitted to.
        date: Date in ISO form.
        source: How the costs were obtained: measured, with which settings, or the table.
        versions: Versions of packages, and the machine.
        errors: Cross-validated errors, and those on held-out architectures; see `Errors`.
    """

    device: str
    quantity: str
    unit: str
    rows: int
    date: str
    source: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)


def save_predictor(path: Path, predictor: Predictor, provenance: Provenance) -> None:
    """Writes a fitted predictor; a file of that name is replaced as a whole.

    Raises:
        RunError: If the file cannot be written.
    """
    state = predictor.state()
    document = {
        "version": VERSION,
        "predictor": predictor.name,
        "space": predictor.space.identity,
        "state": dict(state.plain),
        "provenance": asdict(provenance),
    }
    arrays = {PREFIX + name: array for name, array in state.arrays.items()}
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays[DOCUMENT] = np.array(json.dumps(document, sort_keys=True))
        with open(unfinished, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise file_error(error, str(path)) from error


def load_predictor(path: str | Path, space: SearchSpace | None = None) -> tuple[Predictor, Provenance]:
    """Reads a predictor.

    Args:
        path: Path of the file.
        space: The space that it must have been fitted for; None to create that space.

    Raises:
        TableError: If the file is missing, damaged, of another version, or of another space.
    """
    document, arrays = _read(path)
    if document.get("version") != VERSION:
        raise TableError(
            f"predictor {str(path)!r} is of version {document.get('version')!r}, but version {VERSION} is read here; fit it again"
        )
    try:
        wanted = dict(document["space"])
        if space is None:
            space = _created(wanted)
        if json.loads(json.dumps(space.identity)) != wanted:
            raise TableError(f"predictor {str(path)!r} was fitted for {_shown(wanted)}, but the space is {_shown(space.identity)}")
        predictor: Predictor = PREDICTORS.get(document["predictor"])(space)
        predictor.restore(State(document["state"], arrays))
        _try_out(predictor)
        return predictor, Provenance(**document["provenance"])
    except TableError:
        raise
    except Exception as error:
        raise TableError(f"{str(path)!r} is a damaged predictor ({reason(error)}); fit it again") from error


def _try_out(predictor: Predictor) -> None:
    """Predicts one architecture, so that arrays of wrong sizes are found when a file is read."""
    space = predictor.space
    genotype = space.encoding.sample(np.random.Generator(np.random.PCG64(0)))
    try:
        predicted = predictor.predict([space.representative(space.key(genotype))])
    except CandidateFailed:
        return
    if not np.isfinite(predicted).all():
        raise ValueError(f"it predicts {predicted[0]}")


def digest(path: str | Path) -> str:
    """Returns a hash of the content of a file."""
    return hashlib.sha256(existing_file(str(path), "predictor file").read_bytes()).hexdigest()


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    file = existing_file(str(path), "predictor file")
    if not zipfile.is_zipfile(file):
        # numpy would take it for a pickle, and its error would advise to load it unsafely.
        raise TableError(f"{str(path)!r} is no predictor, or it was cut short; fit it again with rbflex-evo latency fit")
    try:
        with np.load(file, allow_pickle=False) as stored:
            document = json.loads(str(stored[DOCUMENT]))
            arrays = {name.removeprefix(PREFIX): stored[name] for name in stored.files if name.startswith(PREFIX)}
    except Exception as error:
        raise TableError(f"{str(path)!r} is no predictor, or it was cut short: {reason(error)}") from error
    if not isinstance(document, dict):
        raise TableError(f"{str(path)!r} is no predictor: its document is a {type(document).__name__}")
    return document, arrays


def _created(identity: Mapping[str, Any]) -> SearchSpace:
    from rbflex_evo.spaces import create_space

    return create_space(identity["name"], **{key: value for key, value in identity.items() if key not in ("name", "version")})


def _shown(identity: Mapping[str, Any]) -> str:
    values = ", ".join(f"{key} {value}" for key, value in identity.items() if key not in ("name", "version"))
    return f"{identity.get('name')} ({values})" if values else str(identity.get("name"))
