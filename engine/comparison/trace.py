"""What a comparison keeps of one finished run: its incumbents and what it took. A small JSON file, written whole.

The incumbent is what the run would have returned, had it ended there. It is kept by name, never with a utility: ranks of two
runs are ranks over two archives and may not be compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import RunError, SearchSpace

VERSION = 1

# Ranks over an archive change with every candidate, and asking for the best costs time in proportion to the archive. So the
# incumbent is taken after every evaluation up to this number, then at as many moments, equally far apart, and at the end.
MOMENTS = 2000


@dataclass(frozen=True)
class Trace:
    """One finished run.

    Attributes:
        identity: of the run's configuration.
        scores: hash of the table that it was replayed on; None for a run that measured.
        evaluations: unique ones.
        failed: how many of them failed.
        stop_reason: why the run ended.
        changed: at which evaluation (from 1) each of the incumbents came.
        keys: of the incumbents.
        notations: of the genotypes that were proposed.
        time_evaluations: evaluations that the two times are over; fewer than all where the run was resumed.
        time_scoring: seconds that the search waited for scores.
        time_strategy: seconds of all else: strategy, ranks, journal.
    """

    identity: str
    scores: str | None
    evaluations: int
    failed: int
    stop_reason: str
    changed: list[int]
    keys: list[str]
    notations: list[str]
    time_evaluations: int
    time_scoring: float
    time_strategy: float


def incumbents(
    view: ArchiveView, space: SearchSpace, references: Sequence[Evaluation], evaluations: Sequence[Evaluation]
) -> tuple[list[int], list[str], list[str]]:
    """Returns when the incumbents came (evaluations from 1), their keys and their notations; nothing before the first success.

    Args:
        view: Empty view with the run's objective.
        space: Search space of the run.
        references: Sample that ranks are taken against, if the objective has one.
        evaluations: Evaluations of the run in order.
    """
    if view.objective.reference == "sample":
        view.set_reference(references)
    moments = set(moments_of(len(evaluations)).tolist())
    changed: list[int] = []
    leaders: list[Evaluation] = []
    for number, evaluation in enumerate(evaluations, start=1):
        view.add(evaluation)
        leader = view.incumbent() if number in moments else None
        if leader is not None and (not leaders or leader.key != leaders[-1].key):
            changed.append(number)
            leaders.append(leader)
    return changed, [leader.key for leader in leaders], [space.notation(leader.genotype) for leader in leaders]


def moments_of(evaluations: int) -> np.ndarray:
    """Returns the evaluations, from 1 and rising, after which the incumbent is taken."""
    first = np.arange(1, min(evaluations, MOMENTS) + 1)
    later = np.linspace(MOMENTS, evaluations, MOMENTS + 1).round().astype(int) if evaluations > MOMENTS else first
    return np.union1d(first, later)


def write_trace(path: Path, trace: Trace) -> None:
    """Writes a trace, whole or not at all.

    Raises:
        RunError: if it cannot be written.
    """
    replace_text(path, json.dumps({"version": VERSION, **asdict(trace)}, ensure_ascii=False) + "\n")


def read_trace(path: Path) -> Trace | None:
    """Returns a trace, or None where there is none.

    Raises:
        RunError: if it is damaged or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("version") == VERSION:
            trace = Trace(**content)
            if len(trace.changed) == len(trace.keys) == len(trace.notations):
                return trace
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise RunError(f"{path} is damaged or of another version; remove it, and the run is made again")
