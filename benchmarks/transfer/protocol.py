"""Presets by a protocol: chosen on all families but one and judged on that one, for every family in turn.

    criterion = mean + w * worst      over the families that choose, of their figures (see `judged`), w = 1 unless said otherwise

Every set of up to five scores is tried, with ranks added and with their logarithms added. Of the best sets of each choice, all
small whole weights are tried as well, if asked for. A choice reads only the figures of its own families, so that the figure on the
family that was left out is one of a preset that was chosen without it. Of equals, the one with fewer members is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from .judged import complete, finished
from .rank_sums import RankSums, Rule
from .stored import Transfer


@dataclass(frozen=True)
class Candidate:
    """A set of scores, its rule and its weights."""

    members: tuple[str, ...]
    rule: Rule = "linear"
    weights: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The set in words, such as ``log: layered + 2 flops``."""
        parts = [f"{w} {m}" if w > 1 else m for m, w in zip(self.members, self.factors, strict=True)]
        return self.members[0] if len(parts) == 1 else f"{self.rule}: {' + '.join(parts)}"

    @property
    def factors(self) -> tuple[int, ...]:
        """One weight for each member."""
        return self.weights or (1,) * len(self.members)


@dataclass(frozen=True)
class Held:
    """What was chosen without one family.

    Attributes:
        family: The family that was left out.
        candidate: The choice.
        criterion: Its criterion on the other families.
        figure: Its figure on the family.
    """

    family: str
    candidate: Candidate
    criterion: float
    figure: float


def criterion(figures: np.ndarray, worst: float = 1.0) -> np.ndarray:
    """Returns mean + worst * minimum over the last axis, the families."""
    found: np.ndarray = figures.mean(axis=-1) + worst * figures.min(axis=-1)
    return found


class Bench:
    """Figures of candidates in all families; each candidate is computed once.

    Args:
        transfer: Measured scores.
        families: Settings of each family.
        labels: Scores that candidates may have as members.
        networks: Largest number of networks of a setting; the first ones of the sample.
    """

    def __init__(self, transfer: Transfer, families: Mapping[str, Sequence[str]], labels: Sequence[str], networks: int) -> None:
        self.families = tuple(families)
        self.columns = {label: i for i, label in enumerate(labels)}
        at = [transfer.scores.index(label) for label in labels]
        self._sums: dict[str, dict[str, list[RankSums]]] = {}
        for family, settings in families.items():
            for name in settings:
                one = transfer.settings[name]
                kept = np.flatnonzero(complete(one))[:networks]
                sums = [RankSums(one.scores[seed][np.ix_(kept, at)], one.accuracies[:, kept]) for seed in finished(one)]
                self._sums.setdefault(family, {})[name] = sums
        self._known: dict[Candidate, np.ndarray] = {}

    def figures(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Returns the figures float64 [candidates, families]; where tau is undefined it counts as 0."""
        fresh = [candidate for candidate in dict.fromkeys(candidates) if candidate not in self._known]
        for rule in ("linear", "log"):
            of_rule = [candidate for candidate in fresh if candidate.rule == rule]
            if of_rule:
                self._known |= zip(of_rule, self._computed(of_rule, rule), strict=True)
        return np.array([self._known[candidate] for candidate in candidates]).reshape(len(candidates), len(self.families))

    def _computed(self, candidates: Sequence[Candidate], rule: Rule) -> np.ndarray:
        members = [[self.columns[label] for label in candidate.members] for candidate in candidates]
        weights = [candidate.factors for candidate in candidates]
        families = []
        for settings in self._sums.values():
            of_settings = [
                np.mean([np.nan_to_num(sums.taus(members, weights, rule)).mean(axis=1) for sums in seeds], axis=0)
                for seeds in settings.values()
            ]
            families.append(np.mean(of_settings, axis=0))
        return np.array(families).T


def every_set(labels: Sequence[str], members: int, rules: Iterable[Rule]) -> list[Candidate]:
    """Returns every set of up to so many scores under every rule, the smallest first. One score needs no rule."""
    found = [Candidate((label,)) for label in labels]
    for size in range(2, members + 1):
        found += [Candidate(chosen, rule) for chosen in combinations(labels, size) for rule in rules]
    return found


def weighted(candidate: Candidate, largest: int) -> list[Candidate]:
    """Returns the candidate with every other combination of whole weights up to `largest`, without common factors."""
    every = product(range(1, largest + 1), repeat=len(candidate.members))
    return [Candidate(candidate.members, candidate.rule, one) for one in every if math.gcd(*one) == 1 and set(one) != {1}]


def choose(
    bench: Bench,
    candidates: Sequence[Candidate],
    families: Sequence[str],
    *,
    worst: float = 1.0,
    weights: int = 1,
    refined: int = 50,
) -> list[tuple[Candidate, float]]:
    """Returns candidates with their criterion on these families, the best first. Figures of other families are not read.

    Args:
        bench: Figures of the candidates.
        candidates: What is chosen from.
        families: Families of the criterion.
        worst: Weight of the worst family.
        weights: Largest weight of a member; 1 for equal weights.
        refined: Number of the best candidates whose weights are tried.
    """
    found = _ranked(bench, candidates, families, worst)
    if weights > 1:
        further = [one for candidate, _ in found[:refined] for one in weighted(candidate, weights)]
        found = _ranked(bench, [*(candidate for candidate, _ in found), *further], families, worst)
    return found


def _ranked(bench: Bench, candidates: Sequence[Candidate], families: Sequence[str], worst: float) -> list[tuple[Candidate, float]]:
    at = [bench.families.index(family) for family in families]
    values = np.round(criterion(bench.figures(candidates)[:, at], worst), 12)
    sizes = [len(candidate.members) for candidate in candidates]
    return [(candidates[i], float(values[i])) for i in np.lexsort((sizes, -values))]


def leave_one_out(
    bench: Bench, candidates: Sequence[Candidate], *, worst: float = 1.0, weights: int = 1, refined: int = 50
) -> list[Held]:
    """Returns for every family what is chosen without it, and how that does on it."""
    found = []
    for family in bench.families:
        others = [other for other in bench.families if other != family]
        best, value = choose(bench, candidates, others, worst=worst, weights=weights, refined=refined)[0]
        figure = float(bench.figures([best])[0, bench.families.index(family)])
        found.append(Held(family, best, value, figure))
    return found
