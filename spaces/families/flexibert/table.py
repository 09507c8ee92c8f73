"""Results of NAS-Bench-BERT (Serianni & Kalita, ACL 2023): FlexiBERT networks trained on text and on each task of GLUE.

    id,score_cola,score_mnli,...,score_glue,hidden_size,layers,...           a .csv or .csv.gz file; other columns are not read
    0,42.69,72.57,...,74.73,256,SA-WMA-4-1024-3;LT-DCT-2-512-3

All figures are in percent on the validation sets; those of CoLA and STS-B are correlations, which may be negative. ``glue`` is the
mean. Nine networks were drawn and trained twice; they have the mean of their rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import existing_file, read_csv
from rbflex_evo.spaces.tables.notations import checked_notations
from rbflex_evo.spaces.tables.npz_csv import Columns
from rbflex_evo.spaces.tables.percent import check_percent
from rbflex_evo.spaces.tables.table import LoadedTable

Task = Literal["cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst", "sts", "glue"]
CORRELATIONS = ("cola", "sts")


class FlexiBertTableParameters(Parameters):
    """File and task of the FlexiBERT table.

    Attributes:
        path: A .csv or .csv.gz file with the columns hidden_size, layers and one column of scores for each task.
        task: A task of GLUE, or ``glue`` for the mean of all eight.
    """

    path: str
    task: Task = "glue"


class FlexiBertTable(LoadedTable):
    """Results of sampled FlexiBERT networks on one task of GLUE, or their mean."""

    name = "flexibert"
    description = "GLUE results of NAS-Bench-BERT (csv) for flexibert: the mean of its eight tasks, or one of them"
    Parameters = FlexiBertTableParameters

    def __init__(self, parameters: FlexiBertTableParameters, space: SearchSpace) -> None:
        if space.name != "flexibert":
            raise TableError(
                f"table {self.name!r} is for space 'flexibert', but the search space is {space.name!r}; "
                "remove the table or choose that space"
            )
        self.space, self.dataset = space.name, parameters.task
        rows = read_csv(existing_file(parameters.path))
        columns = Columns(parameters.path, list(rows), rows)
        networks = zip(columns.get("hidden_size"), columns.get("layers"), strict=True)
        notations = checked_notations(parameters.path, space, [f"{hidden}: {layers}" for hidden, layers in networks], repeated=True)
        column, numbered = f"score_{parameters.task}", list(map(str, range(len(notations))))
        if parameters.task in CORRELATIONS:
            values = np.array(list(columns.numbers(column, numbered).values()))
            check_percent(np.abs(values), f"the size of {column!r} of {parameters.path!r}", "a correlation")
        else:
            values = np.array(list(columns.percentages(column, numbered).values()))
        rows_of: dict[str, list[int]] = {}
        for row, notation in enumerate(notations):
            rows_of.setdefault(notation, []).append(row)
        self.loaded = {notation: float(values[rows].mean()) for notation, rows in rows_of.items()}
