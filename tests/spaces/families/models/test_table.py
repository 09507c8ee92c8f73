"""The table of a results file of timm holds one accuracy for each model of the space, of the recipes and sizes that count."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from rbflex_evo.engine.configuration.config import parse_config
from rbflex_evo.engine.correlation.correlate import correlate
from rbflex_evo.spaces import TableError, create_space
from rbflex_evo.spaces.conformance.check_table import check_table
from rbflex_evo.spaces.tables.table import create_table

ROWS = """model,img_size,top1,param_count
resnet18.a1_in1k,224,71.5,11.69
resnet18.a1_in1k,288,73.2,11.69
resnet18.tv_in1k,224,69.8,11.69
resnet18.fb_ssl_yfcc100m_ft_in1k,224,72.6,11.69
resnet34.a1_in1k,224,76.4,21.8
regnet_y_400mf,224,74.0,4.3
unknown_net.in1k,224,50.0,1.0
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "results.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    return str(tmp_path / "results.csv.gz")


@pytest.fixture(scope="module")
def space():
    return create_space("models", **{"from": ["resnet18", "resnet34", "regnet_y_400mf"], "size": 32, "classes": 4})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"resnet18": (71.5 + 69.8 + 72.6) / 3, "resnet34": 76.4, "regnet_y_400mf": 74.0}),
        ({"tags": ["*in1k", "!*yfcc*"]}, {"resnet18": (71.5 + 69.8) / 2, "resnet34": 76.4}),
        ({"tags": ["a1_*"], "img_size": "largest"}, {"resnet18": 73.2, "resnet34": 76.4}),
        ({"tags": ["a1_*"], "img_size": 288}, {"resnet18": 73.2}),
        ({"recipes": "best"}, {"resnet18": 72.6, "resnet34": 76.4, "regnet_y_400mf": 74.0}),
    ],
)
def test_rows_of_recipes_and_sizes_become_one_accuracy(path, space, values, expected):
    table = create_table("timm", space, path=path, **values)
    assert table.accuracies() == pytest.approx(expected)
    assert table.dataset == "imagenet" and table.accuracy("unknown_net") is None


def test_the_table_keeps_the_contract(path, space):
    check_table("timm", space, path=path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tags": ["nothing"]}, "has no row of a model of space 'models' whose tag matches"),
        ({"img_size": 100}, "has no row of images of 100 pixels"),
        ({"accuracy": "top5"}, "has no column or array 'top5'"),
    ],
)
def test_rows_that_are_missing_are_named(path, space, values, said):
    with pytest.raises(TableError, match=said):
        create_table("timm", space, path=path, **values)


def test_a_size_that_is_no_number_is_refused(tmp_path, space):
    (tmp_path / "results.csv").write_text("model,img_size,top1\nresnet18,wide,70.0\n")
    with pytest.raises(TableError, match="row 1: expected a number of pixels as 'img_size', but it is 'wide'"):
        create_table("timm", space, path=str(tmp_path / "results.csv"))


def test_another_space_is_refused(path):
    with pytest.raises(TableError, match="no row of a model of space 'nats_tss'"):
        create_table("timm", create_space("nats_tss"), path=path)


def test_correlate_judges_models_by_the_table(path, space, tmp_path):
    config = parse_config(
        {
            "name": "ranked",
            "runs": str(tmp_path),
            "space": {"name": "models", **space.parameters.model_dump(mode="json")},
            "data": {"source": "noise", "shape": [3, 32, 32], "n": 4},
            "fitness": {"proxies": {"naswot": {}}, "objective": {"rank": ["naswot"]}},
            "table": {"source": "timm", "path": path},
            "sample": {"size": 3},
            "strategy": "random",
            "budget": {"evaluations": 1},
            "correlate": {"resamples": 10},
            "cache": "off",
            "workers": 1,
        }
    )
    result = correlate(config, quiet=True, page=False)
    (known,) = result.known
    assert known.dataset == "imagenet" and sorted(known.values) == pytest.approx([71.3, 74.0, 76.4])
    assert {"naswot", "params", "flops"} <= {column.name for column in result.columns}


@pytest.mark.skipif("RBFLEX_EVO_TABLES" not in os.environ, reason="RBFLEX_EVO_TABLES names no folder of benchmark data")
def test_the_results_of_timm_are_read():
    path = Path(os.environ["RBFLEX_EVO_TABLES"]) / "timm_results.csv.gz"
    space = create_space("models", **{"from": ["resnet18", "resnet34", "resnet50", "densenet121"]})
    table = create_table("timm", space, path=str(path), recipes="best")
    assert len(table) == 4 and table.best()[0] == "resnet50"
