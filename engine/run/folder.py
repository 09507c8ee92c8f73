"""The folder of a run: who may write in it, whose run it is, what configuration it had, and how its files are replaced.

runs/<name>/  config.yaml · journal.jsonl · snapshot.json · result.json · report.html (+ png)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from rbflex_evo.engine.configuration.config import Config, as_values, identity, parse_config
from rbflex_evo.engine.configuration.difference import difference
from rbflex_evo.engine.configuration.yaml_reader import read_value
from rbflex_evo.spaces import ConfigError, RunError

LOCK = ".lock"


class RunFolder:
    """The paths of one run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.journal = path / "journal.jsonl"
        self.snapshot = path / "snapshot.json"
        self.result = path / "result.json"
        self.report = path / "report.html"

    def check_owner(self, config: Config) -> None:
        """Makes sure that the folder is empty or holds a run of an equal configuration.

        Raises:
            RunError: with the way out.
        """
        if not self.config.exists():
            strangers = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
            if strangers:
                raise RunError(
                    f"{self.path} exists and is no run's folder (it holds {strangers[0]!r}, but no config.yaml); "
                    "give the run another name"
                )
            return
        there = own_config(self.config)
        if identity(there) != identity(config):
            found = difference(there, config)
            raise RunError(
                f"{self.path} holds a run of another configuration{f' ({found})' if found else ''}; "
                f"give this one another name (--set name=...), or remove {self.path}"
            )

    def write_config(self, config: Config) -> None:
        """Writes the configuration, with the overrides, as the run's own."""
        replace_text(self.config, yaml.safe_dump(as_values(config), sort_keys=False, allow_unicode=True))


def find_run(path: str | Path) -> Config:
    """Returns the configuration of an existing run.

    Raises:
        RunError: if there is none, or its configuration is damaged.
        UnknownNameError: if it names what is not registered.
    """
    folder = RunFolder(Path(path) if Path(path).name else Path(path).resolve())
    if not folder.path.is_dir():
        raise RunError(f"there is no run folder {str(path)!r}; start one with: rbflex-evo search CONFIG")
    for file in (folder.config, folder.journal):
        if not file.exists():
            raise RunError(f"{str(path)!r} is no run's folder: it has no {file.name}; start one with: rbflex-evo search CONFIG")
    # The folder may have been moved or renamed since.
    return own_config(folder.config).model_copy(update={"name": folder.path.name, "runs": str(folder.path.parent)})


def own_config(path: Path) -> Config:
    """Returns the configuration in a run's folder.

    Raises:
        RunError: if it is damaged, naming the file, what is wrong with it and the way out.
        UnknownNameError: if it names what is not registered.
    """
    return own_parsed(path, own_values(path, own_text(path)))


def own_text(path: Path) -> str:
    """Returns what is in a file of a run's folder.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from None


def own_values(path: Path, text: str) -> dict[str, Any]:
    """Returns the mapping that `text`, the content of the file `path`, holds, an empty one of whatever else it holds.

    Raises:
        RunError: if it is no YAML.
    """
    try:
        values = read_value(text, str(path))
    except ConfigError as error:
        raise damaged(path, error) from None
    return values if isinstance(values, dict) else {}


def own_parsed(path: Path, values: Mapping[str, Any]) -> Config:
    """Returns the configuration that the values of the file `path` make.

    Raises:
        RunError: if they make none.
        UnknownNameError: if they name what is not registered.
    """
    try:
        return parse_config(values)
    except ConfigError as error:
        raise damaged(path, error) from None


def damaged(path: Path, why: object) -> RunError:
    """Returns the error that a run's configuration cannot be used, with the way out."""
    return RunError(f"{path} is damaged: {str(why).removeprefix(f'{path}, ')}; restore the configuration that the run had")


@contextmanager
def opened(path: Path) -> Iterator[RunFolder]:
    """Makes the folder if need be and holds its lock; a folder that is still without a run is taken away at the end.

    Raises:
        RunError: if it cannot be written, or another process is writing in it.
    """
    folder = RunFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / LOCK, "a")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise RunError(
            f"the run folder {str(path)!r} cannot be written: {error.strerror}; choose another with --set runs=FOLDER"
        ) from None
    with lock:
        if not locked(lock.fileno()):
            raise RunError(f"{path} is in use by another process; wait until it is done, or give this run another name")
        try:
            yield folder
        finally:
            if not folder.config.exists():
                _remove_empty(path)


def replace_text(path: Path, text: str) -> None:
    """Writes a file so that at any moment either the old or the whole new one is there.

    Raises:
        RunError: if it cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error


def locked(descriptor: int) -> bool:
    """Takes the lock of an open file until it is closed; returns False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there the user sees to it that a run has one process.
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_empty(path: Path) -> None:
    remaining = [entry.name for entry in path.iterdir()]
    if remaining == [LOCK]:
        (path / LOCK).unlink()
        path.rmdir()
