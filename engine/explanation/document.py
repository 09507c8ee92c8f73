"""The format of explain.json, which holds the explanation of one candidate in the folder of its run."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from rbflex_evo.engine.run.result_document import Part
from rbflex_evo.spaces import RunError

VERSION = 1
FILE = "explain.json"
# Number of layers that the account of the activation calls names.
NAMES_SHOWN = 3


class Rank(Part):
    """The rank of a score among the candidates of the run.

    Attributes:
        place: The rank, 1 is the best; tied ranks are averaged.
        of: Number of ranked candidates.
        below: Fraction of the other candidates with a lower score.
    """

    place: float
    of: int
    below: float


class Spread(Part):
    """The spread of a score over other weight seeds; the statistics are None if fewer than two seeds have a score.

    Attributes:
        values: The scores, None where a score failed.
        mean: Mean of the scores.
        deviation: Standard deviation of the scores, as a sample (n - 1).
        least: The lowest score.
        most: The highest score.
        shift: Number of deviations by which the run's own score lies above the mean; None if the deviation is 0.
    """

    values: list[float | None]
    mean: float | None = None
    deviation: float | None = None
    least: float | None = None
    most: float | None = None
    shift: float | None = None


class Tied(Part):
    """A candidate within the spread of the explained one in every member; its accuracy is in percent, None if unknown."""

    notation: str
    scores: dict[str, float]
    accuracy: float | None = None


class Ties(Part):
    """The other candidates of the run within one standard deviation of the explained candidate's scores.

    Attributes:
        of: Number of other candidates.
        members: Number of candidates within the deviation of each member; None if a member has no deviation.
        count: Number of candidates within the deviation of every member; None if a member has no deviation.
        nearest: The nearest of them, ordered by their largest distance in deviations.
    """

    of: int
    members: dict[str, int | None]
    count: int | None
    nearest: list[Tied]


class LayerRecord(Part):
    """The distances of one activation layer; see `rbflex_evo.fitness.proxies.rbflex.layers.LayerDistances`."""

    name: str
    block: str
    units: int
    live: int
    distance: float


class Calls(Part):
    """The account of the activation calls; see `rbflex_evo.fitness.passes.layout.Account`.

    Attributes:
        read: Number of calls with an entry for every image.
        regrouped: Names of the layers whose rows were regrouped to the images, one for each call.
        transposed: Names of the layers whose images are not the first dimension.
        fixed: Names of the layers that are the same for every image and were left out.
    """

    read: int
    regrouped: list[str] = Field(default_factory=list)
    transposed: list[str] = Field(default_factory=list)
    fixed: list[str] = Field(default_factory=list)


class ScoreLayers(Part):
    """The distances that an rbflex score reads: X layer by layer, in the order of the forward, and Y.

    Attributes:
        score: The name of the score.
        pairs: Number of pairs of images.
        layers: The activation layers (X).
        features: The last features (Y).
        calls: The account of the activation calls; None in files of earlier versions.
    """

    score: str
    pairs: int
    layers: list[LayerRecord]
    features: LayerRecord
    calls: Calls | None = None


class Explanation(Part):
    """The content of explain.json.

    Attributes:
        version: Version of the format.
        notation: The architecture in the space's notation.
        key: The canonical key of the architecture.
        evaluation: Number of the evaluation in the run, from 1; None if the run did not evaluate the architecture.
        found: Whether the architecture is the one that the run found.
        scores: The scores by name.
        ranks: The rank of each score in the run.
        seed: Seed of the run's weights.
        seeds: Seeds of the other weights.
        spread: The spread of each score over the other seeds.
        ties: The candidates that are tied with this one.
        layers: One entry for each rbflex score of the run.
        dataset: The data set of the accuracies.
        accuracy: The known accuracy of the architecture, in percent.
        notice: The reason why accuracies are missing although a table is set.
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


def account_of(calls: Calls) -> str:
    """Returns the account of the activation calls as one line."""
    kinds = (("regrouped", calls.regrouped), ("transposed", calls.transposed), ("the same for every image", calls.fixed))
    return ", ".join([f"{calls.read} read", *(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds if names)])


def _first(names: list[str]) -> str:
    left = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {left} more" if left > 0 else "")


def read_explanation(folder: Path) -> Explanation | None:
    """Returns the content of explain.json, or None if it does not exist.

    Raises:
        RunError: If the file is damaged or of another version.
    """
    path = Path(folder) / FILE
    try:
        return Explanation.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError):
        raise RunError(f"{path} is damaged or of another version; write it again with: rbflex-evo explain {folder}") from None
