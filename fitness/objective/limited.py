"""The view of a search whose constraints reject: what breaks one looks to a strategy like a known candidate that failed.

    seen(key)     True if it was evaluated or is rejected; the first question about a key counts its costs
    utility       -inf of a rejected key, objectives NaN

So strategies need not know of constraints: whoever skips what is seen is never handed a rejected candidate again. Every
rejected key is noted once, with its costs, and so is every one whose costs do not repeat when they are measured again; a run
that is taken up begins from those notes and counts nothing twice. Many rejections in a row end the search.
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
"""How many rejected architectures in a row end a search, unless its space is walked."""

WALKED = 50_000
"""The largest number of genotypes of a space that is walked to its end, where costs are quickly counted."""


@dataclass(frozen=True)
class Look:
    """One architecture that was looked at before it could be evaluated: its key, what was counted, and whether it was admitted."""

    key: str
    costs: dict[str, float]
    failures: dict[str, str]
    admitted: bool


class SearchEnded(Exception):
    """The search ends while a strategy looks for candidates; the message is the stop reason."""


class LimitedView:
    """The strategies' view over an archive, with the constraints that reject.

    Args:
        archive: of what was evaluated.
        constraints: those whose handling is "deb" let everything through.
        book: counts costs.
        cap: rejected architectures in a row that end the search, None for no cap.
        note: takes every look that must outlive the process.
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
        self.noted = 0
        self.in_a_row = 0
        self._book, self._cap, self._note = book, cap, note
        # What is counted quickly and for good first: it may save measuring the rest.
        self._limits: dict[str, Constraint] = {
            limit.metric: limit for limit in sorted(constraints.rejecting, key=lambda limit: _effort(book, limit))
        }
        self._repeatable = all(book.metrics[name].repeatable for name in self._limits)
        self._rejected: dict[str, Look] = {}
        self._lasting: set[str] = set()
        self._recorded: dict[str, Look] = {}

    @property
    def rejected(self) -> int:
        """How many architectures were rejected."""
        return len(self._rejected)

    def resume(self, looks: Sequence[Look], noted: int, in_a_row: int) -> None:
        """Takes up what an earlier process noted.

        Args:
            looks: in the order in which they were noted.
            noted: how many of them the strategy knows of; the others answer when it asks again.
            in_a_row: rejections since the last admitted one, after those.
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
        """True if that key was evaluated in this run, or is rejected.

        Raises:
            SearchEnded: if too many in a row were.
        """
        return self.archive.seen(key) or not self.admits(key)

    def admits(self, key: str) -> bool:
        """True unless that key breaks a constraint that rejects.

        Raises:
            SearchEnded: if it does, as too many in a row did before.
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
        """Returns float64 [len(keys)], as the archive, and -inf of a rejected key."""
        known, positions = self._evaluated(keys)
        return _spread(self.archive.utility(known), positions, len(keys), -np.inf)

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys), objectives], as the archive, and NaN of a rejected key."""
        known, positions = self._evaluated(keys)
        return _spread(self.archive.objectives(known), positions, len(keys), np.nan)

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        """Returns float64 [len(keys)], as the archive, and inf of a rejected key."""
        known, positions = self._evaluated(keys)
        return _spread(self.archive.violations(known), positions, len(keys), np.inf)

    def rejection(self, key: str, genotype: Genotype) -> Evaluation:
        """Returns what a strategy is told of a rejected key that it proposed all the same."""
        look = self._rejected[key]
        broken = {name: f"{written(look.costs[name])} breaks {self._limits[name]}" for name in self._limits if name in look.costs}
        return Evaluation(genotype, key, {}, {**broken, **look.failures}, costs=look.costs)

    def exhausted(self) -> str | None:
        """Returns why nothing is left to try, as far as constraints have to do with it."""
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
        further = "further " if len(self.archive) else ""
        known = f"; the nearest had {had}" if had else "; the costs of none of them are known"
        return f"no {further}architecture satisfies {self.constraints}: {what}{known}"

    def _evaluated(self, keys: Sequence[str]) -> tuple[Sequence[str], np.ndarray | None]:
        """Returns the keys that are not rejected, and where they stand; None for everywhere."""
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
    """Returns how many rejections in a row end a search of a space of `size` genotypes, None where it is walked to its end."""
    if constraints.rejections is not None:
        return constraints.rejections
    walkable = all(book.metrics[limit.metric].walkable for limit in constraints.rejecting)
    return None if walkable and size is not None and size <= WALKED else REJECTIONS
