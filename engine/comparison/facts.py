"""From the runs of a comparison to its document: values by the common reference, accuracies, statistics.

This is the one place where accuracies are read, and all runs are over by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.optimum.facts import facts_of, proof_within
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint, violation
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import RunError
from rbflex_evo.spaces.tables.table import Table

from .compare import Runs
from .document import BestAccuracy, BestArchitecture, ComparisonDocument, FailedRun, ReferenceFacts, RunRow
from .judgement import Reference, RunCurve, anytime, contender_rows, evaluations_to, final, pairs, plain
from .plan import open_tables
from .trace import Trace

MOST_LISTED = 10
# Seconds that the proof of the objective's optimum may take.
PROOF_SECONDS = 60.0


def document_of(config: Config, runs: Runs) -> ComparisonDocument:
    """Returns all that the comparison's files say.

    Raises:
        RunError: if no run has finished, or every candidate failed.
    """
    return judged(config, runs)[0]


def judged(config: Config, runs: Runs) -> tuple[ComparisonDocument, Reference]:
    """Returns all that the comparison's files say, and the common reference of the incumbents.

    Raises:
        RunError: if no run has finished, or every candidate failed.
    """
    if not runs.traces:
        label, seed = next(iter(runs.failures))
        raise RunError(f"all {len(runs.failures)} runs failed, the first ({label}, seed {seed}) with {runs.failures[label, seed]}")
    parts = Assembly(config)
    space = parts.space
    tables = open_tables(runs.plan, space)
    objective = parts.objective
    evaluations, notation = _known(parts, runs)
    values = common_values(objective, evaluations, parts.constraints.limits)
    if not np.isfinite(values).any():
        raise RunError("every candidate failed, so there is nothing to compare")
    reference = Reference(values, {name: table.best()[1] for name, table in tables.items()})
    worth = {evaluation.key: value for evaluation, value in zip(evaluations, values, strict=True)}
    curves = {
        contender.label: [
            _curve(contender.label, seed, runs.traces[contender.label, seed], worth, tables)
            for seed in runs.plan.seeds
            if (contender.label, seed) in runs.traces
        ]
        for contender in runs.plan.contenders
    }
    budget = config.budget.evaluations
    assert budget is not None
    best = [evaluation for evaluation, value in zip(evaluations, values, strict=True) if value == reference.best]
    baselines = [c.label for c in runs.plan.contenders if c.strategy.name == "random" and curves[c.label]]
    proof, not_proved = proof_within(parts, PROOF_SECONDS)
    failed = {label: sum(where == label for where, _ in runs.failures) for label in curves}
    document = ComparisonDocument(
        name=config.name,
        space=space.name,
        objective=objective,
        budget=budget,
        seeds=list(runs.plan.seeds),
        replayed=config.scores is not None,
        reference=ReferenceFacts(
            of="the whole table" if config.scores is not None else "all that any run evaluated",
            architectures=len(values),
            failed=int(np.isnan(values).sum()),
            best=reference.best,
            threshold=reference.threshold,
            argmax=[_architecture(evaluation, notation(evaluation), tables) for evaluation in best[:MOST_LISTED]],
            argmax_count=len(best),
            best_accuracy={name: _best_of(table) for name, table in tables.items()},
        ),
        contenders=[
            row.model_copy(
                update={
                    "strategy": contender.strategy.name,
                    "parameters": contender.strategy.values,
                    "failed": failed[contender.label],
                }
            )
            for row, contender in zip(contender_rows(curves, reference), runs.plan.contenders, strict=True)
        ],
        baseline=baselines[0] if baselines else None,
        anytime=anytime(curves, reference, budget),
        pairs=pairs({label: found for label, found in curves.items() if found}, baselines),
        runs=[_row(run, runs.traces[run.label, run.seed], reference) for found in curves.values() for run in found],
        failures=[FailedRun(label=label, seed=seed, reason=why) for (label, seed), why in runs.failures.items()],
        environment=environment(),
        optimum=None if proof is None else facts_of(proof, space),
        not_proved=not_proved,
    )
    return document, reference


def _known(parts: Assembly, runs: Runs) -> tuple[list[Evaluation], Callable[[Evaluation], str]]:
    """Returns the evaluations of the common reference, and what names their architectures."""
    if parts.config.scores is None:
        return list(runs.pool or ()), lambda evaluation: parts.space.notation(evaluation.genotype)
    table, book = parts.tabulated().table, parts.book()
    # Only keys, scores, costs and failures are asked of these: a table names no genotype.
    known = [table.evaluation(key, ()) for key in table.rows]
    if book.metrics:
        known = [replace(evaluation, costs=book.look(evaluation.key).costs) for evaluation in known]
    return known, lambda evaluation: table.notations[table.rows[evaluation.key]]


def common_values(objective: Objective, evaluations: Sequence[Evaluation], limits: Sequence[Constraint] = ()) -> np.ndarray:
    """Returns float64 [K], what each evaluation is worth among all of them, NaN where it failed or breaks a limit.

    That is the raw score of a single score, and the rank aggregate over all K of ranks, independent of the reference
    that was used during the search.
    """
    feasible = np.array([violation(limits, evaluation.costs) == 0 for evaluation in evaluations], dtype=bool)
    admitted = [evaluation for evaluation, admit in zip(evaluations, feasible, strict=True) if admit]
    view = ArchiveView.of(replace(objective, reference="archive"), admitted)
    worth = np.full(len(evaluations), -np.inf)
    worth[feasible] = view.utility([evaluation.key for evaluation in admitted])
    return np.where(np.isneginf(worth), np.nan, worth)


def _curve(label: str, seed: int, trace: Trace, worth: Mapping[str, float], tables: Mapping[str, Table]) -> RunCurve:
    return RunCurve(
        label=label,
        seed=seed,
        evaluations=trace.evaluations,
        changed=np.array(trace.changed, dtype=np.int64),
        values=np.array([worth[key] for key in trace.keys], dtype=np.float64),
        accuracies={name: np.array([_accuracy(table, text) for text in trace.notations]) for name, table in tables.items()},
        keys=trace.keys,
        facts=asdict(trace),
    )


def _accuracy(table: Table, notation: str) -> float:
    accuracy = table.accuracy(notation)
    return math.nan if accuracy is None else accuracy


def _architecture(evaluation: Evaluation, notation: str, tables: Mapping[str, Table]) -> BestArchitecture:
    accuracy = {name: table.accuracy(notation) for name, table in tables.items()}
    return BestArchitecture(key=evaluation.key, notation=notation, scores=dict(evaluation.scores), accuracy=accuracy)


def _best_of(table: Table) -> BestAccuracy:
    notation, accuracy = table.best()
    return BestAccuracy(notation=notation, accuracy=accuracy)


def _row(run: RunCurve, trace: Trace, reference: Reference) -> RunRow:
    """Returns one run as a row of runs.csv."""
    value = final(run, run.values)
    return {
        "strategy": run.label,
        "seed": run.seed,
        "evaluations": run.evaluations,
        "failed_candidates": trace.failed,
        "stop_reason": trace.stop_reason,
        "score": plain(value),
        "score_regret": plain(reference.best - value),
        "evaluations_to_99th_percentile": evaluations_to(run, reference.threshold),
        "architecture": trace.notations[-1] if trace.notations else None,
        **{f"accuracy_{name}": plain(final(run, column)) for name, column in run.accuracies.items()},
        **{
            f"accuracy_regret_{name}": plain(reference.best_accuracy[name] - final(run, column))
            for name, column in run.accuracies.items()
        },
        "time_scoring": round(trace.time_scoring, 6),
        "time_strategy": round(trace.time_strategy, 6),
        "time_evaluations": trace.time_evaluations,
    }
