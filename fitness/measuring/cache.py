"""Cache of measured statistics in one sqlite file, shared by runs and processes.

A key is the hash of everything that a statistic depends on (network, weights, inputs, observer, precision, device, version).
Entries are never invalidated: an entry whose conditions have changed is not found. Every row has a checksum. A damaged row is
dropped and measured again, a damaged file is moved aside, and both cause a warning. A file that is not a cache is refused.
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
from collections.abc import Iterable, Iterator, Mapping
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

    Several processes may read and write the same file. A damaged cache is moved aside and an empty one takes its place, whichever
    statement finds the damage. A file that is not a cache is never changed or moved.

    Args:
        path: Path of the file; created if it does not exist.

    Raises:
        RunError: If the file cannot be written, or is not a cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable("used", error) from None
        self._connection = self._opened()

    def _opened(self) -> sqlite3.Connection:
        try:
            # Only this program writes to the default path.
            if self.path != default_path() and not _is_cache(self.path):
                raise RunError(f"{self.path} is not a cache of rbflex-evo, so it is left as it is; set cache: to another path")
            try:
                return self._open()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                self._move_aside(error)
                return self._open()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable("used", error) from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        # Damage may turn a value into a text, even into one that cannot be decoded.
        connection.text_factory = bytes
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
        # Another process may have moved it at the same time.
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).unlink()
        warnings.warn(
            f"the cache {self.path} is damaged ({error}); moved to {aside.name}, its contents are measured again",
            CacheWarning,
            stacklevel=4,
        )

    @contextlib.contextmanager
    def _usable(self, done: str) -> Iterator[None]:
        """Replaces a cache whose damage the statements inside find; other errors of the database become a RunError."""
        try:
            yield
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise self._unusable(done, error) from None
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            try:
                self._move_aside(error)
            except OSError as refused:
                raise self._unusable(done, refused) from None
            self._connection = self._opened()

    def _unusable(self, done: str, error: Exception) -> RunError:
        return RunError(f"the cache {self.path} cannot be {done} ({error}); set cache: to another path, or to 'off'")

    def get(self, key: str) -> Any | None:
        """Returns the value stored under `key`, or None. A damaged row is dropped with a warning."""
        with self._usable("read"):
            row = self._connection.execute("SELECT value, checksum FROM statistics WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            if _is_sound(key.encode(), *row):
                return decode(row[0])
            self._connection.execute("DELETE FROM statistics WHERE key = ?", (key,))
            warnings.warn(f"a row of the cache {self.path} is damaged; it is measured again", CacheWarning, stacklevel=2)
        return None

    def put(self, items: Iterable[tuple[str, Any]]) -> None:
        """Stores named arrays or JSON data by key in one transaction; an existing value is replaced."""
        rows = []
        for key, value in items:
            blob = encode(value)
            rows.append((key, blob, _checksum(key.encode(), blob), time.time()))
        with self._usable("written"), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO statistics VALUES (?, ?, ?, ?)", rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # After some errors, such as a full disk, the database has already rolled back. The first error is the cause.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def info(self) -> dict[str, Any]:
        """Returns path, number of rows, size of the values and of the file in bytes, and age of the oldest row in days."""
        rows, stored, oldest = 0, 0, None
        with self._usable("read"):
            rows, stored, oldest = self._connection.execute(
                "SELECT count(*), coalesce(sum(length(value)), 0), min(CASE typeof(written) WHEN 'real' THEN written END)"
                " FROM statistics"
            ).fetchone()
        return {
            "path": str(self.path),
            "rows": rows,
            "stored_bytes": stored,
            "file_bytes": self.path.stat().st_size,
            "oldest_days": None if oldest is None else (time.time() - oldest) / 86400,
        }

    def prune(self, days: float | None = None) -> int:
        """Removes rows older than `days`, or all rows, and returns their number; 0 if the cache was damaged and replaced."""
        limit = time.time() - 86400 * days if days is not None else None
        with self._usable("written"):
            removed: int = self._connection.execute("DELETE FROM statistics WHERE ?1 IS NULL OR written < ?1", (limit,)).rowcount
            self._connection.execute("VACUUM")
            return removed
        return 0

    def verify(self) -> tuple[int, int]:
        """Checks every row, removes damaged rows and returns the numbers (good, damaged).

        If the file is so damaged that it is replaced, the result is (0, number of rows that could be read, at least 1).
        """
        good, damaged = 0, []
        with self._usable("read"):
            for number, key, value, checksum in self._connection.execute("SELECT rowid, key, value, checksum FROM statistics"):
                if _is_sound(key, value, checksum):
                    good += 1
                else:
                    damaged.append((number,))
            self._connection.executemany("DELETE FROM statistics WHERE rowid = ?", damaged)
            return good, len(damaged)
        return 0, max(1, good + len(damaged))

    def close(self) -> None:
        """Closes the file."""
        # All rows are written by then; damage that is only found now is found again by the next reader.
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def _checksum(key: bytes, value: bytes) -> int:
    """Returns the CRC-32 of key and value: a damaged index may lead from a key to the row of another one."""
    return zlib.crc32(value, zlib.crc32(key))


def _is_sound(key: Any, value: Any, checksum: Any) -> bool:
    # Up to version 0.1, the checksum was that of the value alone.
    return isinstance(key, bytes) and isinstance(value, bytes) and checksum in (_checksum(key, value), zlib.crc32(value))


def _is_damage(error: sqlite3.Error) -> bool:
    """Returns whether an error means that the file is damaged, not that it cannot be used now (locked, full, read-only)."""
    of_structure = str(error).startswith(("no such", "table statistics has", "malformed"))
    return of_structure or not isinstance(error, sqlite3.OperationalError)


def _is_cache(path: Path) -> bool:
    """Returns whether a file is a cache, possibly a damaged one, or does not exist or is empty; it is only read."""
    try:
        with open(path, "rb") as file:
            page = file.read(4096)
    except FileNotFoundError:
        return True
    if not page or b"CREATE TABLE statistics" in page:
        return True
    # The table of a new cache may not have reached the file yet, but only the log that is beside it.
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as error:
        return not _is_damage(error)
    except sqlite3.DatabaseError:
        return False
    return not tables or "statistics" in tables


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
