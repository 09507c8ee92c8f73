"""A table in a form of its own: a log of trainings, one line each, ``correct/total notation``; what follows a # is a comment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from rbflex_evo.spaces import Parameters, SearchSpace, TableError
from rbflex_evo.spaces.tables.notations import checked_notations
from rbflex_evo.spaces.tables.table import Table

LINE = re.compile(r"(\d+)/(\d+)\s+(\S+)")


class OrderLogParameters(Parameters):
    """Where the log is, and what to call the data set in reports."""

    path: str
    dataset: str = "gratings"


class OrderLog(Table):
    """Test accuracies in percent from a log of trainings."""

    name = "order_log"
    description = "accuracies from lines of 'correct/total notation'"
    Parameters = OrderLogParameters

    def __init__(self, parameters: OrderLogParameters, space: SearchSpace) -> None:
        self.space, self.dataset = space.name, parameters.dataset
        matches = [_match(parameters.path, number, line) for number, line in _lines(parameters.path)]
        notations = checked_notations(parameters.path, space, [match[3] for match in matches])
        self._accuracies = {n: 100 * int(match[1]) / int(match[2]) for n, match in zip(notations, matches, strict=True)}

    def accuracies(self) -> Mapping[str, float]:
        return self._accuracies


def _lines(path: str) -> list[tuple[int, str]]:
    """Returns the lines that are no comments, with their numbers."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"cannot read {path!r} ({error}); check table.path") from error
    lines = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in lines if line]


def _match(path: str, number: int, line: str) -> re.Match[str]:
    match = LINE.fullmatch(line)
    if match is None or not 0 <= int(match[1]) <= int(match[2]) or not int(match[2]):
        raise TableError(f"{path!r}, line {number}: expected 'correct/total notation', but it is {line!r}")
    return match
