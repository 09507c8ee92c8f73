"""The AutoFormer table reads encodings and accuracies of its space, and refuses what is not."""

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


@pytest.fixture
def space():
    return create_space("autoformer_tiny", min_depth=2, max_depth=3)


def written(path, **arrays):
    columns = {
        "tiny_depth": np.array([2, 3]),
        "tiny_num_heads": np.array([[3, 4, 0], [4, 4, 3]]),
        "tiny_mlp_ratio": np.array([[4.0, 3.5, NAN], [3.5, 3.5, 4.0]], np.float32),
        "tiny_embed_dim": np.array([192, 240]),
        "tiny_imagenet_top1": np.array([74.5, 75.25]),
    }
    np.savez(path / "known.npz", **columns | arrays)
    return str(path / "known.npz")


def test_networks_have_the_accuracies_of_their_rows(space, tmp_path):
    path = written(tmp_path)
    table = create_table("autoformer", space, path=path)
    assert table.accuracies() == {"192: h3r4 h4r3.5": 74.5, "240: h4r3.5 h4r3.5 h3r4": 75.25}
    assert table.dataset == "imagenet_top1"
    check_table("autoformer", space, path=path)


def test_another_prefix_and_accuracy_can_be_named(space, tmp_path):
    names = {"depth": [2], "num_heads": [[3, 4]], "mlp_ratio": [[4.0, 3.5]], "embed_dim": [192], "cifar100_kd": [77.0]}
    path = written(tmp_path, **{f"autoformer_{name}": np.array(values) for name, values in names.items()})
    table = create_table("autoformer", space, path=path, prefix="autoformer_", accuracy="cifar100_kd", dataset="cifar100")
    assert table.accuracies() == {"192: h3r4 h4r3.5": 77.0}
    assert table.dataset == "cifar100"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"tiny_embed_dim": np.array([192, 200])}, "row 2: the width must be one of"),
        ({"tiny_num_heads": np.array([[3, 4, 0]])}, "differ in their rows"),
        ({"tiny_depth": np.array([3, 3])}, "row 1"),
        ({"tiny_imagenet_top1": np.array([0.7, 0.8])}, "percent"),
    ],
)
def test_other_rows_are_refused(space, tmp_path, arrays, message):
    with pytest.raises(TableError, match=message):
        create_table("autoformer", space, path=written(tmp_path, **arrays))


def test_a_missing_array_is_named(tmp_path):
    with pytest.raises(TableError, match="has no column or array 'small_depth'"):
        create_table("autoformer", create_space("autoformer_small"), path=written(tmp_path))


def test_another_space_is_refused(tmp_path):
    with pytest.raises(TableError, match="table 'autoformer' is for spaces 'autoformer_tiny', "):
        create_table("autoformer", create_space("toy"), path=written(tmp_path))


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is unset")
@pytest.mark.parametrize(("name", "best"), [("tiny", 75.54), ("small", 81.66)])
def test_the_known_accuracies_are_read(name, best):
    table = create_table("autoformer", create_space(f"autoformer_{name}"), path=str(Path(TABLES or "") / "autoformer.npz"))
    assert len(table) == 1001
    assert table.best()[1] == pytest.approx(best, abs=0.005)
