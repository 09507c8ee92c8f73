"""What a report says about constraints and several objectives: the limits, the front, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.figures.front import FrontData, draw_front, draw_hypervolume, front_data
from rbflex_evo.engine.run.record import RunRecord
from rbflex_evo.engine.run.result_document import Candidate
from rbflex_evo.engine.terminal.wording import named
from rbflex_evo.fitness.evaluation import Evaluation, six_digits
from rbflex_evo.fitness.objective.constraints import Constraints, violation, written

from .true_front import TrueFront, draw_true_front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRONT_SHOWN = 40

AddFigure = Callable[[str, "Figure", str], Any]
"""Takes a name, a figure and a title, and returns what the page shows."""


def limits(run: RunRecord, best: Candidate | None) -> dict[str, Any] | None:
    """Returns what the page says about constraints, None of a run without any."""
    constraints = run.constraints
    if not constraints.limits:
        return None
    outside = [violation(constraints.limits, evaluation.costs) > 0 for evaluation in run.evaluations]
    return {
        "rows": [(str(limit), _cost(limit.metric, best)) for limit in constraints.limits],
        "rejecting": constraints.handling == "reject",
        "rejected": run.rejected,
        "infeasible": sum(outside),
        "within": sum(not (e.failed or out) for e, out in zip(run.evaluations, outside, strict=True)),
        "count": len(run.evaluations),
    }


def _cost(metric: str, best: Candidate | None) -> str:
    return written(best.costs[metric]) if best is not None and metric in best.costs else "–"


def front(
    run: RunRecord,
    row: Callable[[Evaluation], Mapping[str, Any]],
    draw: Callable[[Evaluation], Figure],
    add: AddFigure,
    true: Callable[[Sequence[Evaluation]], Sequence[TrueFront]] = lambda members: (),
) -> dict[str, Any] | None:
    """Returns what the page says about the front, None of a run with one objective or without a candidate.

    Args:
        run: The run.
        row: Makes a candidate's row of a table.
        draw: Draws a candidate's architecture.
        add: Adds a figure to the page.
        true: Returns the true fronts beside that of the given members, as far as they are known.
    """
    objective = run.objective
    constraints: Constraints = run.constraints
    if objective.rule != "pareto":
        return None
    data = front_data(run.view())
    if data.volumes is None:
        return None
    shown = data.positions[:FRONT_SHOWN]
    fronts = true([run.judged[place] for place in data.positions])
    return {
        "rows": [("knee" if place == data.knee else str(i), row(run.judged[place])) for i, place in enumerate(shown, 1)],
        "left_out": len(data.positions) - len(shown),
        "share": f"{100 * data.volumes.shares[-1]:.1f} %",
        "reference": named(data.reference_point),
        "given": objective.reference_point is not None,
        "figures": [
            *(add(f"front_{name}", figure, f"The front: {title}") for name, title, figure in _figures(data, constraints)),
            add("hypervolume", draw_hypervolume(data.volumes), "Hypervolume so far"),
        ],
        "true": [
            {
                "metric": one.metric,
                "ratio": f"{100 * one.ratio:.1f} %",
                "reference": f"{one.reference[0]:.2f} %, {written(six_digits(float(one.reference[1])))} {one.unit}".rstrip(),
                "figure": add(f"true_front_{one.metric}", draw_true_front(one), f"True front of {one.metric}"),
            }
            for one in fronts
        ],
        "drawings": [
            (f"best in {' and '.join(names)}", add(f"architecture_{names[0]}", draw(run.judged[place]), f"Best in {names[0]}"))
            for place, names in _extremes(data).items()
        ],
    }


def _extremes(data: FrontData) -> dict[int, list[str]]:
    """Returns the members of the front, the knee apart, that are best in an objective, and in which."""
    best: dict[int, list[str]] = {}
    for name, values in zip(data.members, (data.signs * data.values[data.positions]).T, strict=True):
        place = int(data.positions[np.argmax(values)])
        if place != data.knee:
            best.setdefault(place, []).append(name)
    return best


def _figures(data: FrontData, constraints: Constraints) -> list[tuple[str, str, Figure]]:
    """Draws the first maximised objective against each of the others, with the limits."""
    up = int(np.argmax(data.signs > 0))
    pairs = [(across, name) for across, name in enumerate(data.members) if across != up]
    return [
        (name, f"{data.members[up]} against {name}", draw_front(data, across, up, limits=constraints.limits))
        for across, name in pairs
    ]
