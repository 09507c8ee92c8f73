"""A full disk, a folder that becomes read-only, and too little memory; then there is room again and the run is resumed."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .children import Child, problem
from .small_runs import configuration, first_difference, journal, reference, resumed, searching, written
from .trials import Found, Outcome, Place

PATIENCE = 60.0
MEBIBYTE = 2**20
# What Python, numpy, torch and the loader of libraries raise.
OUT_OF_MEMORY = ("MemoryError", "_ArrayMemoryError", "OSError", "RuntimeError", "ImportError")


def disk_trial(rng: np.random.Generator, place: Place) -> Found:
    """Fills the disk, or makes the run's folder read-only, at a random moment.

    A small tmpfs is the disk where it can be mounted, otherwise the size of every file is limited. A folder becomes read-only by
    its immutable attribute; where that is not possible, only full disks are tried.
    """
    if rng.integers(3) == 0 and _can_be_immutable():
        return _read_only(rng, place)
    return _full(rng, place) if _can_mount() else _small_files(rng, place)


def _full(rng: np.random.Generator, place: Place) -> Found:
    size = 4096 * int(rng.integers(2, 120))
    nodes = int(rng.integers(4, 20)) if rng.integers(4) == 0 else 0
    disk = place.work / "disk"
    disk.mkdir()
    with _mounted(disk, f"size={size},nr_inodes={nodes}"):
        report = bool(rng.integers(3) == 0)
        cache = str(disk / "cache.sqlite") if rng.integers(2) else "off"
        values = configuration(rng, cache=cache)
        expected = reference(values, place)
        # The configuration is beside the disk, which may be too small for it.
        config = written(values, place.work, disk)
        detail = f"{size} bytes{f', {nodes} files' if nodes else ''}, cache {'on' if cache != 'off' else 'off'}"
        child = Child(searching(config, report), place.work)
        wrong, faults, message = _failed(child, disk / "run", expected)
        if wrong is not None:
            return Found(wrong.outcome, f"{detail}: {wrong.detail}", faults)
        subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=0", str(disk)], check=True)
        return resumed(disk / "run", expected, place.work, f"{detail}: {message}", faults)


def _small_files(rng: np.random.Generator, place: Place) -> Found:
    size = 512 * int(rng.integers(1, 200))
    values = configuration(rng)
    expected = reference(values, place)
    work = searching(written(values, place.work))
    child = Child(_limited(work, resource.RLIMIT_FSIZE, lambda: size), place.work)
    wrong, faults, message = _failed(child, place.work / "run", expected)
    if wrong is not None:
        return Found(wrong.outcome, f"files of {size} bytes: {wrong.detail}", faults)
    return resumed(place.work / "run", expected, place.work, f"files of {size} bytes: {message}", faults)


def _read_only(rng: np.random.Generator, place: Place) -> Found:
    values = configuration(rng)
    expected = reference(values, place)
    folder = place.work / "run"
    config = written(values, place.work)
    lines, early = int(rng.integers(len(expected))), bool(rng.integers(4) == 0)
    if early:
        folder.mkdir()
        _immutable(folder, True)
    child = Child(_often(searching(config)), place.work)
    try:
        while not early and not child.ended_within(0.002):
            path = folder / "journal.jsonl"
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                _immutable(folder, True)
                break
        wrong, faults, message = _failed(child, folder, expected)
    finally:
        if folder.exists():
            _immutable(folder, False)
    detail = f"read-only {'from the start' if early else f'after {lines} lines'}"
    if wrong is not None:
        return Found(wrong.outcome, f"{detail}: {wrong.detail}", faults)
    return resumed(folder, expected, place.work, f"{detail}: {message}", faults)


def _often(work: Callable[[], int]) -> Callable[[], int]:
    def often() -> int:
        from rbflex_evo.engine.search import loop

        loop.SECONDS_BETWEEN_SNAPSHOTS = 0.0
        return work()

    return often


def memory_trial(rng: np.random.Generator, place: Place) -> Found:
    """Limits the memory of a run, beyond what its imports take, by a random size."""
    extra = int(2 ** rng.uniform(16, 27.5))
    workers = 2 if rng.integers(4) == 0 else 1
    cache = str(place.work / "cache.sqlite") if rng.integers(2) else "off"
    values = configuration(rng, workers=workers, cache=cache)
    # Larger than in the other campaigns, so that measuring is what memory is short for.
    values["data"] = {"source": "noise", "shape": [3, 32, 32], "n": 16, "seed": 0}
    values["budget"] = {"evaluations": 12}
    expected = reference(values, place)
    work = searching(written(values, place.work))
    child = Child(_limited(work, resource.RLIMIT_AS, lambda: address_space() + extra), place.work)
    detail = f"{extra / MEBIBYTE:.1f} MiB, {workers} workers"
    folder = place.work / "run"
    wrong, faults, message = _failed(child, folder, expected, OUT_OF_MEMORY)
    if wrong is not None:
        return Found(wrong.outcome, f"{detail}: {wrong.detail}", faults)
    return resumed(folder, expected, place.work, f"{detail}: {message}", faults)


def _failed(
    child: Child, folder: Path, expected: list[object], allowed: tuple[str, ...] = ("OSError",)
) -> tuple[Found | None, int, str]:
    """Returns what is wrong with the end under a limit or None, whether the limit was felt, and the message."""
    ended = child.wait(PATIENCE)
    wrong = problem(ended, allowed)
    if wrong is None and ended.code == 0:
        found = journal(folder)
        difference = first_difference(found, expected)
        if difference and any("memory" in str(line.get("failures")) for line in found if isinstance(line, dict)):
            wrong = Found(Outcome.SAID, difference)
        elif difference:
            wrong = Found(Outcome.OTHER_JOURNAL, difference)
    return wrong, int(ended.code != 0 or bool(ended.errors.strip())), f"code {ended.code}, {ended.errors.strip()[-300:]}"


def _limited(work: Callable[[], int], what: int, size: Callable[[], int]) -> Callable[[], int]:
    def limited() -> int:
        resource.setrlimit(what, (size(), resource.getrlimit(what)[1]))
        return work()

    return limited


def address_space() -> int:
    """Returns the size of the address space of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rbflex-faults", str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(folder)], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _immutable(folder: Path, on: bool) -> None:
    subprocess.run(["chattr", "+i" if on else "-i", str(folder)], check=True, capture_output=True)


@lru_cache
def _can_mount() -> bool:
    with TemporaryDirectory() as folder:
        try:
            with _mounted(Path(folder), "size=64k"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@lru_cache
def _can_be_immutable() -> bool:
    with TemporaryDirectory() as folder:
        try:
            _immutable(Path(folder), True)
        except (OSError, subprocess.CalledProcessError):
            return False
        try:
            (Path(folder) / "file").touch()
        except OSError:
            return True
        finally:
            _immutable(Path(folder), False)
        return False
