"""NAFBee's accuracies: both file forms, both forms of the spaces, and one line for what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rbflex_evo.spaces import TableError, create_space
from rbflex_evo.spaces.tables.table import create_table

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
JSON = {
    "1": {"network": "VGG19", "activation": "ReLU", "accuracy": 50.5},
    "2": {"network": "VGG19", "activation": "CELU", "accuracy": 40.25},
    "3": {"network": "VGG19", "activation": "ELU", "accuracy": 41.0},
}
CSV = "id,network,activation,accuracy,rbflex\n1,VGG19,ReLU,50.5,-1\n1,BERT,GELU,60.0,-2\n2,VGG19,Mish,30,-3\n"


def saved(tmp_path, content, name="table.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_the_benchmarks_json_is_read(tmp_path):
    table = create_table("nafbee", create_space("nafbee_vgg19"), path=saved(tmp_path, JSON))
    assert dict(table.accuracies()) == {"ReLU": 50.5, "CELU": 40.25, "ELU": 41.0}
    assert (table.space, table.dataset) == ("nafbee_vgg19", "cifar10")


def test_a_csv_holds_both_networks(tmp_path):
    path = saved(tmp_path, CSV, "nafbee.csv")
    assert dict(create_table("nafbee", create_space("nafbee_vgg19"), path=path).accuracies()) == {"ReLU": 50.5, "Mish": 30.0}


def test_a_network_with_one_activation_a_layer_is_known_where_all_are_the_same(tmp_path):
    space = create_space("nafbee_vgg19", per_layer=True)
    table = create_table("nafbee", space, path=saved(tmp_path, JSON))
    assert table.accuracy("-".join(["ReLU"] * 16)) == 50.5
    assert table.accuracy("-".join(["ReLU"] * 15 + ["ELU"])) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", json.dumps(JSON)[:70], "is not a JSON file"),
        ("t.json", [1], "is not a NAFBee file; expected records by number"),
        ("t.json", {"1": 3}, "is not a NAFBee file"),
        ("t.json", {}, "holds no network; space 'nafbee_vgg19' is of VGG19"),
        ("t.json", {"1": {"network": "BERT", "activation": "ReLU", "accuracy": 1}}, "holds BERT; space 'nafbee_vgg19' is of VGG19"),
        ("t.json", {"1": {"network": "VGG19", "activation": "ReLU"}}, "record '1' has no 'accuracy'"),
        ("t.json", {"1": {**JSON["1"], "activation": "Tanh"}}, "record '1' is not a network of space 'nafbee_vgg19': unknown"),
        ("t.json", {"1": {**JSON["1"], "accuracy": "high"}}, "record '1': expected an accuracy in percent, but it is 'high'"),
        ("t.json", {"1": {**JSON["1"], "accuracy": True}}, "expected an accuracy in percent, but it is True"),
        ("t.json", {"1": JSON["1"], "2": JSON["1"]}, "record '2' has 'ReLU' a second time"),
        ("t.csv", CSV.replace("activation", "activations"), "has no column 'activation'; did you mean 'activations'"),
        ("t.csv", CSV.replace(",30,", ",,"), "row 3: expected an accuracy in percent, but it is ''"),
        ("t.csv", CSV + "2,VGG19\n", "row 4 has 2 fields; expected 5"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, name, content, message):
    with pytest.raises(TableError, match=message) as caught:
        create_table("nafbee", create_space("nafbee_vgg19"), path=saved(tmp_path, content, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("space", ["nafbee_vgg11", "toy"])
def test_the_table_of_another_space_is_refused_in_one_line(tmp_path, space):
    with pytest.raises(TableError, match=f"is for spaces 'nafbee_vgg19' and 'nafbee_bert', but the search space is '{space}'"):
        create_table("nafbee", create_space(space), path=saved(tmp_path, JSON))


def test_a_missing_file_is_refused():
    with pytest.raises(TableError, match=r"no table file 'nowhere\.json'"):
        create_table("nafbee", create_space("nafbee_vgg19"), path="nowhere.json")


@pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
def test_the_whole_benchmark_is_read():
    table = create_table("nafbee", create_space("nafbee_vgg19"), path=str(Path(TABLES) / "nafbee.csv"))
    assert len(table) == 11
    assert table.best() == ("ReLU", 91.06)
