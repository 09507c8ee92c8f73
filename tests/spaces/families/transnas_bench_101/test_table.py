"""TransNAS-Bench-101's accuracies are read from each form of its files, in percent, and from nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rbflex_evo.spaces import ConfigError, TableError, create_space
from rbflex_evo.spaces.tables.table import create_table

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
CELLS = ("64-41414-1_02_333", "64-41414-0_00_000")
# Values of two epochs of the first network; the second one has half of each.
METRICS = {
    "class_object": {"valid_top1": [40.0, 30.0], "test_top1": [41.0, 44.0], "test_top5": [60.0, 70.0], "valid_loss": [2.0, 1.0]},
    "segmentsemantic": {"valid_mIoU": [10.0, 20.0], "valid_acc": [90.0, 80.0], "test_mIoU": [12.0, 22.0]},
    "normal": {"val_ssim": [0.5, 0.4], "test_ssim": [0.6, 0.7]},
    "room_layout": {"valid_loss": [0.8, 0.6], "test_loss": [0.9, 0.75]},
    "jigsaw": {"valid_top1": [40.0, 30.0]},
    "class_scene": {"valid_top1": [40.0], "test_top1": [40.0, 41.0]},
    "autoencoder": {"valid_ssim": [0.5, float("nan")], "test_ssim": [0.5, 0.6]},
}


def official(networks):
    """The official file's content for networks, each with half the values of the one before."""

    def record(factor):
        metrics = {task: {name: [factor * v for v in values] for name, values in known.items()} for task, known in METRICS.items()}
        return {task: {"total_epochs": 2, "metrics": known, "model_info": {"model_params": 1.0}} for task, known in metrics.items()}

    return {"data": {space: {n: record(0.5**i) for i, n in enumerate(names)} for space, names in networks.items()}, "task_list": []}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "transnas-bench.pth"
    torch.save(official({"micro": CELLS, "macro": ["64-1234-basic"]}), path)
    return str(path)


def table(path, space="transnas_micro", task="class_object", **values):
    return create_table("transnas101", create_space(space, task=task), path=str(path), **values)


def test_the_official_file_gives_the_test_images_at_the_best_validation_epoch(file):
    found = table(file)
    assert dict(found.accuracies()) == {CELLS[0]: 41.0, CELLS[1]: 20.5}
    assert found.validation(CELLS[0]) == 40.0
    assert found.validation("64-41414-3_33_333") is None
    assert found.dataset == "class_object test_top1"
    assert found.best() == (CELLS[0], 41.0)
    found.check(create_space("transnas_micro"))


@pytest.mark.parametrize(
    ("task", "values", "accuracy", "validation"),
    [
        ("class_object", {"epoch": "last"}, 44.0, 30.0),
        ("class_object", {"metric": "test_top5"}, 60.0, 40.0),
        ("class_object", {"metric": "valid_top1"}, 40.0, 40.0),
        ("segmentsemantic", {}, 22.0, 20.0),
        ("segmentsemantic", {"metric": "valid_acc"}, 80.0, 20.0),
        ("normal", {}, 60.0, 50.0),
        ("room_layout", {}, 25.0, 40.0),
    ],
)
def test_task_metric_and_epoch_can_be_chosen(file, task, values, accuracy, validation):
    found = table(file, task=task, **values)
    assert found.accuracy(CELLS[0]) == pytest.approx(accuracy)
    assert found.validation(CELLS[0]) == pytest.approx(validation)
    # A task in the table's own parameters goes before the space's.
    assert table(file, **{"task": task} | values).accuracies().keys() == found.accuracies().keys()


def test_each_space_has_its_own_networks(file):
    assert list(table(file, "transnas_macro").accuracies()) == ["64-1234-basic"]


