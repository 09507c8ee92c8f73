"""Bounds of a grid over costs that are proved: the smallest and the largest cost in the whole space, within the limits."""

from __future__ import annotations

from rbflex_evo.fitness.costs.metric import create_metric
from rbflex_evo.fitness.objective.constraints import Constraints
from rbflex_evo.fitness.optimum.prove import prove
from rbflex_evo.fitness.optimum.quantity import Goal, cost_quantity
from rbflex_evo.spaces import SearchSpace
from rbflex_evo.strategies.map_elites import MapElitesParameters


def with_proved_bounds(parameters: MapElitesParameters, space: SearchSpace, constraints: Constraints) -> MapElitesParameters:
    """Returns parameters whose missing bounds are the extremes of the space, cut to the limits.

    Args:
        parameters: Parameters of the strategy.
        space: Search space of the run.
        constraints: Constraints of the run.

    Raises:
        ConfigError: If an extreme cannot be proved; the message says why.
    """
    measures = {}
    limits = {limit.metric: limit for limit in constraints.limits}
    for name, measure in parameters.measures.items():
        quantity = cost_quantity(create_metric(name, space))
        bounds = {"min": measure.min, "max": measure.max}
        limit = limits.get(name)
        for side, maximised in (("min", False), ("max", True)):
            if bounds[side] is None:
                best = prove(space, [Goal(quantity, maximised)]).best
                assert best is not None
                bounds[side] = best.values[name]
        if limit is not None and limit.maximum is not None and measure.max is None:
            bounds["max"] = min(bounds["max"] or limit.maximum, limit.maximum)
        if limit is not None and limit.minimum is not None and measure.min is None:
            bounds["min"] = max(bounds["min"] or limit.minimum, limit.minimum)
        measures[name] = measure.model_copy(update=bounds)
    return parameters.model_copy(update={"measures": measures})
