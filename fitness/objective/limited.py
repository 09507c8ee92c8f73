"""View of a search with constraints that reject: strategies see a rejected candidate as a known candidate that failed.

    seen(key)     True if the key was evaluated, is in flight or is rejected; the first call for a key counts its costs
    utility       -inf for a rejected key; its objectives are NaN

Strategies therefore need no knowledge of constraints: a strategy that skips seen keys skips rejected candidates. Each rejected
key is noted once with its costs, and so is each admitted key whose costs differ between measurements. A resumed run starts with
these notes and counts no cost again. Many rejections in a row end the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype

from .archive import ArchiveView
from .constraints import Constraint, Constraints, violation, written

REJECTIONS = 1000
"""Number of rejected architectures in a row that ends a search, unless its space is enumerated."""

WALKED = 50_000
"""Largest number of genotypes of a space that is searched to its end, if its costs are counted quickly."""


@dataclass(frozen=True)
class Look:
    """Check of one architecture against the constraints: its key, its costs and whether it was admitted."""

    key: str
    costs: dict[str, float]
    failures: dict[str, str]
    admitted: bool


class SearchEnded(Exception):
    """Ends the search while a strategy looks for candidates; the message is the stop reason."""


class LimitedView:
    """View of strategies over an archive, with the constraints that reject.

    Args:
        archive: Archive of the evaluations.
        constraints: Constraints of the search; with the handling "deb" they reject nothing.
        book: Counts the costs.
        cap: Number of rejected architectures in a row that ends the search; None for no limit.
        note: Called with every look that must be saved for a resumed run.

    Attributes:
        in_flight: Keys of the batches that were asked for and are not told yet.
        noted: Number of looks that must be saved for a resumed run.
        in_a_row: Number of architectures rejected since the last one that was not.
    """

    def __init__(
        self,
        archive: ArchiveView,
        constraints: Constraints,
        book: CostBook,
        cap: int | None = REJECTIONS,
        note: Callable[[Look], None] = lambda look: None,
    ) -> None:
        self.archive = archive
        self.constraints = constraints
        self.in_flight: set[str] = set()
        self.noted = 0
        self.in_a_row = 0
        self._book, self._cap, self._note = book, cap, note
        # Fast and repeatable metrics come first, since a rejection saves the rest.
        self._limits: dict[str, Constraint] = {
            limit.metric: limit for limit in sorted(constraints.rejecting, key=lambda limit: _effort(book, limit))
        }
        self._repeatable = all(book.metrics[name].repeatable for name in self._limits)
        self._rejected: dict[str, Look] = {}
        self._lasting: set[str] = set()
        self._recorded: dict[str, Look] = {}

    @property
    def rejected(self) -> int:
        """Number of rejected architectures."""
        return len(self._rejected)

    def resume(self, looks: Sequence[Look], noted: int, in_a_row: int) -> None:
        """Restores the state of an earlier process.

        Args:
            looks: Looks in the order in which they were noted.
            noted: Number of looks that the strategy already knows; the others are used when it requests their keys again.
            in_a_row: Number of rejections in a row after the looks that the strategy knows.
        """
        for look in looks[:noted]:
            self._book.learn(look.key, look.costs, look.failures)
            self._keep(look)
        self._recorded = {look.key: look for look in looks[noted:]}
        self.noted, self.in_a_row = noted, in_a_row

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""
        return self.archive.key(genotype)

    def seen(self, key: str) -> bool:
        """Returns True if a key was evaluated in this run, is in flight or is rejected.

        Raises:
            SearchEnded: If too many architectures in a row were rejected.
        """
        return self.archive.seen(key) or key in self.in_flight or not self.admits(key)

    def admits(self, key: str) -> bool:
        """Returns True if a key satisfies all constraints that reject.

        Raises:
            SearchEnded: If too many architectures in a row were rejected.
        """
        if not self._limits:
            return True
        if key in self._rejected:
            return False
        recorded = self._recorded.pop(key, None)
        if recorded is not None:
            self._book.learn(key, recorded.costs, recorded.failures)
        costs, failures = self._book.look(key, list(self._limits), self._violates)
        admitted = not failures and violation(self.constraints.rejecting, costs) == 0
        self.in_a_row = 0 if admitted else self.in_a_row + 1
        if not admitted or (not self._repeatable and key not in self._lasting):
            look = Look(key, dict(costs), dict(failures), admitted)
            self.noted += 1
            self._keep(look)
            if recorded is None:
                self._note(look)
        if self._cap is not None and self.in_a_row >= self._cap:
            raise SearchEnded(self._why(f"{self.in_a_row:,} proposals in a row were rejected"))
        return admitted

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the utilities of the archive, float64 [len(keys)]; -inf for rejected keys."""
        known, positions = self._evaluated(keys)
        return _spread(self.archive.utility(known), positions, len(keys), -np.inf)

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the objectives of the archive, float64 [len(keys), objectives]; NaN for rejected keys."""
        known, positions = self._evaluated(keys)
        return _spread(self.archive.objectives(known), positions, len(keys), np.nan)

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the violations of the archive, float64 [len(keys)]; inf for rejected keys."""
        known, positions = self._evaluated(keys)
        return _spread(self.archive.violations(known), positions, len(keys), np.inf)

    def rejection(self, key: str, genotype: Genotype) -> Evaluation:
        """Returns the evaluation that a strategy receives if it proposes a rejected key."""
        look = self._rejected[key]
        broken = {name: f"{written(look.costs[name])} breaks {self._limits[name]}" for name in self._limits if name in look.costs}
        return Evaluation(genotype, key, {}, {**broken, **look.failures}, costs=look.costs)

    def exhausted(self) -> str | None:
        """Returns the reason why no candidate is left, or None if constraints are not the reason."""
        if not self._rejected:
            return None
        if len(self.archive):
            return (
                f"nothing left to try: every architecture that the strategy can reach was evaluated or, {self.rejected:,} of "
                f"them, rejected by {self.constraints}"
            )
        return self._why(f"all {self.rejected:,} that the strategy could find were rejected")

    def _keep(self, look: Look) -> None:
        if look.admitted:
            self._lasting.add(look.key)
        else:
            self._rejected[look.key] = look

    def _violates(self, name: str, cost: float) -> bool:
        return self._limits[name].violation(cost) > 0

    def _why(self, what: str) -> str:
        nearest = min(
            (look for look in self._rejected.values() if not look.failures),
            key=lambda look: violation(self.constraints.rejecting, look.costs),
            default=None,
        )
        had = "" if nearest is None else ", ".join(f"{name} {written(cost)}" for name, cost in nearest.costs.items())
        further = "further " if len(self.archive) or self.in_flight else ""
        known = f"; the nearest had {had}" if had else "; the costs of none of them are known"
        return f"no {further}architecture satisfies {self.constraints}: {what}{known}"

    def _evaluated(self, keys: Sequence[str]) -> tuple[Sequence[str], np.ndarray | None]:
        """Returns the keys that are not rejected and their positions; None if no key is rejected."""
        kept = [i for i, key in enumerate(keys) if key not in self._rejected] if self._rejected else range(len(keys))
        if len(kept) == len(keys):
            return keys, None
        return [keys[i] for i in kept], np.array(kept, dtype=np.intp)


def _spread(values: np.ndarray, positions: np.ndarray | None, length: int, other: float) -> np.ndarray:
    if positions is None:
        return values
    result = np.full((length, *values.shape[1:]), other)
    result[positions] = values
    return result


def _effort(book: CostBook, limit: Constraint) -> tuple[bool, bool]:
    metric = book.metrics[limit.metric]
    return not metric.repeatable, not metric.walkable


def cap_of(constraints: Constraints, book: CostBook, size: int | None) -> int | None:
    """Returns the number of rejections in a row that ends a search of `size` genotypes; None if it is searched to its end."""
    if constraints.rejections is not None:
        return constraints.rejections
    walkable = all(book.metrics[limit.metric].walkable for limit in constraints.rejecting)
    return None if walkable and size is not None and size <= WALKED else REJECTIONS
