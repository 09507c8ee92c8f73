"""The result of a search: the best candidates, why it ended, and the document in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbflex_evo.engine.figures.front import front_data
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.result_document import Candidate, FrontFacts, ResultDocument, TableFacts, notation_of
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import RunError, SearchSpace

if TYPE_CHECKING:
    from torch import nn

    from rbflex_evo.engine.export.export import Exported
    from rbflex_evo.spaces.tables.table import Table

TOP = 10


@dataclass(frozen=True)
class Result:
    """A finished search.

    Attributes:
        folder: Folder of the run.
        space: Search space of the run.
        ranked: Every candidate that neither failed nor is infeasible, best first.
        found: Content of result.json.
        weights: How the networks' weights are drawn.
        not_dominated: With several objectives, the candidates that no other dominates; None with one objective.
    """

    folder: Path
    space: SearchSpace
    ranked: Sequence[Evaluation]
    found: ResultDocument
    weights: WeightParameters = field(default_factory=WeightParameters)
    not_dominated: Sequence[Evaluation] | None = None

    @property
    def best(self) -> Candidate | None:
        """The best candidate, the front's knee where there are several objectives; None if nothing succeeded within the limits."""
        return next(iter(self.top(1)), None)

    def top(self, n: int = TOP) -> list[Candidate]:
        """Returns the `n` best candidates, best first."""
        return [candidate(evaluation, self.space) for evaluation in self.ranked[: max(0, n)]]

    def front(self) -> list[Candidate]:
        """Returns the feasible candidates that no other dominates, the best in the first objective first.

        Raises:
            RunError: if the search had one objective.
        """
        if self.not_dominated is None:
            raise RunError(f"{self.folder} has no front: its objective is one number; set fitness.objective.pareto")
        return [candidate(evaluation, self.space) for evaluation in self.not_dominated]

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
        classes: int | None = None,
        program: bool = False,
        onnx: bool = False,
        replace: bool = False,
    ) -> list[Exported]:
        """Writes the best network, the front or the `top` best ones into folders, ready to be trained; see `export.export_run`."""
        from rbflex_evo.engine.export.export import export_run

        return export_run(
            self.folder,
            top=top,
            into=into,
            classes=classes,
            program=program,
            onnx=onnx,
            replace=replace,
            space=self.space,
            quiet=True,
        )

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


def candidate(evaluation: Evaluation, space: SearchSpace) -> Candidate:
    """Returns an evaluation with its notation."""
    return Candidate(
        genotype=evaluation.genotype,
        notation=notation_of(space, evaluation.genotype),
        key=evaluation.key,
        scores=dict(evaluation.scores),
        costs=dict(evaluation.costs),
    )


def front_of(view: ArchiveView) -> list[Evaluation] | None:
    """Returns the evaluations that no other dominates, or None if there is one objective."""
    return view.front() if view.objective.rule == "pareto" else None


def document(
    *,
    name: str,
    space: SearchSpace,
    stop_reason: str,
    counts: Mapping[str, int],
    seconds: float,
    evaluator: Mapping[str, Any],
    view: ArchiveView,
) -> ResultDocument:
    """Returns the content of result.json; the table's facts are added by `table_facts` when the search is over."""
    top = [candidate(evaluation, space) for evaluation in view.best_first()[:TOP]]
    return ResultDocument(
        name=name,
        space=space.name,
        stop_reason=stop_reason,
        best=top[0] if top else None,
        top=top,
        front=_front(view, space),
        counts=dict(counts),
        time_seconds=round(seconds, 3),
        evaluator=dict(evaluator),
        environment=environment(),
    )


def _front(view: ArchiveView, space: SearchSpace) -> FrontFacts | None:
    members = front_of(view)
    if members is None:
        return None
    data = front_data(view)
    return FrontFacts(
        objectives={name: "maximised" if sign > 0 else "minimised" for name, sign in zip(data.members, data.signs, strict=True)},
        reference_point=data.reference_point,
        hypervolume=0.0 if data.volumes is None else data.volumes.volume,
        hypervolume_share=0.0 if data.volumes is None else float(data.volumes.shares[-1]),
        candidates=[candidate(member, space) for member in members],
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
