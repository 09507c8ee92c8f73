"""What a report says about the map of a run of MAP-Elites: coverage, QD score, the map, and networks spread over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.figures.elite_map import draw_map, heat
from rbflex_evo.engine.run.elite_map import map_of
from rbflex_evo.engine.run.folder import find_run
from rbflex_evo.engine.run.record import RunRecord
from rbflex_evo.engine.run.result_document import MapFacts
from rbflex_evo.engine.terminal.wording import amount, significant
from rbflex_evo.fitness.objective.constraints import written
from rbflex_evo.fitness.objective.grid import check_ribs
from rbflex_evo.spaces import SearchSpace
from rbflex_evo.strategies.map_elites import MapElites, MapElitesParameters

from .limits import AddFigure

# Cells that are listed, spread over the first axis.
LISTED = 10


def elite_map(run: RunRecord, space: SearchSpace, add: AddFigure) -> dict[str, Any] | None:
    """Returns what the page says about the map, None of another strategy or without a usable candidate.

    Args:
        run: The run.
        space: Search space of the run.
        add: Adds a figure to the page.
    """
    named = run.config.get("strategy")
    if (named.get("name") if isinstance(named, Mapping) else named) != MapElites.name:
        return None
    check_ribs()
    facts = run.outcome.map if run.outcome else _so_far(run, space)
    if facts is None:
        return None
    names = [axis.name for axis in facts.axes]
    places = np.array([cell.place for cell in facts.cells])
    utilities = np.array([cell.utility for cell in facts.cells])
    table = heat(places, utilities, [axis.cells for axis in facts.axes])
    quantity = run.members[0] if run.objective.rule == "score" else "utility"
    return {
        "axes": [f"{axis.name} {amount(axis.lower)} to {amount(axis.upper)} in {axis.cells}" for axis in facts.axes],
        "filled": f"{len(facts.cells):,} of {int(np.prod([axis.cells for axis in facts.axes])):,}",
        "coverage": f"{100 * facts.coverage:.1f} %",
        "qd_score": significant(facts.qd_score),
        "reference": f"{significant(facts.reference)}, {facts.reference_is}",
        "figure": add(
            "map", draw_map(table, names, [(axis.lower, axis.upper) for axis in facts.axes], quantity), "Map of the elites"
        ),
        "names": names,
        "quantity": quantity,
        "rows": [
            (cell.candidate.notation, [written(cost) for cost in cell.costs], significant(cell.utility)) for cell in _spread(facts)
        ],
    }


def _so_far(run: RunRecord, space: SearchSpace) -> MapFacts | None:
    parts = Assembly(find_run(run.folder), space)
    parameters = parts.strategy_parameters
    assert isinstance(parameters, MapElitesParameters)
    view = run.view()
    return map_of(view, space, parameters, len(parts.config.warm_start))


def _spread(facts: MapFacts) -> list[Any]:
    """Returns the best cell of each part of the first axis, at most `LISTED` of them, evenly spread."""
    best: dict[int, Any] = {}
    for cell in facts.cells:
        if cell.place[0] not in best or cell.utility > best[cell.place[0]].utility:
            best[cell.place[0]] = cell
    parts = sorted(best)
    places = np.unique(np.linspace(0, len(parts) - 1, min(LISTED, len(parts))).astype(int))
    return [best[parts[i]] for i in places]
