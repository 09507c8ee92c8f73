"""A family of networks of one run: so many sizes, spread over one cost, each the best of its part of the range.

divide the range of the cost into equal parts, those of the map if the run has one over it
in each part, the candidate of largest utility
of the parts that have a candidate, as many as asked for, evenly spread, the smallest and the largest among them
"""

from __future__ import annotations

import numpy as np

from rbflex_evo.engine.run.elite_map import costs_of
from rbflex_evo.engine.run.record import RunRecord
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import RunError, SearchSpace

# Equal parts of the range of a cost, unless the run has a map over it.
PARTS = 20


def family_of(run: RunRecord, view: ArchiveView, space: SearchSpace, count: int, over: str | None = None) -> list[Evaluation]:
    """Returns so many candidates of a run, the smallest first.

    Args:
        run: The run.
        view: All evaluations of the run.
        space: Search space of the run.
        count: Number of networks.
        over: Cost that they are spread over; by default the first measure of the run's map, or parameters without a map.

    Raises:
        RunError: If the run has candidates in fewer parts of the range.
        ConfigError: If the run did not count the cost.
    """
    best_first = view.best_first()
    known = None if run.outcome is None or run.outcome.map is None else run.outcome.map.axes
    over = over or (known[0].name if known else "params")
    axis = next((axis for axis in known or [] if axis.name == over), None)
    if not best_first:
        raise RunError(f"{run.folder} has nothing to export: no candidate has a score within the limits")
    costs = costs_of(best_first, space, over)
    low, high, parts = (costs.min(), costs.max(), PARTS) if axis is None else (axis.lower, axis.upper, axis.cells)
    parts = max(parts, count)
    span = high - low if high > low else 1.0
    part = np.clip((parts * (costs - low) / span).astype(np.int64), 0, parts - 1)
    # The first one in each part is the best one.
    filled, first = np.unique(part, return_index=True)
    if len(filled) < count:
        raise RunError(
            f"{run.folder} has candidates in {len(filled)} of {parts} parts of the range of {over}, but {count} were asked for; "
            f"ask for --family {len(filled)}"
        )
    chosen = first[np.round(np.linspace(0, len(filled) - 1, count)).astype(np.int64)]
    return [best_first[i] for i in chosen]
