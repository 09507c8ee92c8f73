"""Measured latencies as a journal: a header line with the space and the settings, then one JSON line for each architecture.

A line is written as soon as it is measured, so that a stopped command goes on where it was. A last line that was cut off is
dropped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rbflex_evo.spaces import Genotype, RunError, SearchSpace, file_error

from .timing import Timing, TimingSettings

VERSION = 1


class Measurements:
    """Latencies of the networks of a space, measured once each.

    Args:
        path: Path of the journal, which is created if it does not exist.
        space: Search space of the networks.
        settings: How networks are timed.

    Attributes:
        known: Latencies by key.

    Raises:
        RunError: If the journal is damaged, of other settings, or cannot be read.
    """

    def __init__(self, path: Path, space: SearchSpace, settings: TimingSettings) -> None:
        self.path, self.space = path, space
        identity = json.loads(json.dumps(space.identity))
        self._header = {"version": VERSION, "space": identity, "settings": settings.as_values()}
        self.known: dict[str, Timing] = {}
        self._end = 0
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise file_error(error, str(self.path)) from error
        whole = content[: content.rfind(b"\n") + 1]
        self._end = len(whole)
        lines = whole.splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._check(entry)
                else:
                    self.known[entry["key"]] = _timing(entry)
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, RunError):
                    raise
                raise RunError(f"{str(self.path)!r}, line {number} is damaged; delete the file to measure anew") from error

    def _check(self, header: Any) -> None:
        for name, wanted in self._header.items():
            if not isinstance(header, dict) or header.get(name) != wanted:
                came = header.get(name) if isinstance(header, dict) else header
                raise RunError(
                    f"{str(self.path)!r} holds latencies of another {name} ({came}, now {wanted}); delete it or name another --out"
                )

    def measured(self, genotypes: Sequence[Genotype], time: Callable[[Genotype], Timing]) -> Iterator[tuple[Genotype, Timing]]:
        """Yields the latency of each architecture, after measuring and storing the missing ones.

        Args:
            genotypes: Architectures.
            time: Measures one.

        Raises:
            RunError: If the journal cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.truncate(self._end)
                if not self._end:
                    file.write(json.dumps(self._header).encode() + b"\n")
                for genotype in genotypes:
                    key = self.space.key(genotype)
                    if key not in self.known:
                        self.known[key] = time(genotype)
                        file.write(json.dumps({"key": key, **_values(self.known[key])}).encode() + b"\n")
                        file.flush()
                    self._end = file.tell()
                    yield genotype, self.known[key]
        except OSError as error:
            raise file_error(error, str(self.path)) from error


def _values(timing: Timing) -> dict[str, Any]:
    return {name: value for name, value in asdict(timing).items() if name != "operations" or value}


def _timing(entry: Any) -> Timing:
    return Timing(entry["median"], entry["low"], entry["high"], tuple(entry.get("operations", ())))
