"""The figures of a result, each drawn on given axes or on new ones of pyplot, so that a notebook shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.figures.candidates import draw_against, draw_ranks, ranks_of
from rbflex_evo.engine.figures.front import draw_front, front_data
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import ConfigError, RunError, SearchSpace
from rbflex_evo.spaces.errors import near_name

from .result_table import names_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED = ("params", "flops")
"""Costs that the space counts if the search did not."""


def scores_of(view: ArchiveView, name: str) -> np.ndarray:
    """Returns one raw score of each evaluation, float64 [n]; NaN if any score of the candidate failed.

    Raises:
        ConfigError: If the search has no such score.
    """
    known = names_in(evaluation.scores for evaluation in view.evaluations)
    if name not in known:
        raise ConfigError(f"the search has no score {name!r}{near_name(name, known)}")
    return np.array([math.nan if e.failed else e.scores.get(name, math.nan) for e in view.evaluations])


def members_of(view: ArchiveView) -> list[str]:
    """Returns the scores that the objective reads; all scores if it reads none.

    Raises:
        RunError: If no candidate has a score.
    """
    known = names_in(evaluation.scores for evaluation in view.evaluations if not evaluation.failed)
    if not known:
        raise RunError("there is nothing to draw: no candidate of the search has a score")
    return [name for name in view.objective.scores if name in known] or known


def progress(view: ArchiveView, score: str | None, ax: Axes | None, best: str | None) -> Axes:
    """Draws the best raw value of a score so far against the number of evaluations; see `Result.plot_progress`."""
    name = members_of(view)[0] if score is None else score
    values, found = scores_of(view, name), found_position(view, best)
    axes = axes_for(ax)
    plots.draw_best(plots.best_so_far(values), name, None if found is None else (found + 1.0, float(values[found])), axes)
    return axes


def score_against(view: ArchiveView, space: SearchSpace, score: str | None, cost: str, ax: Axes | None, best: str | None) -> Axes:
    """Draws a score against a cost; see `Result.plot_scores`."""
    name = members_of(view)[0] if score is None else score
    values, costs, found = scores_of(view, name), costs_of(view, space, cost), found_position(view, best)
    axes = axes_for(ax)
    draw_against(costs, values, (cost, name), None if found is None else (float(costs[found]), float(values[found])), axes)
    return axes


def costs_of(view: ArchiveView, space: SearchSpace, name: str) -> np.ndarray:
    """Returns one cost of each evaluation, float64 [n]; NaN where it is unknown.

    This is the cost that the search counted, or a score of that name, or what the space counts for `COUNTED`.

    Raises:
        ConfigError: If it is none of these.
    """
    told = view.evaluations
    for values in ([e.costs for e in told], [e.scores for e in told]):
        if name in names_in(values):
            return np.array([each.get(name, math.nan) for each in values])
    if name not in COUNTED:
        known = {*names_in(e.costs for e in told), *names_in(e.scores for e in told), *COUNTED}
        raise ConfigError(f"the search has no cost {name!r}{near_name(name, known)}")
    return np.array([getattr(space.costs(evaluation.genotype), name) for evaluation in told])


def front(view: ArchiveView, across: str | None, up: str | None, ax: Axes | None) -> Axes:
    """Draws two objectives with the front; see `Result.plot_front`."""
    data = front_data(view)
    first = int(np.argmax(data.signs > 0))
    high = first if up is None else _member(data.members, up)
    other = next(place for place in range(len(data.members)) if place != high)
    wide = other if across is None else _member(data.members, across)
    axes = axes_for(ax)
    draw_front(data, wide, high, axes)
    return axes


def _member(members: tuple[str, ...], name: str) -> int:
    if name not in members:
        raise ConfigError(f"the search has no objective {name!r}{near_name(name, members)}")
    return members.index(name)


def ranks(view: ArchiveView, top: int, ax: Axes | None) -> Axes:
    """Draws the ranks of the best candidates in each score; see `Result.plot_ranks`."""
    names = members_of(view)
    where = {evaluation.key: position for position, evaluation in enumerate(view.evaluations)}
    best = [where[evaluation.key] for evaluation in view.best_first()[: max(1, top)]]
    if not best:
        raise RunError("there is nothing to draw: no candidate of the search is within the limits")
    scores = np.stack([scores_of(view, name) for name in names], axis=1)
    axes = axes_for(ax)
    draw_ranks(ranks_of(scores, best), int(np.isfinite(scores).all(axis=1).sum()), names, axes)
    return axes


def found_position(view: ArchiveView, best: str | None) -> int | None:
    """Returns the position of the evaluation whose key is `best`, or None if that is None."""
    return None if best is None else next(i for i, e in enumerate(view.evaluations) if e.key == best)


def axes_for(ax: Axes | None) -> Axes:
    """Returns the given axes, or those of a new figure of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=plots.PANEL_INCHES, facecolor=plots.PAPER, layout="constrained")[1]
