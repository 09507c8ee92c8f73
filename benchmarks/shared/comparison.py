"""Comparison of our figure with the published one: their difference, and a sentence if they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rbflex_evo.engine.agreement.kendall import Statistic

# Two correlations of the same quantity, each from about 1,000 random networks, may differ by this much.
CLOSE = 0.05


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside a published one.

    Attributes:
        row, what: Name of the score, and which of its figures.
        ours: Our value with its 95 % interval.
        published: Published value; None if the paper has none.
        independent: The same figure from scores that others computed, if available.
    """

    row: str
    what: str
    ours: Statistic
    published: float | None
    independent: float | None = None

    @property
    def difference(self) -> float | None:
        return None if self.published is None or self.ours.value is None else self.ours.value - self.published

    @property
    def agrees(self) -> bool | None:
        """True if the published figure is in our interval, or as close as two draws are; None if it cannot be compared."""
        if self.difference is None or self.published is None:
            return None
        inside = self.ours.low is not None and self.ours.high is not None and self.ours.low <= self.published <= self.ours.high
        return inside or abs(self.difference) <= CLOSE

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.difference, "agrees": self.agrees}


def cells(comparison: Comparison) -> list[str]:
    """Returns the table's cells: ours with its interval, published, difference."""
    return [interval(comparison.ours), number(comparison.published), number(comparison.difference, "+.3f")]


def interval(one: Statistic) -> str:
    """Returns the value and its interval as text."""
    if one.value is None:
        return "undefined"
    return f"{one.value:.3f}" if one.low is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def number(value: float | None, form: str = ".3f") -> str:
    """Returns the number as text, or an empty string if it is None or NaN."""
    return "" if value is None or value != value else format(value, form)


def spread(values: np.ndarray) -> tuple[float, float]:
    """Returns mean and deviation over runs."""
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def pair(one: tuple[float, ...] | None) -> str:
    """Returns mean ± deviation as text."""
    return "" if one is None else f"{one[0]:.2f} ± {one[1]:.2f}"


def sentences(comparisons: Sequence[Comparison], reasons: dict[str, dict[str, str]]) -> list[str]:
    """Returns a sentence for each figure that disagrees with the published one.

    Args:
        reasons: Known reasons, by row and figure.
    """
    found = []
    for one in comparisons:
        if one.agrees is not False or one.published is None or one.ours.value is None:
            continue
        # A row such as "rbflex, published layers" differs for the reasons of its score.
        why = reasons.get(one.row.partition(",")[0], {}).get(one.what, "neither the paper nor our settings say why")
        others = ""
        if one.independent is not None:
            side = "us" if abs(one.independent - one.ours.value) < abs(one.independent - one.published) else "the paper"
            others = f" Scores computed by others give {one.independent:.3f}, closer to {side}."
        found.append(f"- {one.row}, {one.what}: {one.ours.value:.3f} here, {one.published:.3f} published: {why}.{others}")
    return found
