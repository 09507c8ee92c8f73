"""Ranks and regrets of strategies over many searches, and the table of winners that `strategy: auto` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import rankdata

from rbflex_evo.strategies import Situation
from rbflex_evo.strategies.auto import Auto, Winner

# Spaces of at most this many genotypes are small.
SMALL = 50_000
# A class of spaces has winners of its own if it has at least as many spaces; else those of all spaces hold.
LEAST_SPACES = 2
# Half the width of a 95 % interval in standard errors.
NORMAL = 1.96


@dataclass(frozen=True)
class Row:
    """One search: the highest score that it found, or the hypervolume of its front."""

    space: str
    landscape: str
    objectives: int
    strategy: str
    budget: int
    seed: int
    value: float
    seconds: float

    def line(self) -> str:
        """Returns the row as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


@dataclass(frozen=True)
class Standing:
    """A strategy among all.

    Attributes:
        strategy: Name of the strategy.
        rank: Mean rank over all searches; 1 is the best.
        interval: 95 % interval of the mean rank.
        ranks: Mean rank by budget.
        regrets: Mean regret by budget, as a share of what separates a typical network from the best.
        behind: Mean difference of the rank from that of `auto`, with its 95 % interval; None for `auto`.
    """

    strategy: str
    rank: float
    interval: tuple[float, float]
    ranks: Mapping[int, float]
    regrets: Mapping[int, float]
    behind: tuple[float, float, float] | None


@dataclass(frozen=True)
class Comparison:
    """Strategies on the same landscapes, budgets and seeds, best mean rank first."""

    standings: Sequence[Standing]
    budgets: Sequence[int]
    landscapes: int
    seeds: int
    blocks: int
    raw: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Returns the comparison as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Scale:
    """What values of a landscape are worth.

    Attributes:
        typical: Value of a typical random network.
        best: Highest value of the whole space; None if it is unknown.
    """

    typical: float
    best: float | None


def compare(rows: Sequence[Row], own: Sequence[str], sizes: Mapping[str, int | None], scales: Mapping[str, Scale]) -> Comparison:
    """Returns the standings of all strategies and of `auto` over the seeds that are complete.

    Args:
        rows: Searches.
        own: Names of the strategies that `auto` may choose.
        sizes: Number of genotypes of each space; None if it is unknown.
        scales: What values are worth, by landscape.
    """
    rows = complete(rows)
    names = sorted({row.strategy for row in rows})
    values: dict[tuple[str, int, int], dict[str, float]] = {}
    spaces = {row.landscape: row.space for row in rows}
    for row in rows:
        values.setdefault((row.landscape, row.budget, row.seed), {})[row.strategy] = -np.inf if np.isnan(row.value) else row.value
    among = [row for row in rows if row.strategy in own]
    tables = {space: winners([row for row in among if row.space != space], sizes) for space in set(spaces.values())}
    objectives = rows[0].objectives
    for (landscape, budget, _), found in values.items():
        space = spaces[landscape]
        found[Auto.name] = found[chosen(tables[space] or winners(among, sizes), budget, sizes[space], objectives)]
    names = [Auto.name, *names]
    matrix = np.array([[found[name] for name in names] for found in values.values()])
    ranks = np.round(rankdata(-matrix, axis=1), 12)
    best = {
        landscape: scales[landscape].best
        if scales[landscape].best is not None
        else max(row.value for row in rows if row.landscape == landscape)
        for landscape in spaces
    }
    top = np.array([best[landscape] for landscape, _, _ in values])
    typical = np.array([scales[landscape].typical for landscape, _, _ in values])
    regrets = np.clip((top[:, None] - matrix) / (top - typical)[:, None], 0.0, None)
    budgets = np.array([budget for _, budget, _ in values])
    standings = []
    for i, name in enumerate(names):
        rank, low, high = _mean(ranks[:, i])
        standings.append(
            Standing(
                name,
                rank,
                (low, high),
                {int(b): float(ranks[budgets == b, i].mean()) for b in np.unique(budgets)},
                {int(b): float(regrets[budgets == b, i].mean()) for b in np.unique(budgets)},
                None if i == 0 else _mean(ranks[:, i] - ranks[:, 0]),
            )
        )
    raw = {
        landscape: {
            name: {int(b): float((top - matrix[:, i])[(budgets == b) & of].mean()) for b in np.unique(budgets)}
            for i, name in enumerate(names)
        }
        for landscape in spaces
        for of in [np.array([where == landscape for where, _, _ in values])]
    }
    seeds = len({row.seed for row in rows})
    ordered = sorted(standings, key=lambda standing: standing.rank)
    return Comparison(ordered, np.unique(budgets).tolist(), len(spaces), seeds, len(values), raw)


