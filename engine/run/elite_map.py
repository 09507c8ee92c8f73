"""The map of a run: the best candidate in every cell of a grid over costs, of all that the run evaluated."""

from __future__ import annotations

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.grid import Grid
from rbflex_evo.spaces import ConfigError, SearchSpace
from rbflex_evo.strategies.map_elites import MapElitesParameters

from .result_document import MapAxis, MapCell, MapFacts, candidate_of

# Costs that the space counts if the run did not.
COUNTED = ("params", "flops")


def map_of(view: ArchiveView, space: SearchSpace, parameters: MapElitesParameters, warm: int = 0) -> MapFacts | None:
    """Returns the map of all evaluations of a run, by their current utilities; None if no candidate is usable.

    Args:
        view: All evaluations, in order.
        space: Search space of the run.
        parameters: Axes, reference, and number of the first evaluations that missing bounds are taken from.
        warm: Number of evaluations of a warm start, from which bounds are taken if they are more.

    Raises:
        ConfigError: If the run has no such cost, or ribs is not installed.
    """
    usable = {evaluation.key for evaluation in view.best_first()}
    told = [evaluation for evaluation in view.evaluations if evaluation.key in usable]
    if not told:
        return None
    sample = {evaluation.key for evaluation in view.evaluations[: max(parameters.initial, warm)]}
    costs = np.stack([costs_of(told, space, name) for name in parameters.measures], axis=1)
    first = np.array([evaluation.key in sample for evaluation in told])
    # A run whose first candidates all failed took the bounds of the first ones that did not.
    grid = Grid(parameters.axes(costs[first] if first.any() else costs))
    utilities = view.utility([evaluation.key for evaluation in told])
    reference, what = _reference(view, utilities, parameters.reference)
    found = grid.elites(utilities, costs, reference)
    return MapFacts(
        axes=[MapAxis(name=axis.name, lower=axis.lower, upper=axis.upper, cells=axis.cells) for axis in grid.axes],
        cells=[
            MapCell(
                place=place,
                candidate=candidate_of(told[i], space),
                utility=float(utilities[i]),
                costs=costs[i].tolist(),
            )
            for i, place in zip(found.positions.tolist(), grid.places_of(found.cells).tolist(), strict=True)
        ],
        coverage=found.coverage,
        qd_score=found.qd_score,
        reference=reference,
        reference_is=what,
    )


def costs_of(told: list[Evaluation], space: SearchSpace, name: str) -> np.ndarray:
    """Returns a cost of each evaluation, float64 [n]; the space counts parameters and multiply-accumulates that a run did not.

    Raises:
        ConfigError: If the run did not count the cost.
    """
    if all(name in evaluation.costs for evaluation in told):
        return np.array([evaluation.costs[name] for evaluation in told])
    if name not in COUNTED:
        raise ConfigError(f"the run did not count the cost {name!r}; params and flops are always known")
    return np.array([getattr(space.costs(evaluation.genotype), name) for evaluation in told])


def _reference(view: ArchiveView, utilities: np.ndarray, given: float | None) -> tuple[float, str]:
    if given is not None:
        return given, "given"
    if view.objective.rule == "score":
        return float(utilities.min()), "the lowest score of this run"
    return 0.0, "no utility at all, which is a share of ranks"
