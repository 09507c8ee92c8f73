"""The front of a search with several objectives: what nothing dominates, its knee, its hypervolume; as data, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.objective import pareto
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint

from . import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FrontData:
    """Everything about the front of one run.

    Attributes:
        members: the objectives' names.
        signs: float64 [objectives], 1 where a member is maximised, -1 where it is minimised.
        values: float64 [n, objectives] in the members' own units, in the order told; NaN where a candidate failed.
        feasible: bool [n], True of what neither failed nor breaks a constraint.
        positions: int64 [members of the front], the best in the first objective first.
        knee: the position that the search gives as its best, None without a front.
        volumes: the hypervolume against evaluations, None without a front.
    """

    members: tuple[str, ...]
    signs: np.ndarray
    values: np.ndarray
    feasible: np.ndarray
    positions: np.ndarray
    knee: int | None
    volumes: pareto.Volumes | None

    @property
    def reference_point(self) -> dict[str, float]:
        """The hypervolume's reference point in the members' own units."""
        return {} if self.volumes is None else self._in_units(self.volumes.reference)

    def _in_units(self, point: np.ndarray) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.members, self.signs * point, strict=True)}


def front_data(view: ArchiveView) -> FrontData:
    """Returns the front of a view whose objective is "pareto"."""
    keys = [evaluation.key for evaluation in view.evaluations]
    maximised = view.objectives(keys)
    feasible = ~np.isnan(maximised).any(axis=1) & (view.violations(keys) == 0)
    where = {key: position for position, key in enumerate(keys)}
    incumbent = view.incumbent()
    point = view.objective.reference_point
    signs = np.array(view.objective.signs)
    return FrontData(
        members=view.objective.members,
        signs=signs,
        values=signs * maximised,
        feasible=feasible,
        positions=np.array([where[evaluation.key] for evaluation in view.front()], dtype=np.int64),
        knee=None if incumbent is None else where[incumbent.key],
        volumes=pareto.volumes(np.where(feasible[:, None], maximised, np.nan), None if point is None else signs * np.array(point)),
    )


def draw_front(data: FrontData, across: int, up: int, axes: Axes | None = None, limits: Sequence[Constraint] = ()) -> Figure:
    """Draws one objective against another: all candidates, the infeasible ones apart, the front, its knee and the limits.

    Args:
        data: The front.
        across: Position of the objective along x.
        up: Position of the objective along y.
        axes: Axes to draw on; None for a new figure.
        limits: Limits of the search; those on one of the two objectives are drawn.
    """
    from matplotlib.ticker import EngFormatter

    figure, axes = plots.panel(f"{data.members[up]} and {data.members[across]}", axes)
    known = ~np.isnan(data.values).any(axis=1)
    for chosen, colour, marker, label in (
        (known & ~data.feasible, plots.ORANGE, "x", "infeasible"),
        (data.feasible, plots.MUTED, ".", "evaluated"),
    ):
        x, y = data.values[chosen, across], data.values[chosen, up]
        if len(x):
            many = len(x) > plots.RASTER_ABOVE
            axes.scatter(x, y, s=14, color=colour, marker=marker, alpha=0.4, linewidths=0.8, label=label, rasterized=many)
    front = data.values[data.positions]
    axes.plot(front[:, across], front[:, up], "o", color=plots.BLUE, markersize=4.5, label="front")
    if len(data.members) == 2:
        order = np.argsort(front[:, across], kind="stable")
        # A staircase: between two members of the front one gets no more than the worse of both.
        corner = "steps-post" if data.signs[across] * data.signs[up] < 0 else "steps-pre"
        axes.plot(front[order, across], front[order, up], color=plots.BLUE, linewidth=1.2, drawstyle=corner)
    if data.knee is not None:
        plots.mark_found(axes, data.values[data.knee, across], data.values[data.knee, up])
    _draw_limits(axes, limits, data.members[across], data.members[up])
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.locator_params(axis="x", nbins=5)
    plots.legend(axes, "lower right")
    arrows = ["→" if sign > 0 else "←" for sign in (data.signs[across], data.signs[up])]
    return plots.label_axes(
        figure, axes, f"{data.members[across]} ({arrows[0]} better)", f"{data.members[up]} ({arrows[1]} better)"
    )


def _draw_limits(axes: Axes, limits: Sequence[Constraint], across: str, up: str) -> None:
    """Draws a dashed line at each bound on one of two objectives, and shades what lies beyond it."""
    label: str | None = "limit"
    for limit in limits:
        for bound, sign in ((limit.minimum, -1.0), (limit.maximum, 1.0)):
            if bound is None or limit.metric not in (across, up):
                continue
            line, span, extent = (
                (axes.axvline, axes.axvspan, axes.get_xlim)
                if limit.metric == across
                else (axes.axhline, axes.axhspan, axes.get_ylim)
            )
            line(bound, color=plots.ORANGE, linewidth=1.2, linestyle=(0, (4, 2)), label=label, zorder=1)
            # Up to the edge of the panel, which then shows a strip beyond the limit.
            low, high = extent()
            edge = high if sign > 0 else low
            beyond = edge if sign * (edge - bound) > 0 else bound + sign * 0.04 * (high - low)
            span(*sorted((bound, beyond)), color=plots.ORANGE, alpha=0.08, linewidth=0, zorder=0)
            label = None


def draw_hypervolume(volumes: pareto.Volumes) -> Figure:
    """Draws the hypervolume after each evaluation, as a share of the box between the reference point and the ideal point."""
    figure, axes = plots.panel("Hypervolume so far")
    plots.stairs(axes, plots.Steps(volumes.counts.astype(np.float64), volumes.shares), color=plots.GREEN)
    axes.set_ylim(bottom=0)
    return plots.label_axes(figure, axes, "unique evaluations", "share of the box")
