"""Archive of a run: all evaluations by key and their current utility, as strategies view them."""

from __future__ import annotations

import copy
import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype

from . import pareto
from .constraints import Constraint, deb_utilities, violation
from .objective import RANK, Objective
from .ranks import Ranks

# Strategy and loop request the key of a genotype shortly after each other; the cache holds a batch, not a run.
KEYS_REMEMBERED = 4096


class ArchiveView:
    """View of all evaluations of a run by key, in the order in which they were added, with their current utility.

    Args:
        objective: How scores become a utility.
        key_of: Returns the canonical key of a genotype.
        constraints: Constraints that Deb's rules order candidates by. A candidate that breaks one is infeasible and in no
            reference set.
    """

    def __init__(self, objective: Objective, key_of: Callable[[Genotype], str], constraints: Sequence[Constraint] = ()) -> None:
        self.objective = objective
        self.constraints = tuple(constraints)
        self._key_of: Callable[[Genotype], str] = lru_cache(KEYS_REMEMBERED)(key_of)
        self._evaluations: list[Evaluation] = []
        self._positions: dict[str, int] = {}
        # Values of the members, one evaluation after another; NaN if the evaluation failed.
        self._values = array("d")
        self._violations = array("d")
        self._front = pareto.Front(len(objective.members))
        self._ranked = objective.ranks
        self._archive = Ranks(0 if self._ranked is None else len(self._ranked.members))
        self._sample: Ranks | None = None

    @classmethod
    def of(
        cls,
        objective: Objective,
        evaluations: Iterable[Evaluation],
        references: Iterable[Evaluation] = (),
        constraints: Sequence[Constraint] = (),
    ) -> ArchiveView:
        """Returns the view at the end of a run, which knows keys only and not those of new genotypes.

        Args:
            objective: How scores become a utility.
            evaluations: All evaluations of the run, in order.
            references: Evaluations of the reference sample; used if the objective's reference is "sample".
            constraints: Constraints that Deb's rules order candidates by.
        """
        view = cls(objective, str, constraints)
        for evaluation in evaluations:
            view.add(evaluation)
        if objective.reference == "sample" and len(view):
            view.set_reference(references)
        return view

    @classmethod
    def among(cls, objective: Objective, evaluations: Iterable[Evaluation], constraints: Sequence[Constraint] = ()) -> ArchiveView:
        """Returns the view of a closed group of candidates, whose ranks are taken among themselves."""
        return cls.of(replace(objective, reference="archive"), evaluations, (), constraints)

    def closed(self) -> ArchiveView:
        """Returns the view at the end of a run, which knows keys only: it holds no evaluator, and nothing may be added to it."""
        view = copy.copy(self)
        view._key_of = str
        return view

    def __len__(self) -> int:
        return len(self._evaluations)

    @property
    def evaluations(self) -> list[Evaluation]:
        """All evaluations, in the order in which they were added."""
        return list(self._evaluations)

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype."""
        return self._key_of(genotype)

    def seen(self, key: str) -> bool:
        """Returns True if a key was evaluated in this run."""
        return key in self._positions

    def get(self, key: str) -> Evaluation:
        """Returns the evaluation of a key.

        Raises:
            LookupError: If the key was not evaluated.
        """
        if key not in self._positions:
            raise _not_evaluated(key)
        return self._evaluations[self._positions[key]]

    def add(self, evaluation: Evaluation) -> bool:
        """Adds an evaluation; returns False and changes nothing if its key is already known.

        Raises:
            ValueError: If a member of the objective or a constraint has neither a finite value nor a failure.
        """
        if evaluation.key in self._positions:
            return False
        values, broken = self.objective.values(evaluation), self._violation(evaluation)
        if broken == math.inf:
            values = None
        position = len(self._evaluations)
        self._positions[evaluation.key] = position
        self._evaluations.append(evaluation)
        self._values.extend((math.nan,) * self.objective.width if values is None else values)
        self._violations.append(broken)
        if values is None or broken > 0:
            return True
        if self._ranked is not None and self.objective.reference == "archive":
            self._archive.add(values[: len(self._ranked.members)])
        if self.objective.rule == "pareto" and self._ranked is None:
            self._front.add(position, np.array(values))
        return True

    def _violation(self, evaluation: Evaluation) -> float:
        """Returns the total violation of the constraints; inf if a cost failed."""
        names = [constraint.metric for constraint in self.constraints]
        if any(name in evaluation.failures for name in names):
            return math.inf
        for name in names:
            if name not in evaluation.costs:
                raise ValueError(f"evaluation of key {evaluation.key!r} must have a cost or a failure for {name!r}")
        return violation(self.constraints, evaluation.costs)

    def set_reference(self, evaluations: Iterable[Evaluation]) -> None:
        """Sets the evaluations that the reference "sample" ranks against, without those that failed.

        Raises:
            ConfigError: If all of them failed.
        """
        ranked = self._ranked or self.objective
        rows = [values for values in map(ranked.values, evaluations) if values is not None]
        if not rows:
            raise ConfigError("no candidate of the reference sample could be scored; enlarge 'sample' or use 'reference: archive'")
        self._sample = Ranks(len(ranked.members), rows)

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the current utility of each key, float64 [len(keys)]; -inf if it failed.

        Utilities are comparable within one call only.

        Raises:
            LookupError: If a key was not evaluated.
            RuntimeError: If the reference is "sample" and `set_reference` was not called.
        """
        return self._utility(self._positions_of(keys))

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the objectives of each key, float64 [len(keys), objectives]; higher is better, NaN if the key failed.

        These are the members of a "pareto" objective with costs negated, otherwise the utility. They are comparable within
        one call only.

        Raises:
            LookupError: If a key was not evaluated.
            RuntimeError: If the reference is "sample" and `set_reference` was not called.
        """
        positions = self._positions_of(keys)
        if self.objective.rule == "pareto":
            return self._axes(self._rows(positions))
        utilities = self._utility(positions)
        return np.where(np.isneginf(utilities), np.nan, utilities)[:, None]

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the total violation of each key, float64 [len(keys)]: 0 if it is feasible, inf if a cost is unknown.

        Raises:
            LookupError: If a key was not evaluated.
        """
        return np.frombuffer(self._violations)[self._positions_of(keys)] if len(keys) else np.empty(0)

    def ranking(self) -> list[str]:
        """Returns all keys, best first: feasible before infeasible, failed last, ties in the order in which they were added.

        With several objectives, the order is front by front, each from its knee on.
        """
        return [self._evaluations[i].key for i in self._order()]

    def best_first(self) -> list[Evaluation]:
        """Returns the feasible evaluations that did not fail, in the order of `ranking`."""
        usable = self._usable(np.arange(len(self)))
        return [self._evaluations[i] for i in self._order() if usable[i]]

    def incumbent(self) -> Evaluation | None:
        """Returns the best feasible evaluation, the earliest in case of ties, or None if there is none.

        With several objectives, this is the knee of the front: the evaluation nearest to the best value of every objective,
        each scaled to the range of the front.
        """
        if self.objective.rule == "pareto":
            front, rows = self._front_now()
            return self._evaluations[front[pareto.by_front(rows)[0]]] if front else None
        positions = np.arange(len(self))
        utilities = np.where(self._usable(positions), self._utility(positions), -np.inf)
        if not len(utilities) or np.isneginf(utilities.max()):
            return None
        return self._evaluations[int(np.argmax(utilities))]

    def front(self) -> list[Evaluation]:
        """Returns the feasible evaluations that no other evaluation dominates, best in the first objective first.

        Raises:
            RuntimeError: If the objective is not "pareto".
        """
        if self.objective.rule != "pareto":
            raise RuntimeError("front() was called, but the objective has no several members to trade off; set 'pareto'")
        front, rows = self._front_now()
        order = np.argsort(-rows[:, 0], kind="stable")
        return [self._evaluations[front[i]] for i in order]

    def _front_now(self) -> tuple[list[int], np.ndarray]:
        """Returns the positions and the objectives of the front."""
        if self._ranked is None:
            return self._front.positions, self._front.rows
        # Every evaluation moves the ranks of all others, so the front is no longer what it was.
        usable = np.flatnonzero(self._usable(np.arange(len(self))))
        rows = self._axes(self._rows(usable))
        first = pareto.fronts(rows) == 0
        return usable[first].tolist(), rows[first]

    def _positions_of(self, keys: Sequence[str]) -> np.ndarray:
        try:
            return np.array([self._positions[key] for key in keys], dtype=np.intp)
        except KeyError as unknown:
            raise _not_evaluated(unknown.args[0]) from None

    def _rows(self, positions: np.ndarray) -> np.ndarray:
        """Returns the values of `Objective.values`, float64 [n, width]."""
        return np.asarray(np.frombuffer(self._values).reshape(-1, self.objective.width)[positions])

    def _axes(self, rows: np.ndarray) -> np.ndarray:
        """Returns the several objectives of rows of values, float64 [n, members]."""
        if self._ranked is None:
            return rows
        members, ranked = self.objective.members, len(self._ranked.members)
        result = np.empty((len(rows), len(members)))
        place = members.index(RANK)
        alive = ~np.isnan(rows[:, 0])
        result[:, place] = np.nan
        if alive.any():
            result[alive, place] = self._combine(self._shares(rows[alive, :ranked]))
        result[:, [i for i in range(len(members)) if i != place]] = rows[:, ranked:]
        return result

    def _usable(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(~np.isnan(self._rows(positions)[:, 0]) & (np.frombuffer(self._violations)[positions] == 0))

    def _order(self) -> np.ndarray:
        positions = np.arange(len(self))
        if self.objective.rule != "pareto" or not len(positions):
            return np.argsort(-self._utility(positions), kind="stable")
        usable = self._usable(positions)
        order = np.flatnonzero(usable)[pareto.by_front(self._axes(self._rows(positions[usable])))]
        rest = np.flatnonzero(~usable)
        return np.concatenate([order, rest[np.argsort(-self._utility(rest), kind="stable")]])

    def _utility(self, positions: np.ndarray) -> np.ndarray:
        result = np.full(len(positions), -np.inf)
        if not len(positions):
            return result
        rows = self._rows(positions)
        alive = ~np.isnan(rows[:, 0])
        broken = np.frombuffer(self._violations)[positions]
        feasible = alive & (broken == 0)
        if feasible.any():
            result[feasible] = self._worth(rows[feasible], positions[feasible])
        if self.constraints and alive.any():
            result[alive] = deb_utilities(result[alive], broken[alive], bounded=self.objective.rule != "score")
        return result

    def _worth(self, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        if self.objective.rule == "score":
            return rows[:, 0]
        if self.objective.rule == "pareto":
            return pareto.utilities(self._axes(rows))
        if self.objective.reference == "generation":
            _, first = np.unique(positions, return_index=True)
            less, upto = Ranks(rows.shape[1], rows[first]).counts(rows)
            return self._combine((less + upto + 1) / (2 * len(first)))
        return self._combine(self._shares(rows))

    def _shares(self, rows: np.ndarray) -> np.ndarray:
        """Returns the ranks of scores as shares of the reference set, float64 [n, members]."""
        if self.objective.reference == "sample":
            if self._sample is None:
                raise RuntimeError("utility() with 'reference: sample' was called before set_reference().")
            less, upto = self._sample.counts(rows)
            return np.asarray((less + upto + 2) / (2 * (len(self._sample) + 1)))
        less, upto = self._archive.counts(rows)
        # The set is empty while every candidate is infeasible.
        return np.asarray((less + upto + 1) / (2 * max(len(self._archive), 1)))

    def _combine(self, shares: np.ndarray) -> np.ndarray:
        assert self._ranked is not None
        weights = np.array(self._ranked.weights)
        terms = np.log(shares) if self._ranked.rule == "log" else shares
        mean = (terms * weights).sum(axis=1) / weights.sum()
        return np.asarray(np.round(np.exp(mean) if self._ranked.rule == "log" else mean, 12))


def _not_evaluated(key: str) -> LookupError:
    return LookupError(f"key {key!r} was not evaluated in this run; ask seen() first")
