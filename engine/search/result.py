"""The result of a search: the best candidates, why it ended, and the document in the run's folder."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbflex_evo.engine.figures.front import front_data
from rbflex_evo.engine.run.elite_map import map_of
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.result_document import (
    Candidate,
    FrontFacts,
    MapFacts,
    ResultDocument,
    TableFacts,
    candidate_of,
)
from rbflex_evo.engine.terminal.wording import counted
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, RunError, SearchSpace, parse
from rbflex_evo.spaces.errors import shown
from rbflex_evo.strategies.map_elites import MapElitesParameters

from . import result_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from torch import nn

    from rbflex_evo.engine.export.export import Exported
    from rbflex_evo.spaces.tables.table import Table

TOP = 10


@dataclass(frozen=True, repr=False)
class Result:
    """A finished search.

    A notebook shows it as the found architecture, its scores and ranks, its drawing and the curves of the search.

    Attributes:
        folder: Folder of the run.
        space: Search space of the run.
        view: All evaluations of the run, in order.
        found: Content of result.json.
        weights: How the networks' weights are drawn.
        full: The rescored candidates in full, if the search scored in a cheaper form; the best ones are chosen among them.
    """

    folder: Path
    space: SearchSpace
    view: ArchiveView
    found: ResultDocument
    weights: WeightParameters = field(default_factory=WeightParameters)
    full: ArchiveView | None = None

    def __repr__(self) -> str:
        best = self.best or why_nothing(self.found)
        rescored = "" if self.full is None else f", {len(self.full)} of them again in full"
        return f"<Result {self.folder}: {best}, {counted(len(self.view), 'evaluation')}{rescored}>"

    def _repr_html_(self) -> str:
        from .result_page import result_page

        return result_page(self.folder, self.space, self.view, self.found, self.best, self.full)

    @property
    def judged(self) -> ArchiveView:
        """The candidates among which the best ones are chosen: the rescored ones in full if there are any, otherwise all."""
        return self.view if self.full is None else self.full

    @cached_property
    def ranked(self) -> Sequence[Evaluation]:
        """Every candidate of `judged` that neither failed nor is infeasible, best first."""
        return self.judged.best_first()

    @property
    def best(self) -> Candidate | None:
        """The best candidate, the front's knee where there are several objectives; None if nothing succeeded within the limits."""
        return next(iter(self.top(1)), None)

    def top(self, n: int = TOP) -> list[Candidate]:
        """Returns the `n` best candidates, best first."""
        return [candidate_of(evaluation, self.space) for evaluation in self.ranked[: max(0, _whole(n, "n"))]]

    def front(self) -> list[Candidate]:
        """Returns the feasible candidates that no other dominates, the best in the first objective first.

        Raises:
            RunError: if the search had one objective.
        """
        self._check_front()
        return [candidate_of(evaluation, self.space) for evaluation in self.judged.front()]

    def network(self) -> nn.Module:
        """Builds the best network as its benchmark counts it, with untrained weights drawn like the scored ones.

        Raises:
            RunError: if nothing succeeded within the limits.
        """
        if self.best is None:
            raise RunError(f"{self.folder} has no network: every candidate failed or breaks the constraints")
        return build_initialised(self.space, self.best.genotype, self.weights)

    def export(
        self,
        top: int | None = None,
        into: str | Path | None = None,
        *,
        family: int | None = None,
        over: str | None = None,
        classes: int | None = None,
        program: bool = False,
        onnx: bool = False,
        replace: bool = False,
    ) -> list[Exported]:
        """Writes the best network, the front, the `top` best ones or a family into folders; see `export.export_run`."""
        from rbflex_evo.engine.export.export import export_run

        return export_run(
            self.folder,
            top=top,
            family=family,
            over=over,
            into=into,
            classes=classes,
            program=program,
            onnx=onnx,
            replace=replace,
            space=self.space,
            quiet=True,
        )

    def map(
        self, measures: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None, reference: float | None = None
    ) -> MapFacts:
        """Returns the best candidate in every cell of a grid over costs, of all evaluations; needs the extra ``ribs``.

        Args:
            measures: Costs, or bounds and numbers of cells by cost as in ``{"flops": {"max": 6e8, "cells": 30}}``. By default those
                of the strategy, if it was ``map_elites``, otherwise parameters and multiply-accumulates.
            reference: Utility that counts nothing for the QD score; by default the lowest score of the search, or 0 for ranks.

        Raises:
            ConfigError: If the search has no such cost, or ribs is not installed.
            RunError: If no candidate is within the limits.
        """
        if measures is None and reference is None and self.found.map is not None:
            return self.found.map
        if measures is None and self.found.map is not None:
            measures = {axis.name: {"min": axis.lower, "max": axis.upper, "cells": axis.cells} for axis in self.found.map.axes}
        given = {"params": {}, "flops": {}} if measures is None else measures
        axes = given if isinstance(given, Mapping) else {name: {} for name in given}
        # Missing bounds are those of all evaluations.
        values = {"measures": axes, "reference": reference, "initial": max(1, len(self.view))}
        found = map_of(self.view, self.space, parse(MapElitesParameters, values, "map"))
        if found is None:
            raise RunError(f"{self.folder} has no map: {why_nothing(self.found)}")
        return found

    def to_dataframe(self) -> pd.DataFrame:
        """Returns every evaluation as a row of a pandas frame, in the order of evaluation; needs the extra ``dataframe``.

        The index is the number of the evaluation, from 1. The columns are the rank (1 is the best; missing if the candidate failed
        or breaks a limit), the status ("scored", "failed", "infeasible"), notation, genotype, with several objectives whether the
        candidate is on the front, each score and each cost by name (a cost whose name is taken is NAME_cost), the seconds of the
        measurement and the reason of a failure. If the search scored in a cheaper form, rank and scores are those of this form, and
        rank_full and NAME_full are those in full of the candidates that were scored again.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return result_table.frame_of(result_table.columns_of(self.view, self.space, self.full))

    def to_csv(self, path: str | Path) -> None:
        """Writes the columns of `to_dataframe` as CSV, without pandas.

        Raises:
            RunError: If the file cannot be written.
        """
        replace_text(Path(path), result_table.csv_text(result_table.columns_of(self.view, self.space, self.full)))

    def plot_progress(self, score: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draws the best raw value of a score so far against the number of unique evaluations; a diamond is the found architecture.

        Args:
            score: Name of the score; by default the first one that the objective reads.
            ax: Axes to draw on; by default those of a new pyplot figure, which a notebook shows.

        Raises:
            ConfigError: If the search has no such score.
            RunError: If no candidate has a score.
        """
        from . import result_plots

        return result_plots.progress(self.view, score, ax, self._found_key)

    def plot_scores(self, cost: str = "params", score: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draws a score of every candidate against a cost; a diamond is the found architecture.

        Args:
            cost: Name of a cost that the search counted, or of another score. ``params`` and ``flops`` always work: if the search
                did not count them, they are counted now, as the space counts the raw networks.
            score: Name of the score; by default the first one that the objective reads.
            ax: Axes to draw on; by default those of a new pyplot figure, which a notebook shows.

        Raises:
            ConfigError: If the search has no such score or cost.
            RunError: If no candidate has a score.
        """
        from . import result_plots

        return result_plots.score_against(self.view, self.space, score, cost, ax, self._found_key)

    def plot_front(self, across: str | None = None, up: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draws two objectives of every candidate with the front and its knee.

        Args:
            across: Name of the objective along x; by default the first other one.
            up: Name of the objective along y; by default the first one that is maximised.
            ax: Axes to draw on; by default those of a new pyplot figure, which a notebook shows.

        Raises:
            RunError: If the search had one objective.
            ConfigError: If the search has no such objective.
        """
        from . import result_plots

        self._check_front()
        return result_plots.front(self.judged, across, up, ax)

    def plot_ranks(self, top: int = TOP, *, ax: Axes | None = None) -> Axes:
        """Draws the rank of each of the `top` best candidates in each score that the objective reads, among all of the run.

        Args:
            top: How many candidates, best first.
            ax: Axes to draw on; by default those of a new pyplot figure, which a notebook shows.

        Raises:
            RunError: If no candidate is within the limits.
        """
        from . import result_plots

        return result_plots.ranks(self.judged, _whole(top, "top"), ax)

    @property
    def _found_key(self) -> str | None:
        return None if self.best is None else self.best.key

    def _check_front(self) -> None:
        if self.view.objective.rule != "pareto":
            raise RunError(f"{self.folder} has no front: its objective is one number; set fitness.objective.pareto")

    @property
    def document(self) -> dict[str, Any]:
        """Content of result.json as plain data."""
        return self.found.model_dump(mode="json")

    @property
    def stop_reason(self) -> str:
        """Why the search ended, as a sentence."""
        return self.found.stop_reason

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of unique, failed, proposed and known candidates, and of those rejected before they were evaluated."""
        return self.found.counts

    @property
    def table(self) -> TableFacts | None:
        """What the table of known accuracies says about the best candidate, or None without a table."""
        return self.found.table


def why_nothing(found: ResultDocument) -> str:
    """Returns why a search without a best candidate has none, as a phrase."""
    if found.rescoring is not None and found.rescoring.count:
        return "nothing found, because every candidate that was scored again failed in full"
    counts = found.counts
    rejected, broke = counts.get("rejected", 0), counts.get("unique", 0) - counts.get("failed", 0)
    if counts.get("failed", 0) and not (rejected or broke):
        return "nothing found, because every candidate failed"
    if counts.get("failed", 0):
        return "nothing found, because every candidate failed or broke a limit"
    return "nothing found, because every candidate broke a limit" if rejected or broke else "nothing found"


def _whole(value: Any, name: str) -> int:
    """Returns a number of candidates.

    Raises:
        ConfigError: If it is no whole number.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name!r} should be the number of candidates, but it is {shown(value)}") from None


