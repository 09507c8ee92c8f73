"""The table of ViT-Bench-101 reads the encodings and accuracies of both of its spaces, and refuses what is not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.spaces import TableError, create_space
from rbflex_evo.spaces.conformance.check_table import check_table
from rbflex_evo.spaces.tables.table import create_table

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
NAN = float("nan")


def written(path, **arrays):
    columns = {
        "pit_base_dim": np.array([24, 16]),
        "pit_mlp_ratio": np.array([4, 2]),
        "pit_depth": np.array([[2, 6, 4], [1, 4, 2]]),
        "pit_num_heads": np.array([[2, 4, 8], [2, 2, 2]]),
        "pit_cifar100_base": np.array([71.5, 62.25]),
        "pit_flowers_kd": np.array([60.5, 59.25]),
        "autoformer_depth": np.array([12, 13]),
        "autoformer_embed_dim": np.array([192, 240]),
        "autoformer_num_heads": np.array([[3] * 12 + [0], [4] * 13]),
        "autoformer_mlp_ratio": np.array([[4.0] * 12 + [NAN], [3.5] * 13], np.float32),
        "autoformer_cifar100_base": np.array([68.5, 67.75]),
    }
    np.savez(path / "known.npz", **columns | arrays)
    return str(path / "known.npz")


def test_pit_networks_have_the_accuracies_of_their_rows(tmp_path):
    space, path = create_space("pit"), written(tmp_path)
    table = create_table("vitbench101", space, path=path)
    assert table.accuracies() == {"24r4: d2h2 d6h4 d4h8": 71.5, "16r2: d1h2 d4h2 d2h2": 62.25}
    assert table.dataset == "cifar100_base"
    assert create_table("vitbench101", space, path=path, accuracy="flowers_kd").best()[1] == 60.5
    check_table("vitbench101", space, path=path)


def test_autoformer_networks_have_the_accuracies_of_their_rows(tmp_path):
    table = create_table("vitbench101", create_space("autoformer_tiny"), path=written(tmp_path), dataset="CIFAR-100")
    assert table.accuracies() == {f"192: {' '.join(['h3r4'] * 12)}": 68.5, f"240: {' '.join(['h4r3.5'] * 13)}": 67.75}
    assert table.dataset == "CIFAR-100"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pit_base_dim": np.array([24, 20])}, "row 2: width of a network of pit must be one of"),
        ({"pit_depth": np.array([[2, 6, 4]])}, "differ in their rows"),
        ({"pit_depth": np.array([2, 6])}, "has shape"),
        ({"pit_cifar100_base": np.array([0.7, 0.8])}, "percent"),
    ],
)
def test_other_rows_are_refused(tmp_path, arrays, message):
    with pytest.raises(TableError, match=message):
        create_table("vitbench101", create_space("pit"), path=written(tmp_path, **arrays))


def test_an_unknown_accuracy_is_named_with_the_nearest(tmp_path):
    with pytest.raises(TableError, match=r"has no column or array 'pit_flower_kd'.*pit_flowers_kd"):
        create_table("vitbench101", create_space("pit"), path=written(tmp_path), accuracy="flower_kd")


def test_another_space_is_refused(tmp_path):
    with pytest.raises(TableError, match="table 'vitbench101' is for spaces 'autoformer_tiny' and 'pit', but"):
        create_table("vitbench101", create_space("autoformer_small"), path=written(tmp_path))


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is unset")
@pytest.mark.parametrize("name", ["pit", "autoformer_tiny"])
def test_the_benchmark_is_read(name):
    path = str(Path(TABLES or "") / "vitbench101.npz")
    for accuracy in ("cifar100_base", "flowers_kd", "chaoyang_base"):
        assert len(create_table("vitbench101", create_space(name), path=path, accuracy=accuracy)) == 100
