"""The journal of a run: one JSON line per evaluation, append-only. All other files of a run can be derived from it.

The first line identifies the run. A ``gammas`` line follows only if a network died or took too long while gammas were detected,
because another machine might detect other ones. ``reference`` lines (the fixed sample that ranks may be taken against)
and ``evaluation`` lines follow, in the order in which the strategy was told. A ``look`` line between them holds the costs of
an architecture that were counted before its evaluation, either because a constraint then rejected it or because a measured cost
does not repeat.
If the run has a ``fidelity``, the first line holds the cheaper form, in which all of these were scored. ``rescored`` lines follow
them: the best candidates again, with their scores in the full form.
Fields whose names begin with ``time_`` hold times; all other fields of an interrupted run equal those of an uninterrupted run.
`crc` is a CRC-32 of the other fields of the line, except the times.

A last line without a newline was cut off when the process died; it is dropped. Any other damage is an error.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.limited import Look
from rbflex_evo.spaces import RunError, file_error

VERSION = 1

# Created once, because `json.dumps` creates a new encoder for every line.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_sorted = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


@dataclass
class JournalContent:
    """The content of a journal.

    Attributes:
        header: The first line, or None if the journal has no line yet.
        gammas: The calibrations of the scores by name, if the run cannot determine them again.
        full_gammas: Those of the full form, if the run has a cheaper one.
        references: The evaluations of the reference sample.
        evaluations: The evaluations of the search.
        arrivals: The `time_elapsed` of each evaluation of the search.
        looks: The looks at costs, in the order in which they were counted.
        rescored: The evaluations in full of the best candidates, if the search scored in a cheaper form.
        seconds: The `time_elapsed` of the last line of the search, before any is rescored.
        rescored_seconds: The `time_elapsed` of the last rescored line.
        end: Length in bytes of all whole lines.
    """

    header: dict[str, Any] | None = None
    gammas: dict[str, dict[str, float]] | None = None
    full_gammas: dict[str, dict[str, float]] | None = None
    references: list[Evaluation] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    rescored: list[Evaluation] = field(default_factory=list)
    seconds: float = 0.0
    rescored_seconds: float = 0.0
    end: int = 0


class Journal:
    """Appends lines to a journal file; each line is handed to the operating system before `append` returns.

    Args:
        path: The file, which is created if it does not exist.
        end: Number of bytes to keep; the rest is an incomplete line.

    Raises:
        RunError: If the file cannot be written.
    """

    def __init__(self, path: Path, end: int) -> None:
        self.path = path
        with _Writing(path):
            self._file = open(path, "ab")  # noqa: SIM115 (closed by close)
            self._file.truncate(end)

    def append(self, line: Mapping[str, Any]) -> None:
        """Writes one line with its checksum."""
        with _Writing(self.path):
            self._file.write(encode(line))
            self._file.flush()

    def sync(self) -> None:
        """Forces all lines to the disk."""
        with _Writing(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        # What a full disk did not take is tried once more.
        with _Writing(self.path):
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def header_line(**facts: Any) -> dict[str, Any]:
    """Returns the first line of a journal."""
    return {"kind": "run", "version": VERSION, **facts}


def gammas_line(calibrations: Mapping[str, Mapping[str, float]], *, in_full: bool = False) -> dict[str, Any]:
    """Returns the line of calibrations that depend on what the machine could measure.

    Args:
        calibrations: The calibrations by score.
        in_full: Whether they are those of the full form in a run that scores in a cheaper one.
    """
    values = {name: dict(values) for name, values in calibrations.items()}
    return {"kind": "gammas", **({"form": "full"} if in_full else {}), "values": values}


def evaluation_line(kind: str, number: int, evaluation: Evaluation, elapsed: float) -> dict[str, Any]:
    """Returns the line of one evaluation.

    Args:
        kind: ``evaluation``, ``reference`` or ``rescored``.
        number: The position among the lines of that kind, from 0.
        evaluation: The evaluation.
        elapsed: Seconds since the start of the run, without interruptions.
    """
    return {
        "kind": kind,
        "number": number,
        "genotype": list(evaluation.genotype),
        "key": evaluation.key,
        "scores": dict(evaluation.scores),
        "failures": dict(evaluation.failures),
        **({"costs": dict(evaluation.costs)} if evaluation.costs else {}),
        "time_elapsed": round(elapsed, 6),
        "time_scoring": round(evaluation.seconds, 6),
    }


def look_line(number: int, look: Look, elapsed: float) -> dict[str, Any]:
    """Returns the line of one look at the costs of an architecture; the arguments are those of `evaluation_line`."""
    return {"kind": "look", "number": number, **asdict(look), "time_elapsed": round(elapsed, 6)}


def checksum(line: Mapping[str, Any]) -> int:
    """Returns the CRC-32 of a line without its times and its checksum."""
    lasting = {name: value for name, value in line.items() if name != "crc" and not name.startswith("time_")}
    return zlib.crc32(_encode_sorted(lasting).encode())


def encode(line: Mapping[str, Any]) -> bytes:
    """Returns one line, with its checksum, as bytes."""
    return (_encode({**line, "crc": checksum(line)}) + "\n").encode()


def rewritten(path: Path, identity: str, evaluations: int, looks: int) -> str:
    """Returns the text of a valid journal with another identity and only its first evaluations and looks.

    Rescored lines are left out: others may be the best of another budget.
    """
    kept = {"evaluation": evaluations, "look": looks, "rescored": 0}
    text = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        values = json.loads(line)
        if values["kind"] == "run":
            del values["crc"]
            text.append(encode({**values, "identity": identity}).decode())
        elif values.get("form") != "full" and (values["kind"] not in kept or values["number"] < kept[values["kind"]]):
            text.append(line.decode() + "\n")
    return "".join(text)


def read_journal(path: Path) -> JournalContent:
    """Reads a journal; a missing file is an empty journal.

    Raises:
        RunError: If a line is damaged, out of order or of another version; the message names the first such line.
    """
    try:
        # A pipe in its place would be read for ever.
        if path.exists() and not path.is_file():
            raise RunError(f"{path} is no regular file; restore it, or remove {path.parent} to start again")
        data = path.read_bytes()
    except FileNotFoundError:
        return JournalContent()
    except OSError as error:
        raise file_error(error, path, "read") from None
    content = JournalContent(end=data.rfind(b"\n") + 1)
    for position, text in enumerate(data[: content.end].split(b"\n")[:-1], start=1):
        _take(content, _decode(text, path, position), path, position)
    return content


def _decode(text: bytes, path: Path, position: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        raise _damaged(path, position, "it is not JSON") from None
    except RecursionError:
        raise _damaged(path, position, "it is nested too deeply") from None
    if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
        raise _damaged(path, position, "it has no kind")
    if line["kind"] == "run" and line.get("version") != VERSION:
        raise RunError(
            f"{path} was written as version {line.get('version')!r}, but this program reads version {VERSION}; "
            "use the program that wrote it, or give the run another name"
        )
    if line.get("crc") != checksum(line):
        raise _damaged(path, position, "its checksum is wrong")
    return line


def _take(content: JournalContent, line: dict[str, Any], path: Path, position: int) -> None:
    if (position == 1) != (line["kind"] == "run"):
        raise _damaged(path, position, "the first line, and no other line, must identify the run")
    if position == 1:
        content.header = line
        return
    if line["kind"] == "gammas":
        if line.get("form") == "full":
            content.full_gammas = _gammas(line, path, position)
        else:
            content.gammas = _gammas(line, path, position)
        return
    kinds: dict[str, list[Any]] = {
        "reference": content.references,
        "evaluation": content.evaluations,
        "look": content.looks,
        "rescored": content.rescored,
    }
    if line["kind"] not in kinds:
        raise _damaged(path, position, f"its kind {line['kind']!r} is unknown")
    if line["kind"] == "reference" and (content.evaluations or content.looks):
        raise _damaged(path, position, "a reference follows an evaluation")
    if line["kind"] != "rescored" and content.rescored:
        raise _damaged(path, position, "a line of the search follows a rescored one")
    known = kinds[line["kind"]]
    if line.get("number") != len(known):
        raise _damaged(path, position, f"it should have number {len(known)}, but it has {line.get('number')!r}")
    read = _look if line["kind"] == "look" else _evaluation
    taken, elapsed = read(line, path, position)
    known.append(taken)
    if line["kind"] == "rescored":
        content.rescored_seconds = elapsed
        return
    content.seconds = elapsed
    if line["kind"] == "evaluation":
        content.arrivals.append(elapsed)


def _gammas(line: dict[str, Any], path: Path, position: int) -> dict[str, dict[str, float]]:
    values = line.get("values")
    if not isinstance(values, dict) or not all(
        isinstance(found, dict) and all(type(value) is float and math.isfinite(value) for value in found.values())
        for found in values.values()
    ):
        raise _damaged(path, position, "a field is missing or of a wrong type")
    return values


def _look(line: dict[str, Any], path: Path, position: int) -> tuple[Look, float]:
    try:
        return Look(line["key"], line["costs"], line["failures"], line["admitted"]), float(line["time_elapsed"])
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, position, "a field is missing or of a wrong type") from None


def _evaluation(line: dict[str, Any], path: Path, position: int) -> tuple[Evaluation, float]:
    try:
        elapsed, scoring = float(line["time_elapsed"]), float(line["time_scoring"])
        evaluation = Evaluation(
            genotype=tuple(line["genotype"]),
            key=line["key"],
            scores=line["scores"],
            failures=line["failures"],
            seconds=scoring,
            costs=line.get("costs", {}),
        )
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, position, "a field is missing or of a wrong type") from None
    if not math.isfinite(elapsed + scoring):
        raise _damaged(path, position, "a time is not a finite number")
    if not _is_typed(evaluation):
        raise _damaged(path, position, "a field is missing or of a wrong type")
    return evaluation, elapsed


def _is_typed(evaluation: Evaluation) -> bool:
    """Returns whether all values have their types; a checksum can be right although another program wrote something else."""
    numbers = (evaluation.scores, evaluation.costs)
    return (
        isinstance(evaluation.key, str)
        and all(type(gene) is int for gene in evaluation.genotype)
        and all(isinstance(values, dict) for values in (*numbers, evaluation.failures))
        and all(type(value) in (int, float) and math.isfinite(value) for values in numbers for value in values.values())
        and all(isinstance(why, str) for why in evaluation.failures.values())
    )


def _damaged(path: Path, position: int, why: str) -> RunError:
    keep = f"keep only the lines before it to resume from there, or remove {path.parent} to start again"
    return RunError(f"{path}, line {position} is damaged: {why}\n{keep}")


class _Writing:
    """Converts errors of the operating system while writing `path` to a RunError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise file_error(error, self.path) from error
