"""Cache of measured statistics in one sqlite file, shared by runs and processes.

A key is the hash of everything that a statistic depends on (network, weights, inputs, observer, precision, device, version).
Entries are never invalidated: an entry whose conditions have changed is not found. Every row has a checksum. A damaged row is
dropped and measured again, a damaged file is moved aside, and both cause a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
import struct
import time
import warnings
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.spaces import RunError
from rbflex_evo.spaces.cache_folder import cache_folder

FORMAT = 2


class CacheWarning(UserWarning):
    """Warns that the cache or a row of it is damaged and is measured again."""


def default_path() -> Path:
    """Returns the path of the cache for the setting ``cache: auto``."""
    return cache_folder() / "statistics.sqlite"


def digest(identity: Mapping[str, Any]) -> str:
    """Returns the SHA-256 hash of plain data; equal data has the same hash in every process."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def digest_of(common: str, network: str) -> str:
    """Returns the hash of a network, given the `digest` of the conditions that it shares with other networks."""
    return hashlib.sha256(f"{common} {network}".encode()).hexdigest()


class StatisticsCache:
    """Maps digests to named arrays or plain data.

    Several processes may read and write the same file.

    Args:
        path: Path of the file; created if it does not exist.

    Raises:
        RunError: If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "not a database" not in str(error):
                    raise
                self._move_aside(error)
                self._connection = self._open()
        except (OSError, sqlite3.OperationalError) as error:
            raise RunError(f"the cache {self.path} cannot be used ({error}); set cache: to another path, or to 'off'") from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS statistics"
                " (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL, written REAL NOT NULL)"
            )
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT):
                raise sqlite3.DatabaseError(f"format {version}, expected {FORMAT}")
            connection.execute(f"PRAGMA user_version={FORMAT}")
            # Reading the root page of the table detects most damage; the rest is detected row by row.
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM statistics LIMIT 1)").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _move_aside(self, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{aside.name.partition('~')[0]}~{number}")
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).unlink()
        warnings.warn(
            f"the cache {self.path} is damaged ({error}); moved to {aside.name}, its contents are measured again",
            CacheWarning,
            stacklevel=4,
        )

    def get(self, key: str) -> Any | None:
        """Returns the value stored under `key`, or None. A damaged row is dropped with a warning."""
        try:
            row = self._connection.execute("SELECT value, checksum FROM statistics WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            self._recover(error)
            return None
        if row is None:
            return None
        if zlib.crc32(row[0]) != row[1]:
            self._connection.execute("DELETE FROM statistics WHERE key = ?", (key,))
            warnings.warn(f"a row of the cache {self.path} is damaged; it is measured again", CacheWarning, stacklevel=2)
            return None
        return decode(row[0])

    def put(self, items: Iterable[tuple[str, Any]]) -> None:
        """Stores named arrays or JSON data by key in one transaction; an existing value is replaced."""
        rows = []
        for key, value in items:
            blob = encode(value)
            rows.append((key, blob, zlib.crc32(blob), time.time()))
        try:
            with self._transaction():
                self._connection.executemany("INSERT OR REPLACE INTO statistics VALUES (?, ?, ?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise RunError(f"the cache {self.path} cannot be written ({error}); set cache: to another path, or to 'off'") from None
        except sqlite3.DatabaseError as error:
            self._recover(error)

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _recover(self, error: Exception) -> None:
        self._connection.close()
        self._move_aside(error)
        self._connection = self._open()

    def info(self) -> dict[str, Any]:
        """Returns path, number of rows, size of the values and of the file in bytes, and age of the oldest row in days."""
        rows, stored, oldest = self._connection.execute(
            "SELECT count(*), coalesce(sum(length(value)), 0), min(written) FROM statistics"
        ).fetchone()
        return {
            "path": str(self.path),
            "rows": rows,
            "stored_bytes": stored,
            "file_bytes": self.path.stat().st_size,
            "oldest_days": None if oldest is None else (time.time() - oldest) / 86400,
        }

    def prune(self, days: float | None = None) -> int:
        """Removes rows older than `days`, or all rows, and returns their number."""
        limit = time.time() - 86400 * days if days is not None else float("inf")
        removed = self._connection.execute("DELETE FROM statistics WHERE written < ?", (limit,)).rowcount
        self._connection.execute("VACUUM")
        return removed

    def verify(self) -> tuple[int, int]:
        """Checks every row, removes damaged rows and returns the numbers (good, damaged)."""
        good, damaged = 0, []
        for key, value, checksum in self._connection.execute("SELECT key, value, checksum FROM statistics"):
            if zlib.crc32(value) == checksum:
                good += 1
            else:
                damaged.append((key,))
        self._connection.executemany("DELETE FROM statistics WHERE key = ?", damaged)
        return good, len(damaged)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def encode(value: Any) -> bytes:
    """Encodes named arrays as a JSON header and their raw bytes, and other data as JSON.

    Statistics consist of about ten small arrays; reading them from an npz archive takes a hundred times longer.
    """
    if isinstance(value, Mapping) and value and all(isinstance(v, np.ndarray | np.generic) for v in value.values()):
        arrays = {name: np.ascontiguousarray(array) for name, array in value.items()}
        header = json.dumps([[name, a.dtype.str, np.shape(value[name])] for name, a in arrays.items()]).encode()
        return b"".join([b"A", struct.pack("<I", len(header)), header, *(a.tobytes() for a in arrays.values())])
    return b"J" + json.dumps(value).encode()


def decode(blob: bytes) -> Any:
    """Decodes a value encoded by `encode`; arrays are read-only."""
    if blob[:1] == b"J":
        return json.loads(blob[1:])
    (length,) = struct.unpack_from("<I", blob, 1)
    start = 5 + length
    return {
        name: np.frombuffer(blob, dtype, count, start + offset).reshape(shape)
        for name, dtype, shape, count, offset in _layout(blob[5:start])
    }


@lru_cache(maxsize=64)
def _layout(header: bytes) -> list[tuple[str, np.dtype, tuple[int, ...], int, int]]:
    """Returns name, type, shape, number of values and offset of each array; rows of one proxy have equal headers."""
    layout, offset = [], 0
    for name, kind, shape in json.loads(header):
        dtype, count = np.dtype(kind), math.prod(shape)
        layout.append((name, dtype, tuple(shape), count, offset))
        offset += count * dtype.itemsize
    return layout
