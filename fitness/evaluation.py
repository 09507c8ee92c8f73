"""Raw scores, failures and costs of one candidate, and the interface of evaluators. Imports neither networks nor tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rbflex_evo.spaces import Genotype


@dataclass(frozen=True)
class Evaluation:
    """One scored candidate.

    Attributes:
        genotype: Genotype that was requested.
        key: Canonical name of its architecture; a budget counts keys.
        scores: Raw score by proxy name; higher is better. Rounded to 6 significant digits, so that machines that differ in
            the last bits make the same decisions.
        failures: Reason by proxy or metric name; a score that failed is here and not in `scores`.
        seconds: Duration of the measurement; 0 if the statistics came from the cache.
        costs: Cost by metric name, of the metrics that a constraint or the objective names; lower is better.
    """

    genotype: Genotype
    key: str
    scores: Mapping[str, float]
    failures: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True if any score failed; such a candidate ranks below all others."""
        return bool(self.failures)

    @property
    def reason(self) -> str | None:
        """Reason of the failure in one line; None if nothing failed."""
        return "; ".join(f"{name}: {why}" for name, why in self.failures.items()) or None


class EvaluatorLike(Protocol):
    """Interface that a search requires of an evaluator, such as `rbflex_evo.fitness.measuring.evaluator.Evaluator`."""

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> Any:
        """Calibrates the scores on the space, outside the budget; `progress` is called with (done, wanted)."""

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterable[Evaluation]:
        """Returns one evaluation for each (key, genotype) pair, in order, as they become ready.

        Measuring may begin at once, so that other pairs can be given before these are ready.
        """

    def check_whole(self) -> None:
        """Checks that every architecture of the space can be evaluated, as far as this is known without measuring.

        Raises:
            ConfigError: At the first architecture that cannot be evaluated.
        """

    def facts(self) -> dict[str, Any]:
        """Returns facts about the measurement for the report, as JSON data."""


@runtime_checkable
class Calibrated(Protocol):
    """Interface of an evaluator whose calibration may depend on this machine, because a network could not be measured on it.

    Attributes:
        calibrations: Results of the calibration by score.
        provisional: Names of the scores for which another network took the place of one that died or took too long here.
    """

    calibrations: dict[str, dict[str, float]]
    provisional: set[str]

    def recall(self, calibrations: Mapping[str, Mapping[str, float]]) -> None:
        """Takes the results of an earlier calibration instead of a new one."""


def keyed(evaluator: EvaluatorLike, genotypes: Iterable[Genotype]) -> list[tuple[str, Genotype]]:
    """Returns the (key, genotype) pairs that `EvaluatorLike.evaluate` takes."""
    return [(evaluator.key(genotype), genotype) for genotype in genotypes]


def evaluate(evaluator: EvaluatorLike, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
    """Gives (key, genotype) pairs to an evaluator at once; returns the evaluations, whose order is checked as they are read.

    Raises:
        RuntimeError: While reading, if the evaluator yields an evaluation of another pair, or too few of them.
    """
    return _checked(pairs, iter(evaluator.evaluate(pairs) if pairs else ()))


def _checked(pairs: Sequence[tuple[str, Genotype]], evaluations: Iterator[Evaluation]) -> Iterator[Evaluation]:
    for key, genotype in pairs:
        evaluation = next(evaluations, None)
        if evaluation is None or (evaluation.key, evaluation.genotype) != (key, genotype):
            raise RuntimeError(f"the evaluator was asked for {key!r} of {genotype}, but it gave {evaluation}")
        yield evaluation


def six_digits(value: float) -> float:
    """Rounds to 6 significant digits. Whole numbers are exact counts and stay unchanged."""
    return value if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")
