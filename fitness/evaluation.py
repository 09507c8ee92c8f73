"""What is known about one candidate: raw scores, failures and costs by name. Values only, no network, no tensor, no rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spaces import Genotype


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


def six_digits(value: float) -> float:
    """Rounds to 6 significant digits; whole numbers stay, since they are counts and right to the last digit."""
    return value if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")
