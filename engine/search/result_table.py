"""All candidates of a search as a table: a row for each evaluation, as plain columns, CSV or a pandas frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rbflex_evo.engine.run.result_document import notation_of
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import ConfigError, SearchSpace

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, list[Any]]


def columns_of(view: ArchiveView, space: SearchSpace, full: ArchiveView | None = None) -> Columns:
    """Returns the columns of the table, each with a value for every evaluation, in the order of evaluation.

    evaluation: Number of the evaluation, from 1.
    rank: Place in the search, 1 for the best; None if the candidate failed or breaks a limit.
    status: "scored", "failed" or "infeasible".
    notation, genotype: The candidate.
    front: With several objectives, whether no other candidate dominates this one.
    One column for each score and each cost; None where it is unknown. A cost whose name is taken is NAME_cost.
    seconds: Duration of the measurement; 0 if it came from the cache.
    reason: Why the candidate failed.

    With `full`, the rescored candidates of a search in a cheaper form, rank_full and NAME_full are their ranks and scores in full.
    """
    told = view.evaluations
    places = {evaluation.key: place for place, evaluation in enumerate(view.best_first(), 1)}
    columns: Columns = {
        "evaluation": list(range(1, len(told) + 1)),
        "rank": [places.get(evaluation.key) for evaluation in told],
        "status": ["failed" if e.failed else "scored" if e.key in places else "infeasible" for e in told],
        "notation": [notation_of(space, evaluation.genotype) for evaluation in told],
        "genotype": [evaluation.genotype for evaluation in told],
    }
    if view.objective.rule == "pareto":
        front = {evaluation.key for evaluation in view.front()}
        columns["front"] = [evaluation.key in front for evaluation in told]
    last: Columns = {"seconds": [e.seconds for e in told], "reason": [e.reason for e in told]}
    taken = {*columns, *last}
    for suffix, values in (("score", [e.scores for e in told]), ("cost", [e.costs for e in told])):
        for name in names_in(values):
            column = name if name not in taken else f"{name}_{suffix}"
            taken.add(column)
            columns[column] = [each.get(name) for each in values]
    return columns | ({} if full is None else _in_full(view, full)) | last


def _in_full(view: ArchiveView, full: ArchiveView) -> Columns:
    places = {evaluation.key: place for place, evaluation in enumerate(full.best_first(), 1)}
    scores = {evaluation.key: evaluation.scores for evaluation in full.evaluations}
    keys = [evaluation.key for evaluation in view.evaluations]
    return {
        "rank_full": [places.get(key) for key in keys],
        **{f"{name}_full": [scores.get(key, {}).get(name) for key in keys] for name in names_in(scores.values())},
    }


def names_in(values: Iterable[Mapping[str, float]]) -> list[str]:
    """Returns all names of scores or costs, each once, in the order in which they first occur."""
    return list(dict.fromkeys(name for each in values for name in each))


def csv_text(columns: Columns) -> str:
    """Returns the table as CSV; a genotype is its genes with spaces between them, and what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([" ".join(map(str, value)) if isinstance(value, tuple) else value for value in row])
    return text.getvalue()


def frame_of(columns: Columns) -> pd.DataFrame:
    """Returns the table as a pandas frame, with the number of the evaluation as its index.

    Raises:
        ConfigError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigError(
            "to_dataframe() needs pandas: install it (pip install 'rbflex-evo[dataframe]'), or write a file by to_csv(path)"
        ) from error
    frame = pd.DataFrame(columns).set_index("evaluation")
    return frame.astype({name: "Int64" for name in ("rank", "rank_full") if name in frame})
