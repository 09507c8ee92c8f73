"""The folder of a run: its files, its lock, its configuration, and the atomic replacement of files.

runs/<name>/  config.yaml · journal.jsonl · snapshot.json · result.json · report.html (+ png)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.config import Config, as_values, identity, parse_config
from rbflex_evo.engine.configuration.difference import difference
from rbflex_evo.engine.configuration.yaml_reader import read_value, write_value
from rbflex_evo.spaces import ConfigError, FailedError, RunError, file_error

LOCK = ".lock"
# The first and last line of a configuration in a run's folder. A file that has the first without the last lost its end.
BEGINNING = "# The configuration of this run. Its last line is '# end'."
END = "# end"


class RunFolder:
    """The paths of the files of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.journal = path / "journal.jsonl"
        self.snapshot = path / "snapshot.json"
        self.result = path / "result.json"
        self.report = path / "report.html"

    def check_owner(self, config: Config) -> None:
        """Checks that the folder is empty or holds a run of an equal configuration.

        Raises:
            RunError: If it holds something else; the message says what to do.
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
            if identity(there.model_copy(update={"budget": config.budget})) == identity(config):
                raise RunError(
                    f"{self.path} holds a run with another budget ({found}); go on with: rbflex-evo resume {self.path} --budget "
                    "evaluations=N, or give this one another name (--set name=...)"
                )
            raise RunError(
                f"{self.path} holds a run of another configuration{f' ({found})' if found else ''}; "
                f"give this one another name (--set name=...), or remove {self.path}"
            )

    def write_config(self, config: Config) -> None:
        """Writes the configuration, overrides included, into the folder."""
        replace_text(self.config, f"{BEGINNING}\n{write_value(as_values(config))}{END}\n")


def no_journal(folder: Path) -> RunError:
    """Returns the error that a run's folder has no journal."""
    return RunError(
        f"{folder / 'journal.jsonl'} is missing, and nothing else has the evaluations of the run\n"
        f"restore it, or remove {folder} and start again with: rbflex-evo search CONFIG"
    )


def find_run(path: str | Path) -> Config:
    """Returns the configuration of an existing run.

    Raises:
        RunError: If there is no run in the folder, or its configuration is damaged.
        UnknownNameError: If a name of the configuration is not registered.
    """
    folder = RunFolder(Path(path) if Path(path).name else Path(path).resolve())
    if not folder.path.is_dir():
        raise RunError(f"there is no run folder {str(path)!r}; start one with: rbflex-evo search CONFIG")
    if folder.path.name.endswith("-compare") and folder.config.exists():
        raise RunError(f"{str(path)!r} is a comparison; the same command resumes it: rbflex-evo compare CONFIG")
    if folder.config.exists() and not folder.journal.exists() and (folder.result.exists() or folder.snapshot.exists()):
        raise no_journal(folder.path)
    for file in (folder.config, folder.journal):
        if not file.exists():
            raise RunError(f"{str(path)!r} is no run's folder: it has no {file.name}; start one with: rbflex-evo search CONFIG")
    return _placed(folder)


def begun(path: Path) -> Config | None:
    """Returns the configuration in the folder of a run, or None if the folder holds none.

    Raises:
        RunError: If it is damaged.
        UnknownNameError: If a name of the configuration is not registered.
    """
    folder = RunFolder(path)
    # A folder that cannot be is said where it is made.
    return _placed(folder) if os.path.exists(folder.config) else None


def _placed(folder: RunFolder) -> Config:
    """Returns the configuration in a folder, of a run that lies there: the folder may have been moved since it was written."""
    values = {**own_values(folder.config, own_text(folder.config)), "name": "run", "runs": "runs"}
    return own_parsed(folder.config, values).model_copy(update={"name": folder.path.name, "runs": str(folder.path.parent)})


def own_config(path: Path) -> Config:
    """Returns the configuration in the folder of a run.

    Raises:
        RunError: If it is damaged; the message names the file, the problem and what to do.
        UnknownNameError: If a name of the configuration is not registered.
    """
    return own_parsed(path, own_values(path, own_text(path)))


def own_text(path: Path) -> str:
    """Returns the text of a file in the folder of a run.

    Raises:
        RunError: If the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise file_error(error, path, "read") from None
    except UnicodeDecodeError as error:
        raise RunError(f"cannot read {path}: {error}") from None


def own_values(path: Path, text: str) -> dict[str, Any]:
    """Returns the mapping in a YAML text, or an empty mapping if the text holds something else.

    Args:
        path: The file that the text comes from, for messages.
        text: The YAML text.

    Raises:
        RunError: If the text is not YAML, or lost its end.
    """
    if text.startswith(BEGINNING) and END not in text.splitlines():
        raise damaged(path, f"its end is lost, it has no line {END!r}")
    try:
        values = read_value(text, str(path))
    except ConfigError as error:
        raise damaged(path, error) from None
    return values if isinstance(values, dict) else {}


def own_parsed(path: Path, values: Mapping[str, Any]) -> Config:
    """Returns the configuration of the values in a file.

    Args:
        path: The file that the values come from, for messages.
        values: The values.

    Raises:
        RunError: If the values are not a valid configuration.
        UnknownNameError: If a name of the configuration is not registered.
    """
    try:
        return parse_config(values)
    except ConfigError as error:
        raise damaged(path, error) from None


def damaged(path: Path, why: object) -> RunError:
    """Returns the error that the configuration of a run cannot be used; the message says what to do."""
    return RunError(f"{path} is damaged: {str(why).removeprefix(f'{path}, ')}; restore the configuration that the run had")


@contextmanager
def opened(path: Path) -> Iterator[RunFolder]:
    """Creates the folder if necessary and holds its lock; a folder without a run is removed at the end.

    Raises:
        RunError: If the folder cannot be written, or another process writes to it.
    """
    folder = RunFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / LOCK, "a")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise file_error(error, f"the run folder {str(path)!r}", way_out="choose another with --set runs=FOLDER") from None
    with lock:
        if not locked(lock.fileno()):
            raise FailedError(f"{path} is in use by another process; wait until it is done, or give this run another name")
        try:
            yield folder
        finally:
            if not folder.config.exists():
                _remove_empty(path)


def replace_text(path: Path, text: str) -> None:
    """Replaces a file atomically: at any moment, either the old or the complete new file exists.

    Raises:
        RunError: If the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        # The draft of a process that died, or a link in a folder of somebody else, which must not be followed.
        draft.unlink(missing_ok=True)
        with open(draft, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise file_error(error, path) from error


def locked(descriptor: int) -> bool:
    """Locks an open file until it is closed; returns False if another process holds the lock."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; users must not run two processes there.
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