@pytest.mark.parametrize(
    ("task", "values", "error", "message"),
    [
        ("jigsaw", {}, TableError, "has no list of finite numbers as 'test_top1' of task 'jigsaw'"),
        ("class_scene", {}, TableError, "has 2 epochs of 'test_top1', not 1"),
        ("autoencoder", {}, TableError, "has no list of finite numbers as 'valid_ssim'"),
        ("class_object", {"metric": "test_loss"}, ConfigError, "'loss' is none of top1, top5"),
        ("class_object", {"metric": "top1"}, ConfigError, "'top1' is of no split; expected one such as 'test_top1'"),
        ("class_object", {"metric": "test_mIoU"}, TableError, "has no list of finite numbers as 'test_mIoU'"),
    ],
)
def test_what_the_official_file_does_not_have_is_one_line(file, task, values, error, message):
    with pytest.raises(error) as caught:
        table(file, task=task, **values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Harmful(), "is not a file of plain data that torch saved"),
        ([1, 2], "is not the official file of TransNAS-Bench-101: it has no networks in data.micro"),
        ({"data": {"macro": {}}}, "it has no networks in data.micro"),
        ({"data": {"micro": {CELLS[0]: 1}}}, "has no metrics of task 'class_object'"),
        ({"data": {"micro": {"64-1234-basic": {}}}}, "is a table of another space than 'transnas_micro': row 1"),
    ],
)
def test_what_is_no_official_file_is_one_line_and_is_not_run(tmp_path, content, message):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(TableError) as caught:
        table(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_torch_did_not_save_is_one_line(tmp_path):
    path = tmp_path / "broken.pth"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(TableError, match="is not a file of plain data that torch saved"):
        table(path)
    with pytest.raises(TableError, match="no table file"):
        table(tmp_path / "none.pth")


def test_a_json_file_is_pairs(tmp_path):
    path = tmp_path / "micro_class_object.json"
    path.write_text(json.dumps([[CELLS[0], 41.5], [CELLS[1], 26]]))
    found = table(path)
    assert dict(found.accuracies()) == {CELLS[0]: 41.5, CELLS[1]: 26.0}
    assert found.validation(CELLS[1]) == 26.0
    assert found.dataset == "class_object valid_top1"
    path = tmp_path / "micro_normal.json"
    path.write_text(json.dumps([[CELLS[0], 0.5]]))
    assert table(path, task="normal").accuracy(CELLS[0]) == 50.0
    path = tmp_path / "layout.json"
    path.write_text(json.dumps([[CELLS[0], -0.75]]))
    assert table(path, task="room_layout").accuracy(CELLS[0]) == 25.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["64-41414-1_02_333", 41.5], ["64-41', "is not a JSON file: JSONDecodeError"),
        ('{"a": 1}', "holds dict; expected a list of [notation, value]"),
        ('[["64-41414-1_02_333", null]]', "row 1 is ['64-41414-1_02_333', None]; expected [notation, value]"),
        ('[["64-41414-1_02_333", NaN]]', "row 1"),
        ('[["64-1234-basic", 41.5]]', "is a table of another space than 'transnas_micro': row 1"),
        ('[["64-41414-1_02_333", 1], ["64-41414-1_02_333", 2]]', "in rows 1 and 2"),
        ("[]", "has no rows"),
    ],
)
def test_a_malformed_json_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "values.json"
    path.write_text(text)
    with pytest.raises(TableError) as caught:
        table(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_one_metric_is_taken_at_its_word(tmp_path):
    path = tmp_path / "micro_segmentsemantic.json"
    path.write_text(json.dumps([[CELLS[0], 20.0]]))
    with pytest.raises(TableError, match="is of task 'segmentsemantic' by its name, but the task is 'class_object'"):
        table(path)
    assert table(path, task="segmentsemantic").accuracy(CELLS[0]) == 20.0
    with pytest.raises(ConfigError, match=r"'table\.metric' cannot be chosen"):
        table(path, metric="valid_mIoU")
    with pytest.raises(ConfigError, match=r"expected one that ends in \.pth, \.json or \.npz"):
        table(tmp_path / "table.txt")


def test_an_npz_file_has_an_array_a_task(tmp_path):
    path = tmp_path / "micro.npz"
    np.savez(path, arch_str=np.array(CELLS), class_object=np.array([41.5, 26.5], np.float32), normal=np.array([0.5, 0.25]))
    assert dict(table(path).accuracies()) == {CELLS[0]: 41.5, CELLS[1]: 26.5}
    assert dict(table(path, task="normal").accuracies()) == {CELLS[0]: 50.0, CELLS[1]: 25.0}
    with pytest.raises(TableError, match="has no column or array 'jigsaw'"):
        table(path, task="jigsaw")
    with pytest.raises(TableError, match="is a table of another space than 'transnas_macro'"):
        table(path, "transnas_macro")


def test_the_table_is_for_these_spaces(tmp_path):
    with pytest.raises(TableError, match="is for spaces 'transnas_micro' and 'transnas_macro', but the search space is 'toy'"):
        create_table("transnas101", create_space("toy"), path=str(tmp_path / "none.json"))


@pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
@pytest.mark.parametrize(("kind", "count"), [("micro", 4096), ("macro", 3255)])
def test_known_accuracies_are_read_from_an_npz_file(kind, count):
    path = Path(TABLES) / f"transnas101_{kind}.npz"
    found = table(path, f"transnas_{kind}", "segmentsemantic")
    arrays = np.load(path)
    assert len(found) == count
    assert found.accuracy(str(arrays["arch_str"][7])) == pytest.approx(float(arrays["segmentsemantic"][7]))
