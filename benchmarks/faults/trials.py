"""The trials of a campaign: what can come of one, the file that they are kept in, and the table of their counts.

A campaign is a folder. `trials.jsonl` in it has one line for each trial; lines are only added, so a campaign that was stopped
goes on where it was. A trial is determined by (seed, kind, number).
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from benchmarks.shared.output import markdown


class Outcome(str, Enum):
    """What came of a trial; the names in capitals are faults of the product."""

    SAME = "same"
    CLEAR = "clear line"
    SAID = "said in the journal"
    OTHER_JOURNAL = "OTHER JOURNAL"
    WRONG_SCORE = "WRONG SCORE"
    LOST = "LOST"
    TRACEBACK = "TRACEBACK"
    UNCLEAR = "UNCLEAR"
    HANG = "HANG"

    @property
    def bad(self) -> bool:
        """Whether it is a fault of the product."""
        return self.value.isupper()


@dataclass(frozen=True)
class Found:
    """The outcome of a trial.

    Attributes:
        outcome: What came of it.
        detail: What was done and, for a bad outcome, what was seen.
        faults: Number of faults that hit; 0 if the run ended before the fault.
    """

    outcome: Outcome
    detail: str = ""
    faults: int = 1


@dataclass(frozen=True)
class Trial:
    """One line of a campaign's file."""

    seed: int
    kind: str
    number: int
    outcome: str
    detail: str
    faults: int
    seconds: float


@dataclass(frozen=True)
class Place:
    """Where a trial works.

    Attributes:
        work: An empty folder of the trial.
        shared: A folder that all trials of the campaign share, for reference runs.
    """

    work: Path
    shared: Path


TrialFunction = Callable[[np.random.Generator, Place], Found]


def generator(seed: int, kind: str, number: int) -> np.random.Generator:
    """Returns the generator of a trial, which depends on its arguments alone."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), number])


def read_trials(path: Path) -> list[Trial]:
    """Returns the trials of a file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    return [Trial(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def append_trial(path: Path, trial: Trial) -> None:
    """Adds a trial; an incomplete last line of a stopped campaign is removed first."""
    with open(path, "a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.write(json.dumps(asdict(trial)).encode() + b"\n")


def table(trials: Iterable[Trial]) -> str:
    """Returns the Markdown table of the counts: one row for each kind, one column for each outcome."""
    trials = list(trials)
    counts = Counter((trial.kind, trial.outcome) for trial in trials)
    rows = []
    for kind in dict.fromkeys(trial.kind for trial in trials):
        mine = [trial for trial in trials if trial.kind == kind]
        mean = sum(trial.seconds for trial in mine) / len(mine)
        rows.append([kind, len(mine), sum(t.faults for t in mine), *(counts[kind, o.value] for o in Outcome), round(mean, 2)])
    return markdown(["kind", "trials", "faults", *(outcome.value for outcome in Outcome), "seconds each"], rows)
