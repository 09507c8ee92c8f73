"""Exceptions that the package raises on purpose, each also a subclass of the builtin exception that it refines.

A message states in one or two lines what was given, what was expected and how to fix it. The command line prints it without a
traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable


class RbflexEvoError(Exception):
    """Base class of every error that the package raises on purpose.

    Attributes:
        exit_code: Exit code of a command that ends with it: 2 if the user must change something, 1 if the same command may
            succeed when it is run again.
    """

    exit_code = 2


class ConfigError(RbflexEvoError, ValueError):
    """A configuration, an option or a parameter is invalid."""


class UnknownNameError(RbflexEvoError, LookupError):
    """A name is not registered."""


class PluginError(RbflexEvoError, ImportError):
    """An entry point of another package cannot be used."""


class GenotypeError(RbflexEvoError, ValueError):
    """A genotype or its notation does not belong to the search space."""


class CandidateFailed(RbflexEvoError):
    """The candidate cannot be built or scored; the message is the reason. The search goes on."""


class DataError(RbflexEvoError, ValueError):
    """Input data are missing, unreadable or too few."""


class TableError(RbflexEvoError, ValueError):
    """A table of known accuracies is missing, unreadable or belongs to another space."""


class RunError(RbflexEvoError, ValueError):
    """A run folder cannot be written, is damaged or belongs to another configuration."""


class FailedError(RunError):
    """A run failed for a reason that may be gone when it is tried again, such as a process that died or a folder in use."""

    exit_code = 1


class FileError(RunError):
    """A file cannot be read or written; the message has its name. `exit_code` is 1 if the reason may pass, as for a full disk."""


class DeviceError(RbflexEvoError, ValueError):
    """The requested device is not available."""


# Reasons of the operating system that may be gone when the same command is run again, and what to do about them.
_PASSING = {
    "ENOSPC": "free space there, then run the same command again",
    "EDQUOT": "free space there, then run the same command again",
    "EFBIG": "raise the limit of file sizes (ulimit -f), then run the same command again",
    "EMFILE": "raise the limit of open files (ulimit -n), then run the same command again",
    "ENFILE": "close other programs, then run the same command again",
    "ENOMEM": "free memory, then run the same command again",
    **dict.fromkeys(("EIO", "EAGAIN", "EBUSY", "EINTR", "ESTALE", "ETIMEDOUT", "EPIPE"), "run the same command again"),
}
SHARED_MEMORY = "shared memory (/dev/shm)"


def file_error(error: OSError, path: object = None, doing: str = "written", way_out: str = "") -> FileError:
    """Returns an error of the operating system as one line with the name of the file and the way out.

    Args:
        error: The error.
        path: The file or folder; by default the one that the error names.
        doing: What cannot be done: ``written`` or ``read``.
        way_out: What to do if the reason does not pass by itself.
    """
    code = errno.errorcode.get(error.errno or 0, "")
    if path is None:
        path, way_out = (error.filename, way_out) if error.filename is not None else _unnamed(error)
    way_out = _PASSING.get(code, way_out) if path != SHARED_MEMORY else way_out
    done = FileError(f"{path} cannot be {doing}: {error.strerror or reason(error)}{'; ' if way_out else ''}{way_out}")
    done.exit_code = 1 if code in _PASSING else 2
    return done


def _unnamed(error: OSError) -> tuple[str, str]:
    """Returns what is meant by an error without a file name, and the way out."""
    places = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any("multiprocessing" in place for place in places):
        return SHARED_MEMORY, "enlarge it (docker run --shm-size=1g), or measure in one process (workers: 1)"
    return "a file", "--debug shows where"


class NotationWarning(UserWarning):
    """A notation of another project was read in one of several ways; the message says in which."""


# Most characters of a value that a message repeats.
SHOWN = 120
# Most names that a message lists.
LISTED = 50


def shown(value: object, most: int = SHOWN) -> str:
    """Returns a value as it stands in messages: in quotes, on one line, and cut with its length if it is long.

    Args:
        value: The value that came.
        most: Most characters that are shown.
    """
    if isinstance(value, str | bytes) and len(value) > most:
        return f"{value[:most]!r}... ({len(value):,} {'characters' if isinstance(value, str) else 'bytes'})"
    text = repr(value)
    return text if len(text) <= most + 2 else f"{text[:most]}... ({len(text):,} characters)"


def near_name(name: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest known name, or the list of known names if none is near."""
    names = sorted(known)
    given = str(name)[:SHOWN]
    near = [one for text in (given, given.lower()) for one in difflib.get_close_matches(text, names, n=1, cutoff=0.6)]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {listed(names)}" if names else ""


def listed(names: Iterable[str]) -> str:
    """Returns names as they stand in messages: separated by commas, each cut if it is long, and at most `LISTED` of them."""
    every = [name if len(name) <= SHOWN else f"{name[: SHOWN // 2]}..." for name in names]
    return ", ".join(every[:LISTED]) + (f" and {len(every) - LISTED:,} more" if len(every) > LISTED else "")


def reason(error: Exception) -> str:
    """Returns the error of another library as one short line, for messages that state their cause."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
