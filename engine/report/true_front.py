"""The front of a run beside the true one, where a table knows all accuracies and costs can be computed fast.

    points      (accuracy, cost) of the architectures: of the table's within the limits, and of the members of the run's front
    reference   the median accuracy and the 95th percentile of the cost of the whole table
    ratio       the hypervolume of the run's points as a share of that of the table's

The search saw no accuracy. Its own objectives decide which architectures are on its front, and the table what they are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.run.record import RunRecord
from rbflex_evo.engine.run.result_document import notation_of
from rbflex_evo.fitness.costs.metric import CostSubject, Metric, create_metric, metric_type
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective import pareto
from rbflex_evo.fitness.objective.limited import WALKED
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import SearchSpace
from rbflex_evo.spaces.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Percentile of the costs that is the reference point.
WORST_COST = 95.0


@dataclass(frozen=True)
class TrueFront:
    """Fronts of accuracy and one cost.

    Attributes:
        metric: Name of the cost.
        unit: Unit of the cost.
        dataset: Data set of the accuracies.
        known: Accuracy and cost of the architectures of the table within the limits, float64 [n, 2].
        found: The same of the members of the run's front, float64 [m, 2].
        reference: Reference point, float64 [2].
    """

    metric: str
    unit: str
    dataset: str
    known: np.ndarray
    found: np.ndarray
    reference: np.ndarray

    @property
    def ratio(self) -> float:
        """Hypervolume of what was found as a share of that of the true front; NaN if the true front dominates nothing."""
        whole = volume(self.known, self.reference)
        return volume(self.found, self.reference) / whole if whole else float("nan")


def volume(points: np.ndarray, reference: np.ndarray) -> float:
    """Returns the hypervolume of (accuracy, cost) points, float64 [n, 2], above a reference point [2]."""
    signs = np.array([1.0, -1.0])
    return pareto.hypervolume(points * signs, reference * signs)


def true_fronts(run: RunRecord, space: SearchSpace, table: Table, members: Sequence[Evaluation]) -> list[TrueFront]:
    """Returns the fronts of each cost that the search minimised and that can be computed fast; none of a larger table.

    Args:
        run: The run.
        space: Search space of the run.
        table: Known accuracies.
        members: Members of the run's front.
    """
    named = run.metric_parameters.items()
    # No other metric is created: a page must not look for a device, or for the program of a command.
    walkable = {name: given for name, given in named if metric_type(name).walkable}
    metrics = {name: create_metric(name, space, values, where) for name, (values, where) in walkable.items()}
    minimised = [name for name in run.objective.minimised if name in metrics]
    if not minimised or len(table) > WALKED:
        return []
    accuracies = table.accuracies()
    limits = [limit for limit in run.constraints.limits if limit.metric in metrics]
    wanted = list(dict.fromkeys([*minimised, *(limit.metric for limit in limits)]))
    costs = {name: _costs(metrics[name], space, list(accuracies)) for name in wanted}
    inside = np.all([~np.isnan(costs[name]) for name in wanted], axis=0)
    for limit in limits:
        inside &= np.array([limit.violation(cost) == 0 for cost in costs[limit.metric]])
    values = np.array(list(accuracies.values()))
    found = [(table.accuracy(notation_of(space, member.genotype)), member) for member in members]
    return [
        TrueFront(
            metric=name,
            unit=metrics[name].unit,
            dataset=table.dataset,
            known=np.stack([values, costs[name]], axis=1)[inside],
            found=np.array([(accuracy, one.costs[name]) for accuracy, one in found if accuracy is not None]).reshape(-1, 2),
            reference=np.array([np.median(values), np.nanpercentile(costs[name], WORST_COST)]),
        )
        for name in minimised
    ]


def _costs(metric: Metric, space: SearchSpace, notations: Sequence[str]) -> np.ndarray:
    """Returns the cost of the network that is scored for each notation, float64 [n]; NaN if it has none."""
    known: dict[str, float] = {}
    for key in {space.key(space.parse(notation)) for notation in notations}:
        try:
            known[key] = metric.cost(CostSubject(space, space.representative(key)))
        except CandidateFailed:
            known[key] = float("nan")
    return np.array([known[space.key(space.parse(notation))] for notation in notations])


def draw_true_front(front: TrueFront) -> Figure:
    """Draws every architecture of the table within the limits, the true front, and the members of the run's front."""
    from matplotlib.ticker import EngFormatter

    figure, axes = plots.panel(f"accuracy and {front.metric}")
    axes.scatter(front.known[:, 1], front.known[:, 0], s=3, color=plots.GRID, linewidths=0, rasterized=True, label="known")
    best = front.known[pareto.fronts(front.known * np.array([1.0, -1.0])) == 0]
    best = best[np.argsort(best[:, 1], kind="stable")]
    axes.plot(best[:, 1], best[:, 0], color=plots.INK, linewidth=1.2, drawstyle="steps-post", label="true front")
    axes.plot(front.found[:, 1], front.found[:, 0], "o", color=plots.BLUE, markersize=4.5, label="front of this run")
    plots.stretch_axis(axes, np.concatenate([front.found[:, 0], best[:, 0]]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.locator_params(axis="x", nbins=5)
    plots.legend(axes, "lower right")
    unit = f", {front.unit}" if front.unit else ""
    return plots.label_axes(figure, axes, f"{front.metric}{unit} (← better)", plots.accuracy_name(front.dataset))
