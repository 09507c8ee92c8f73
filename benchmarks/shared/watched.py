"""A search in a process of its own that is watched while it runs: evaluations, and resident memory of each of its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

SECONDS_BETWEEN_SAMPLES = 10.0
SECONDS_BETWEEN_LOOKS = 0.5

Ending = Literal["killed", "stopped", "finished", "failed"]


@dataclass(frozen=True)
class Sample:
    """The state of a search at one moment.

    Attributes:
        session: Number of the session, from 0.
        seconds: Seconds since the session began.
        evaluations: Number of evaluations in the journal.
        resident: Resident memory of each process in MiB, the process of the search first; empty where /proc is missing.
    """

    session: int
    seconds: float
    evaluations: int
    resident: list[float]


@dataclass(frozen=True)
class Session:
    """One process of a search, from its start to its end: its seconds, how it ended, and the evaluations at its two ends."""

    seconds: float
    ending: Ending
    began_with: int
    ended_with: int


class Lines:
    """Counts the evaluations of a journal that grows; each byte is read once."""

    def __init__(self, path: Path) -> None:
        self._path, self._end, self.count = path, 0, 0

    def look(self) -> int:
        """Returns the number of evaluations in whole lines so far."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                file.seek(self._end)
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self._end += whole
            self.count += data[:whole].count(b'{"kind": "evaluation"')
        return self.count


def watch(config: Path, run: Path, seconds: float, ending: Literal["killed", "stopped"], most: int | None = None) -> Session:
    """Runs or resumes a search for so many seconds, and appends samples and the session to files beside its folder.

    Args:
        config: Configuration of the search.
        run: Folder of its run; ``<run>.samples.jsonl`` and ``<run>.sessions.jsonl`` take what is seen.
        seconds: When the process is ended, unless it ends before.
        ending: How: by SIGKILL of all of its processes, or by SIGTERM, after which it saves and ends itself.
        most: Number of evaluations after which it is ended in any case.
    """
    lines = Lines(run / "journal.jsonl")
    before, number = lines.look(), len(sessions_of(run))
    started, sampled = time.monotonic(), float("-inf")
    with open(run.with_name(f"{run.name}.log"), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rbflex_evo", "search", str(config)], stdout=log, stderr=log, start_new_session=True
        )
        found: Ending | None = None
        try:
            while found is None:
                now = time.monotonic() - started
                if now - sampled >= SECONDS_BETWEEN_SAMPLES:
                    sampled = now
                    sample = Sample(number, round(now, 1), lines.look(), resident(process.pid))
                    _append(run.with_name(f"{run.name}.samples.jsonl"), asdict(sample))
                if process.poll() is not None:
                    found = "finished" if process.returncode == 0 else "failed"
                elif now >= seconds or (most is not None and lines.look() >= most):
                    found = ending
                else:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            _end(process, found == "stopped")
    session = Session(round(time.monotonic() - started, 1), found, before, lines.look())
    _append(run.with_name(f"{run.name}.sessions.jsonl"), asdict(session))
    return session


def _end(process: subprocess.Popen[bytes], gently: bool) -> None:
    if process.poll() is None and gently:
        process.terminate()
        process.wait()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def resident(leader: int) -> list[float]:
    """Returns the resident memory in MiB of the processes of a session, its leader first; empty where /proc is missing."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[3]) == leader:
                pages = int((folder / "statm").read_text().split()[1])
                found[int(folder.name)] = round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
        except (FileNotFoundError, ProcessLookupError):
            # It ended meanwhile.
            continue
    return [found[number] for number in sorted(found, key=lambda number: (number != leader, number))]


def samples_of(run: Path) -> list[Sample]:
    """Returns all samples of a run."""
    return [Sample(**values) for values in _read(run.with_name(f"{run.name}.samples.jsonl"))]


def sessions_of(run: Path) -> list[Session]:
    """Returns all sessions of a run."""
    return [Session(**values) for values in _read(run.with_name(f"{run.name}.sessions.jsonl"))]


def _append(path: Path, values: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def _read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
