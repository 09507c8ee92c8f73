"""Readers of the file formats of tables; every error names the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.spaces.errors import TableError, reason, shown


def existing_file(path: str, what: str = "table file") -> Path:
    """Returns the path of a file, with ``~`` expanded.

    Args:
        path: Path of the file.
        what: What the file is, for the error.

    Raises:
        TableError: If there is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise TableError(f"no {what} {path!r}{', but a folder' if file.is_dir() else ''}; check the path")
    return file


def read_json(path: str) -> Any:
    """Returns the content of a JSON file.

    Raises:
        TableError: If the file is missing or is not JSON.
    """
    file = existing_file(path)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TableError(f"{path!r} is not a JSON file: {reason(error)}") from None


def read_npz(file: Path, wanted: Collection[str | None]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the names of all arrays of an ``.npz`` file, and the wanted arrays by name.

    Raises:
        TableError: If it is not an ``.npz`` file of plain arrays.
    """
    if not zipfile.is_zipfile(file):
        # numpy would take it for a pickle, and its error would advise to load it unsafely.
        raise TableError(f"{str(file)!r} is not an .npz file of plain arrays, or it was cut short; copy it again")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays.files, {name: arrays[name] for name in arrays.files if name in wanted}
    except Exception as error:
        raise TableError(f"{str(file)!r} is not an .npz file of plain arrays: {reason(error)}") from error


def read_csv(file: Path) -> dict[str, np.ndarray]:
    """Returns the columns of a ``.csv`` or ``.csv.gz`` file with a header, each an array of strings [rows].

    Raises:
        TableError: If it is not a CSV file, or the number of fields of a row differs from the header's.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        header, *rows = list(csv.reader(text, strict=True)) or [[]]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{str(file)!r} is not a CSV file: {reason(error)}") from error
    names = [name.strip() for name in header]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise TableError(f"{str(file)!r} has the column {shown(twice[0])} twice; give one of them another name")
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise TableError(f"{str(file)!r}, row {number} has {len(row)} fields; expected {len(header)} as in its header")
    return {name: np.array([row[i] for row in rows], dtype=object) for i, name in enumerate(names)}