def complete(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows of the seeds in which every strategy searched every landscape at every budget.

    Raises:
        ValueError: If no seed is complete.
    """
    wanted = {(row.landscape, row.budget, row.strategy) for row in rows}
    there: dict[int, set[tuple[str, int, str]]] = {}
    for row in rows:
        there.setdefault(row.seed, set()).add((row.landscape, row.budget, row.strategy))
    whole = {seed for seed, found in there.items() if found == wanted}
    if not whole:
        raise ValueError("no seed is complete; give more --minutes")
    return [row for row in rows if row.seed in whole]


# By number of objectives, what `auto` takes as long as no other strategy is better for certain. Annealing had the lowest regret at
# 200 evaluations of nats_tss by published NASWOT before there was a table; NSGA-II is the field's usual choice for fronts.
HOLDERS = {1: "annealing", 2: "nsga2"}
# Searches below which no strategy is better for certain.
LEAST_SEARCHES = 10


def winners(rows: Sequence[Row], sizes: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """Returns the table of winners: rows as `strategies.auto.Winner` has them, the first that holds decides.

    The winner is that of `HOLDERS`, or the strategy of the lowest mean rank over all spaces and budgets if its ranks are lower with
    95 % confidence. In the same way, a class of spaces has a winner of its own at a budget: with few searches, the lowest of many
    means is mostly chance. A budget between two of the searches belongs to the nearer one on a logarithmic scale.
    """
    found: list[dict[str, Any]] = []
    for objectives in sorted({row.objectives for row in rows}, reverse=True):
        of = [row for row in rows if row.objectives == objectives]
        small = [row for row in of if _small(sizes[row.space])]
        large = [row for row in of if not _small(sizes[row.space])]
        enough = [len({row.space for row in part}) >= LEAST_SPACES for part in (small, large)]
        common = _best(of, HOLDERS.get(objectives))
        classes: list[tuple[int | None, list[Row]]] = [(SMALL, small)] if enough[0] else []
        classes.append((None, large if enough[1] else of))
        for size, part in classes:
            budgets = sorted({row.budget for row in part})
            for budget, following in zip(budgets, [*budgets[1:], None], strict=True):
                limit = None if following is None else int((budget * following) ** 0.5)
                best = _best([row for row in part if row.budget == budget], common)
                found.append({"evaluations": limit, "size": size, "objectives": objectives, "strategy": best})
    return found


def chosen(table: Sequence[Mapping[str, Any]], budget: int, size: int | None, objectives: int) -> str:
    """Returns the winner for a search."""
    situation = Situation.of(budget, size, objectives)
    return next(row.strategy for row in map(Winner.model_validate, table) if row.holds(situation))


def _small(size: int | None) -> bool:
    return size is not None and size <= SMALL


def _best(rows: Sequence[Row], unless: str | None = None) -> str:
    """Returns the strategy of the lowest mean rank, or `unless` if the ranks are not lower than its with 95 % confidence."""
    names = sorted({row.strategy for row in rows})
    values: dict[tuple[str, int, int], dict[str, float]] = {}
    for row in rows:
        values.setdefault((row.landscape, row.budget, row.seed), {})[row.strategy] = row.value
    matrix = np.array([[found[name] for name in names] for found in values.values() if len(found) == len(names)])
    ranks = rankdata(-np.nan_to_num(matrix, nan=-np.inf), axis=1)
    best = names[int(np.argmin(ranks.mean(axis=0)))]
    if unless is None or unless not in names:
        return best
    if len(ranks) < LEAST_SEARCHES:
        return unless
    _, low, _ = _mean(ranks[:, names.index(unless)] - ranks[:, names.index(best)])
    return best if low > 0 else unless


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    mean, error = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return mean, mean - NORMAL * error, mean + NORMAL * error