def document(
    *,
    name: str,
    space: SearchSpace,
    stop_reason: str,
    counts: Mapping[str, int],
    seconds: float,
    evaluator: Mapping[str, Any],
    view: ArchiveView,
    elites: MapFacts | None = None,
) -> ResultDocument:
    """Returns the content of result.json; the table's facts are added by `table_facts` when the search is over.

    Args:
        name: Name of the run.
        space: Search space of the run.
        stop_reason: Why the search ended.
        counts: Numbers of candidates.
        seconds: Duration of the search.
        evaluator: Facts about the evaluator.
        view: All evaluations.
        elites: The map of MAP-Elites, if that was the strategy.
    """
    return ResultDocument(
        name=name,
        space=space.name,
        stop_reason=stop_reason,
        **best_of(view, space),
        map=elites,
        counts=dict(counts),
        time_seconds=round(seconds, 3),
        evaluator=dict(evaluator),
        environment=environment(),
    )


def best_of(view: ArchiveView, space: SearchSpace) -> dict[str, Any]:
    """Returns the fields of `ResultDocument` that name the best candidates: best, top and front."""
    top = [candidate_of(evaluation, space) for evaluation in view.best_first()[:TOP]]
    return {"best": top[0] if top else None, "top": top, "front": _front(view, space)}


def _front(view: ArchiveView, space: SearchSpace) -> FrontFacts | None:
    if view.objective.rule != "pareto":
        return None
    data = front_data(view)
    return FrontFacts(
        objectives={name: "maximised" if sign > 0 else "minimised" for name, sign in zip(data.members, data.signs, strict=True)},
        reference_point=data.reference_point,
        hypervolume=0.0 if data.volumes is None else data.volumes.volume,
        hypervolume_share=0.0 if data.volumes is None else float(data.volumes.shares[-1]),
        candidates=[candidate_of(member, space) for member in view.front()],
    )


def table_facts(table: Table, source: str, best: Candidate | None) -> TableFacts:
    """Returns what a table knows about the best candidate and about itself."""
    accuracy = None if best is None else table.accuracy(best.notation)
    best_notation, best_accuracy = table.best()
    return TableFacts(
        name=source,
        dataset=table.dataset,
        accuracy=accuracy,
        percentile=None if accuracy is None else table.percentile(accuracy),
        best=best_accuracy,
        best_notation=best_notation,
        mean=table.mean(),
    )
