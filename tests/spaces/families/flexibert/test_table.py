"""The FlexiBERT table reads the csv of NAS-Bench-BERT, and refuses what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rbflex_evo.spaces import ConfigError, TableError, create_space
from rbflex_evo.spaces.conformance.check_table import check_table
from rbflex_evo.spaces.tables.table import create_table

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
ROWS = ("0,42.5,83.5,74.75,256,SA-WMA-4-1024-3;LT-DCT-2-512-3", "1,-2.0,78.5,63.5,128,DSC-9-4-512-1;DSC-5-2-512-1")
HEADER = "id,score_cola,score_sst,score_glue,hidden_size,layers"


def written(path, *rows, header=HEADER):
    (path / "known.csv").write_text("\n".join((header, *(rows or ROWS))))
    return str(path / "known.csv")


def test_networks_have_the_results_of_their_rows(tmp_path):
    space, path = create_space("flexibert"), written(tmp_path)
    table = create_table("flexibert", space, path=path)
    names = ["256: SA-WMA-4-1024-3;LT-DCT-2-512-3", "128: DSC-9-4-512-1;DSC-5-2-512-1"]
    assert table.accuracies() == dict(zip(names, (74.75, 63.5), strict=True))
    assert table.dataset == "glue"
    assert list(create_table("flexibert", space, path=path, task="sst").accuracies().values()) == [83.5, 78.5]
    for task in ("glue", "cola"):
        check_table("flexibert", space, path=path, task=task)


def test_a_correlation_may_be_negative(tmp_path):
    table = create_table("flexibert", create_space("flexibert"), path=written(tmp_path), task="cola")
    assert list(table.accuracies().values()) == [42.5, -2.0]


def test_a_network_that_was_trained_twice_has_the_mean(tmp_path):
    path = written(tmp_path, *ROWS, ROWS[1].replace("63.5", "64.0"))
    assert list(create_table("flexibert", create_space("flexibert"), path=path).accuracies().values()) == [74.75, 63.75]


@pytest.mark.parametrize(
    ("rows", "task", "message"),
    [
        ((ROWS[0], "1,1,-2.0,63.5,128,DSC-9-4-512-1;DSC-5-2-512-1"), "sst", "percent"),
        ((ROWS[0], "1,120,70,63.5,128,DSC-9-4-512-1;DSC-5-2-512-1"), "cola", "a correlation in percent"),
        ((ROWS[0], "1,1,70,63.5,64,DSC-9-4-512-1;DSC-5-2-512-1"), "glue", "row 2: hidden of layer 1 must be one of"),
        (ROWS, "rte", "has no column or array 'score_rte'"),
    ],
)
def test_other_rows_are_refused(tmp_path, rows, task, message):
    with pytest.raises(TableError, match=message):
        create_table("flexibert", create_space("flexibert"), path=written(tmp_path, *rows), task=task)


def test_another_space_and_another_task_are_refused(tmp_path):
    with pytest.raises(TableError, match="table 'flexibert' is for space 'flexibert', but the search space is 'nafbee_bert'"):
        create_table("flexibert", create_space("nafbee_bert"), path=written(tmp_path))
    with pytest.raises(ConfigError, match="task"):
        create_table("flexibert", create_space("flexibert"), path=written(tmp_path), task="wnli")


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is unset")
def test_the_benchmark_is_read():
    path = str(Path(TABLES or "") / "bert_nasbench.csv.gz")
    for task in ("glue", "cola", "sts", "mnli"):
        assert len(create_table("flexibert", create_space("flexibert"), path=path, task=task)) == 491
