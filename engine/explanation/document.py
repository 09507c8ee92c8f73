"""What is kept of one explained candidate, ``explain.json`` in the run's folder: plain values, strictly read back."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from rbflex_evo.engine.run.result_document import Part
from rbflex_evo.spaces import RunError

VERSION = 1
FILE = "explain.json"


class Rank(Part):
    """A score's place among the candidates of the run: 1 is the best, ties averaged; `below` is a share of the others."""

    place: float
    of: int
    below: float


class Spread(Part):
    """A score under other weight seeds, None where it failed; the rest is None with fewer than two.

    `deviation` is the standard deviation of a sample (n - 1); `shift` says by how many of them the run's own score lies above
    the mean, None where the deviation is 0.
    """

    values: list[float | None]
    mean: float | None = None
    deviation: float | None = None
    least: float | None = None
    most: float | None = None
    shift: float | None = None


class Tied(Part):
    """A candidate that is within the spread of the explained one in every member; its accuracy in percent where known."""

    notation: str
    scores: dict[str, float]
    accuracy: float | None = None


class Ties(Part):
    """Candidates of the run, the explained one apart, within one standard deviation of its score.

    Attributes:
        members: how many are within it, by member; None where a member has no deviation.
        count: how many are within it in every member, None likewise.
        nearest: the first of them, those with the smallest largest distance in deviations.
    """

    of: int
    members: dict[str, int | None]
    count: int | None
    nearest: list[Tied]


class LayerRecord(Part):
    """One activation layer; see `rbflex_evo.fitness.proxies.rbflex.layers.LayerDistances`."""

    name: str
    block: str
    units: int
    live: int
    distance: float


class ScoreLayers(Part):
    """What an rbflex score of that name reads: X layer by layer in the order of the forward, and Y."""

    score: str
    pairs: int
    layers: list[LayerRecord]
    features: LayerRecord


class Explanation(Part):
    """What is kept in explain.json.

    Attributes:
        evaluation: which evaluation of the run it was, from 1; None if the run did not come across it.
        seed: of the run's weights.
        seeds: of the other weights.
        layers: one entry for each rbflex score of the run.
        notice: why there are no accuracies although a table is set.
    """

    version: int = Field(ge=VERSION, le=VERSION)
    notation: str
    key: str
    evaluation: int | None
    found: bool
    scores: dict[str, float]
    ranks: dict[str, Rank]
    seed: int
    seeds: list[int]
    spread: dict[str, Spread]
    ties: Ties
    layers: list[ScoreLayers]
    dataset: str | None = None
    accuracy: float | None = None
    notice: str | None = None


def read_explanation(folder: Path) -> Explanation | None:
    """Returns what explain.json holds, None where there is none.

    Raises:
        RunError: if it is damaged or of another version.
    """
    path = Path(folder) / FILE
    try:
        return Explanation.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError):
        raise RunError(f"{path} is damaged or of another version; write it again with: rbflex-evo explain {folder}") from None
