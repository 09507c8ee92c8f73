"""Tests of the unit of accuracies: fractions and what is no percentage are refused, with the file and the row."""

import json

import numpy as np
import pytest

from rbflex_evo.spaces import TableError, create_space
from rbflex_evo.spaces.tables.percent import check_percent
from rbflex_evo.spaces.tables.table import create_table

TOY = ("zero+skip", "skip+skip", "conv1+skip")
VGG = ("ReLU", "GELU", "SiLU")


@pytest.fixture(scope="module")
def toy():
    return create_space("toy", genes=2, choices=3)


def csv_table(folder, space, accuracies, validations=None):
    rows = zip(TOY, accuracies, validations or accuracies, strict=True)
    (folder / "t.csv").write_text("notation,accuracy,val\n" + "".join(f"{n},{a},{v}\n" for n, a, v in rows))
    values = {"validation": "val"} if validations else {}
    return create_table("csv", space, path=str(folder / "t.csv"), **values)


def npz_table(folder, space, accuracies, validations=None):
    arrays = {"arch_str": np.array(TOY), "test": np.array(accuracies)}
    np.savez(folder / "t.npz", **arrays, val=np.array(validations or accuracies))
    values = {"validation": "val"} if validations else {}
    return create_table("npz", space, path=str(folder / "t.npz"), accuracy="test", **values)


@pytest.mark.parametrize("table", [csv_table, npz_table])
@pytest.mark.parametrize("fractions", [(0.1, 0.93, 0.5), (0.0, 1.0, 0.25), (1, 1, 0)])
def test_fractions_are_refused_in_every_column(tmp_path, toy, table, fractions):
    with pytest.raises(TableError, match=r"t\.(csv|npz)'.*these look like fractions.*expected an accuracy in percent \(0\.\.100\)"):
        table(tmp_path, toy, fractions)
    with pytest.raises(TableError, match=r"'val' of .*these look like fractions"):
        table(tmp_path, toy, (10, 93, 50), fractions)


@pytest.mark.parametrize("table", [csv_table, npz_table])
@pytest.mark.parametrize(("wrong", "said"), [(-0.5, "-0.5"), (100.5, "100.5"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_what_is_no_percentage_is_refused_with_its_row(tmp_path, toy, table, wrong, said):
    with pytest.raises(TableError, match=rf"row 2: expected an accuracy in percent.*, but it is '?{said}"):
        table(tmp_path, toy, (10.0, wrong, 50.0))


@pytest.mark.parametrize("table", [csv_table, npz_table])
def test_low_percentages_beside_high_ones_are_accepted(tmp_path, toy, table):
    assert table(tmp_path, toy, (0.0, 0.93, 100)).accuracies() == {TOY[0]: 0.0, TOY[1]: 0.93, TOY[2]: 100.0}


def test_every_run_of_a_mean_is_checked(tmp_path, toy):
    with pytest.raises(TableError, match=r"row 1: .*, but it is 150"):
        npz_table(tmp_path, toy, [[50.0, 150.0], [60.0, 70.0], [60.0, 70.0]])
    with pytest.raises(TableError, match="these look like fractions"):
        npz_table(tmp_path, toy, [[0.5, 0.6], [0.7, 0.8], [0.6, 0.7]])


@pytest.mark.parametrize("text", ["9_3", "93%", "0x5d", "True"])
def test_a_field_that_only_a_programming_language_reads_is_no_accuracy(tmp_path, toy, text):
    with pytest.raises(TableError, match=f"row 2: expected an accuracy in percent, but it is '{text}'"):
        csv_table(tmp_path, toy, (10, text, 50))


def test_a_column_that_stands_twice_is_refused(tmp_path, toy):
    (tmp_path / "t.csv").write_text("notation,accuracy, accuracy\nzero+skip,50,60\n")
    with pytest.raises(TableError, match="has the column 'accuracy' twice; give one of them another name"):
        create_table("csv", toy, path=str(tmp_path / "t.csv"))


def test_a_json_table_that_is_too_deep_is_one_line(tmp_path):
    (tmp_path / "t.json").write_text("[" * 100_000)
    with pytest.raises(TableError, match=r"t\.json' is not a JSON file"):
        create_table("nds", create_space("nds_resnet"), path=str(tmp_path / "t.json"))


def test_the_compact_table_of_nas_bench_101_refuses_fractions(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("notation,accuracy\n011/001/000:conv3x3-bn-relu,0.94\n01/00:,0.81\n")
    with pytest.raises(TableError, match=r"these look like fractions, the largest is 0\.94"):
        create_table("nasbench101", create_space("nasbench101"), path=str(path))


@pytest.mark.parametrize(
    ("wrong", "said"), [(0.93, "look like fractions"), (930, "record '1': .*but it is 930"), (-1, "but it is -1")]
)
def test_nafbee_refuses_what_is_no_percentage(tmp_path, wrong, said):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"1": {"network": "VGG19", "activation": "ReLU", "accuracy": wrong}}))
    with pytest.raises(TableError, match=said):
        create_table("nafbee", create_space("nafbee_vgg19"), path=str(path))


@pytest.mark.parametrize(
    ("errors", "said"), [((0.05, 0.07), "look like fractions.*a test error"), ((5, 107), "row 2: .*a test error in percent")]
)
def test_nds_refuses_errors_that_are_no_percentages(tmp_path, errors, said):
    space = create_space("nds_resnet")
    path = tmp_path / "t.json"
    records = [{**json.loads(space.notation((i,) * 6)), "test_ep_top1": [error]} for i, error in enumerate(errors)]
    path.write_text(json.dumps(records))
    with pytest.raises(TableError, match=said):
        create_table("nds", space, path=str(path))


@pytest.mark.parametrize(
    ("task", "values", "said"),
    [
        ("class_object", (0.4, 0.45), "look like fractions"),
        ("class_object", (40, 145), "row 2: .*but it is 145"),
        ("autoencoder", (0.5, 57.0), "row 2: expected a ssim of at most 1, but it is 57"),
        ("room_layout", (-0.6, 0.5), "row 2: expected a neg_loss of at most 0, but it is 0.5"),
    ],
)
def test_transnas_refuses_what_is_not_in_the_unit_of_its_metric(tmp_path, task, values, said):
    path = tmp_path / f"micro_{task}.json"
    path.write_text(json.dumps([[f"64-41414-{i}_00_001", value] for i, value in enumerate(values)]))
    with pytest.raises(TableError, match=said):
        create_table("transnas101", create_space("transnas_micro", task=task), path=str(path))


def test_accuracies_of_zero_alone_are_no_fractions():
    check_percent(np.zeros(3), "here")
    check_percent(np.array([]), "here")
