"""What a search has found: the best candidates, why it ended, and the document that keeps this in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbflex_evo.engine.figures.front import front_data, front_facts
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.result_document import VERSION
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import Genotype, RunError, SearchSpace

if TYPE_CHECKING:
    from torch import nn

    from rbflex_evo.engine.export.export import Exported
    from rbflex_evo.spaces.tables.table import Table

TOP = 10


@dataclass(frozen=True)
class Candidate:
    """One candidate of a finished search: genotype, notation, canonical key, raw scores by proxy, costs by metric."""

    genotype: Genotype
    notation: str
    key: str
    scores: Mapping[str, float]
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A finished search.

    Attributes:
        folder: of the run.
        space: that was searched.
        ranked: every candidate that neither failed nor is infeasible, best first.
        document: what result.json holds.
        weights: how the networks' weights are drawn.
        not_dominated: of several objectives, what no other candidate dominates; None where there is one.
    """

    folder: Path
    space: SearchSpace
    ranked: Sequence[Evaluation]
    document: Mapping[str, Any]
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
        """Builds the best network as its benchmark counts it, with untrained weights drawn as those that are scored.

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

        return export_run(self.folder, top=top, into=into, classes=classes, program=program, onnx=onnx, replace=replace, quiet=True)

    @property
    def stop_reason(self) -> str:
        """Why the search ended, as a sentence."""
        return str(self.document["stop_reason"])

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of unique, failed, proposed and known candidates, and of those rejected before they were evaluated."""
        return dict(self.document["counts"])

    @property
    def table(self) -> Mapping[str, Any] | None:
        """What the table of known accuracies says about the best candidate, or None without a table."""
        facts: Mapping[str, Any] | None = self.document["table"]
        return facts


def candidate(evaluation: Evaluation, space: SearchSpace) -> Candidate:
    """Returns an evaluation with its notation."""
    notation = space.notation(evaluation.genotype)
    return Candidate(evaluation.genotype, notation, evaluation.key, dict(evaluation.scores), dict(evaluation.costs))


def front_of(view: ArchiveView) -> list[Evaluation] | None:
    """Returns what nothing dominates, or None where there is one objective."""
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
) -> dict[str, Any]:
    """Returns result.json's content, its table left open."""
    top = [_as_values(candidate(evaluation, space)) for evaluation in view.best_first()[:TOP]]
    return {
        "version": VERSION,
        "name": name,
        "space": space.name,
        "stop_reason": stop_reason,
        "finished": True,
        "best": top[0] if top else None,
        "top": top,
        "front": _front(view, space),
        "counts": dict(counts),
        "time_seconds": round(seconds, 3),
        "evaluator": dict(evaluator),
        "table": None,
        "environment": environment(),
    }


def _front(view: ArchiveView, space: SearchSpace) -> dict[str, Any] | None:
    members = front_of(view)
    if members is None:
        return None
    return {**front_facts(front_data(view)), "candidates": [_as_values(candidate(member, space)) for member in members]}


def _as_values(found: Candidate) -> dict[str, Any]:
    return {**asdict(found), "genotype": list(found.genotype)}


def table_facts(table: Table, source: str, best: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns what a table knows about the best candidate and about itself; percentages."""
    accuracy = None if best is None else table.accuracy(best["notation"])
    best_notation, best_accuracy = table.best()
    return {
        "name": source,
        "dataset": table.dataset,
        "accuracy": accuracy,
        "percentile": None if accuracy is None else table.percentile(accuracy),
        "best": best_accuracy,
        "best_notation": best_notation,
        "mean": table.mean(),
    }
