"""One candidate's raw scores, failures and costs, and the interface of what measures them. No network, no tensor, no rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rbflex_evo.spaces import Genotype


@dataclass(frozen=True)
class Evaluation:
    """One scored candidate.

    Attributes:
        genotype: the genotype that was asked for.
        key: the canonical name of its architecture; a budget counts keys.
        scores: raw score by proxy name, higher is better, rounded to 6 significant digits so that every decision
            is the same on machines that differ in the last bits.
        failures: reason by proxy or metric name; a score that failed is here and not in `scores`.
        seconds: what it took to measure, 0 when the statistics came from the cache.
        costs: by metric name, lower is better; those alone that a constraint or the objective names.
    """

    genotype: Genotype
    key: str
    scores: Mapping[str, float]
    failures: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True if any score failed; such a candidate ranks below every other."""
        return bool(self.failures)

    @property
    def reason(self) -> str | None:
        """Why it failed, as one line, or None."""
        return "; ".join(f"{name}: {why}" for name, why in self.failures.items()) or None


class EvaluatorLike(Protocol):
    """What a search needs of an evaluator; `rbflex_evo.fitness.measuring.evaluator.Evaluator` is one."""

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> Any:
        """Finds out, outside the budget, what scores need to know of the space; `progress` takes (done, wanted)."""

    def evaluate(self, genotypes: Sequence[Genotype]) -> Iterable[Evaluation]:
        """Yields one evaluation a genotype, in their order, as they become ready."""

    def check_whole(self) -> None:
        """Makes sure that every architecture of the space can be evaluated, as far as that is known without measuring.

        Raises:
            ConfigError: naming the first one that cannot.
        """

    def facts(self) -> dict[str, Any]:
        """Returns what the report should say about the measuring, as JSON data."""


def evaluate(evaluator: EvaluatorLike, asked: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
    """Yields the evaluations of (key, genotype) pairs, in their order.

    Raises:
        RuntimeError: if the evaluator yields something else than it was asked for.
    """
    if not asked:
        return
    evaluations = iter(evaluator.evaluate([genotype for _, genotype in asked]))
    for key, genotype in asked:
        evaluation = next(evaluations, None)
        if evaluation is None or evaluation.key != key or evaluation.genotype != genotype:
            raise RuntimeError(f"the evaluator was asked for {key!r} of {genotype}, but it gave {evaluation}")
        yield evaluation


def six_digits(value: float) -> float:
    """Rounds to 6 significant digits; whole numbers stay, since they are counts and right to the last digit."""
    return value if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")
