"""The format of result.json, which holds the result of a finished run; `crc` is a CRC-32 of its other fields."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rbflex_evo.engine.terminal.wording import named
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, RunError, SearchSpace
from rbflex_evo.spaces.errors import reason

from .folder import no_journal, replace_text
from .journal import JournalContent

VERSION: Literal[1] = 1


class Part(BaseModel):
    """Base of the parts of a document: strict types; unknown keys are ignored when it is read."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Candidate(Part):
    """One candidate of a finished search: genotype, notation, canonical key, raw scores by proxy, costs by metric."""

    genotype: Genotype
    notation: str
    key: str
    scores: dict[str, float]
    costs: dict[str, float] = {}

    def __repr__(self) -> str:
        # Params and FLOPs may be a score and a cost.
        costs = {name: cost for name, cost in self.costs.items() if self.scores.get(name) != cost}
        numbers = ", ".join(filter(None, (named(self.scores), named(costs))))
        return f"<Candidate {_shortened(self.notation)}: {numbers}>"

    __str__ = __repr__


SHORT = 100
"""Most characters of a notation in the representation of a candidate."""


def _shortened(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def notation_of(space: SearchSpace, genotype: Genotype) -> str:
    """Returns the notation of a genotype, or its genes and the reason if the space's own notation fails."""
    try:
        return space.notation(genotype)
    except Exception as error:
        return f"genotype {list(genotype)} (its notation failed: {reason(error)})"


def candidate_of(evaluation: Evaluation, space: SearchSpace) -> Candidate:
    """Returns an evaluation with its notation."""
    return Candidate(
        genotype=evaluation.genotype,
        notation=notation_of(space, evaluation.genotype),
        key=evaluation.key,
        scores=dict(evaluation.scores),
        costs=dict(evaluation.costs),
    )


class FrontFacts(Part):
    """The candidates that no other candidate dominates, of a search with several objectives.

    Attributes:
        objectives: Direction of each objective.
        reference_point: Reference point of the hypervolume, in the objectives' own units.
        hypervolume: Hypervolume of the front.
        hypervolume_share: Its share of the box between the reference point and the ideal point.
        candidates: Members of the front, the best in the first objective first.
    """

    objectives: dict[str, Literal["maximised", "minimised"]]
    reference_point: dict[str, float]
    hypervolume: float
    hypervolume_share: float
    candidates: list[Candidate]


class MapAxis(Part):
    """One axis of a map: a cost, its bounds and the number of equal parts between them."""

    name: str
    lower: float
    upper: float
    cells: int


class MapCell(Part):
    """A cell of a map: its part of each axis, from 0, its best candidate, the candidate's utility and its costs on the axes."""

    place: list[int]
    candidate: Candidate
    utility: float
    costs: list[float]


class MapFacts(Part):
    """The best candidate in every cell of a grid over costs.

    Attributes:
        axes: The axes.
        cells: Cells that have a candidate, in the order of the axes.
        coverage: Share of all cells that have one.
        qd_score: Sum over the cells of utility minus `reference`.
        reference: Utility that counts nothing.
        reference_is: What the reference is, in words.
    """

    axes: list[MapAxis]
    cells: list[MapCell]
    coverage: float
    qd_score: float
    reference: float
    reference_is: str


class TableFacts(Part):
    """The accuracy of the found architecture in the table; accuracies and percentile in percent, None if unknown."""

    name: str
    dataset: str
    accuracy: float | None = None
    percentile: float | None = None
    best: float | None = None
    best_notation: str | None = None
    mean: float | None = None


class Agreement(Part):
    """Kendall's tau-b between two forms, with its 95 % interval; None where it is undefined."""

    kendall: float | None = None
    low: float | None = None
    high: float | None = None


class RescoringFacts(Part):
    """How the best candidates of a search in a cheaper form were scored again in full.

    Attributes:
        form: The cheaper form: the keys of ``fidelity``.
        count: Number of candidates that were scored again.
        failed: Number of them that failed in full.
        time_seconds: Duration, without the time between sessions.
        agreement: By score, Kendall between both forms over these candidates; ``objective`` is that of several scores.
        evaluator: Facts about the measurement in full.
    """

    form: dict[str, Any]
    count: int
    failed: int = 0
    time_seconds: float = 0.0
    agreement: dict[str, Agreement] = {}
    evaluator: dict[str, Any] = {}


class ResultDocument(Part):
    """The content of result.json; with ``rescoring``, the scores of best, top and front are those in full."""

    version: Literal[1] = VERSION
    name: str = ""
    space: str = ""
    stop_reason: str
    finished: Literal[True] = True
    best: Candidate | None = None
    top: list[Candidate] = []
    front: FrontFacts | None = None
    map: MapFacts | None = None
    counts: dict[str, int] = {}
    time_seconds: float = 0.0
    evaluator: dict[str, Any] = {}
    rescoring: RescoringFacts | None = None
    table: TableFacts | None = None
    environment: dict[str, Any] = {}


def read_result(path: Path) -> ResultDocument | None:
    """Returns the result of a run, or None if the run has not finished.

    Raises:
        RunError: If the file is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        if content["version"] != VERSION or not content["finished"]:
            return None
        # Results of version 0.1 have no checksum.
        if content.pop("crc", None) not in (None, _checksum(content)):
            raise ValueError("wrong checksum")
        return ResultDocument.model_validate_json(text)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise RunError(f"{path} is damaged: {name}: {problem['msg']}, but it is {problem['input']!r:.60}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RunError(f"{path} is damaged; remove it, and resuming the run writes it again") from None


def check_journal(document: ResultDocument | None, content: JournalContent, folder: Path) -> None:
    """Makes sure that the journal of a finished run has all evaluations of its result.

    Raises:
        RunError: If its end is lost; the message says how to get it back.
    """
    if document is None:
        return
    wanted, evaluations = document.counts.get("unique", 0), len(content.evaluations)
    if document.rescoring is not None:
        wanted, evaluations = wanted + document.rescoring.count, evaluations + len(content.rescored)
    if wanted and not (folder / "journal.jsonl").exists():
        raise no_journal(folder)
    if evaluations < wanted:
        raise RunError(
            f"{folder / 'journal.jsonl'} lost its end: it holds {evaluations:,} evaluations, but result.json has {wanted:,}\n"
            f"restore it, or remove {folder / 'result.json'} and make the others again with: rbflex-evo resume {folder}"
        )


def write_result(path: Path, document: ResultDocument) -> None:
    """Writes the result of a run.

    Raises:
        RunError: If it cannot be written.
    """
    content = document.model_dump(mode="json")
    replace_text(path, json.dumps({**content, "crc": _checksum(content)}, indent=2, ensure_ascii=False) + "\n")


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
