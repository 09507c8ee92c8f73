"""The last step of a search that scored in a cheaper form: its best candidates are scored again in full.

    chosen <- the best `rescore` candidates by the cheaper form, in the order of the objective
    for each of them: score it in full, and write it into the journal as a line of kind ``rescored``
    the found architecture is the best in full; ranks are taken among the rescored candidates

A run that is stopped here resumes with the candidate that the journal lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rbflex_evo.engine.run.journal import Journal, evaluation_line
from rbflex_evo.engine.run.result_document import Agreement
from rbflex_evo.fitness.evaluation import Evaluation, EvaluatorLike, evaluate
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import Genotype

from .agreements import agreements


def rescore(
    chosen: Sequence[Evaluation],
    evaluator: EvaluatorLike,
    journal: Journal,
    rescored: list[Evaluation],
    elapsed: Callable[[], float],
    step: Callable[[], None],
) -> None:
    """Scores candidates in full and writes each into the journal as soon as it is scored.

    Args:
        chosen: Evaluations in the cheaper form, best first.
        evaluator: Measures in the full form.
        journal: Takes the lines.
        rescored: Evaluations in full of the first of them, which the journal has; the others are appended.
        elapsed: Returns the seconds since the start of the run.
        step: Called after each line.
    """
    asked = chosen[len(rescored) :]
    pairs: list[tuple[str, Genotype]] = [(evaluation.key, evaluation.genotype) for evaluation in asked]
    for cheap, found in zip(asked, evaluate(evaluator, pairs), strict=True):
        # What a candidate costs does not depend on the form, and a measured cost does not repeat.
        full = replace(found, costs=cheap.costs)
        journal.append(evaluation_line("rescored", len(rescored), full, elapsed()))
        rescored.append(full)
        step()


def agreements_of(cheap: ArchiveView, full: ArchiveView) -> dict[str, Agreement]:
    """Returns Kendall's tau-b between both forms over the rescored candidates, of each score and of the objective.

    Args:
        cheap: All candidates of the search in the cheaper form.
        full: The rescored candidates in full.
    """
    keys = [evaluation.key for evaluation in full.evaluations]
    several = len(full.objective.members) > 1
    utilities = (cheap.utility(keys), full.utility(keys)) if several else None
    return agreements([cheap.get(key) for key in keys], full.evaluations, utilities)
