"""Tables of the large spaces: codes and runs, graphs found under isomorphism, NDS's JSON."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from rbflex_evo.spaces import ConfigError, GenotypeError, TableError, VectorEncoding, create_space
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.table import create_table

CELLS = ("0110/0001/0001/0000:conv3x3-bn-relu,maxpool3x3", "011/001/000:conv1x1-bn-relu")


def test_codes_are_joined_and_runs_are_averaged(tmp_path):
    path = tmp_path / "macro.npz"
    codes = np.array([[2, 2, 2, 1, 2, 2, 2, 0], [0] * 8], np.int8)
    np.savez(path, code=codes, test=np.array([[93.0, 94.0], [50.0, 51.0]], np.float32))
    space = create_space("nasbench_macro")
    table = create_table("npz", space, path=str(path), accuracy="test", code="code")
    assert dict(table.accuracies()) == {"22212220": 93.5, "00000000": 50.5}
    assert table.runs("22212220") == (93.0, 94.0) and table.runs("11111111") == ()
    with pytest.raises(ConfigError, match=r"'table.channels' and 'table.code' both"):
        create_table("npz", space, path=str(path), accuracy="test", code="code", channels="code")


@pytest.mark.parametrize("form", ["csv", "csv.gz", "npz"])
def test_a_cell_is_found_whatever_its_order_and_what_can_be_pruned(tmp_path, form):
    path = tmp_path / f"cells.{form}"
    text = "notation,accuracy\n" + "".join(f'"{cell}",{90 + i}\n' for i, cell in enumerate(CELLS))
    if form == "npz":
        np.savez(path, notation=np.array(CELLS), accuracy=np.array([90.0, 91.0]))
    else:
        path.write_bytes(gzip.compress(text.encode()) if form.endswith("gz") else text.encode())
    space = create_space("nasbench101")
    table = create_table("nasbench101", space, path=str(path))
    assert len(table) == 2
    assert table.best()[1] == 91.0

    def accuracy(cell):
        return table.accuracy(space.notation(space.parse(cell)))

    assert accuracy(CELLS[0]) == 90.0
    assert accuracy("0110/0001/0001/0000:maxpool3x3,conv3x3-bn-relu") == 90.0
    assert accuracy("01010/00001/00010/00000/00000:conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3") is None
    assert accuracy("0101/0001/0000/0000:conv1x1-bn-relu,maxpool3x3") == 91.0  # node 2 comes from nothing
    assert accuracy("01/00:") is None


def test_a_table_of_cells_is_for_their_space(tmp_path):
    with pytest.raises(TableError, match="is for space 'nasbench101', but the search space is 'toy'"):
        create_table("nasbench101", create_space("toy"), path=str(tmp_path / "none.csv"))


class Depths(SearchSpace):
    """A space whose notation is an NDS record, as those of the paper are."""

    name = "depths"
    encoding = VectorEncoding([30])

    def notation(self, genotype):
        return json.dumps({"net": {"depth": genotype[0]}})

    def parse(self, text):
        net = json.loads(text)["net"]
        if set(net) != {"depth"}:
            raise GenotypeError(f"expected a depth, but it is {net}")
        return (net["depth"],)

    def build(self, genotype):
        raise NotImplementedError


def record(depth, errors, **more):
    return {"net": {"depth": depth}, "test_ep_top1": errors, "min_test_top1": min(errors), "params": 1, "optim": {}, **more}


def saved(tmp_path, content):
    path = tmp_path / "DARTS.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_nds_records_are_read_at_the_last_or_the_best_epoch(tmp_path):
    path = saved(tmp_path, [record(4, [80.0, 9.5, 10.0]), record(8, [7.0, 6.0]), record(4, [20.0])])
    table = create_table("nds", Depths(), path=path)
    assert table.dataset == "DARTS"
    assert table.accuracy('{"net": {"depth": 4}}') == 85.0  # the mean of two trainings
    assert table.best() == ('{"net": {"depth": 8}}', 94.0)
    assert create_table("nds", Depths(), path=path, epoch="best").accuracy('{"net": {"depth": 4}}') == (90.5 + 80) / 2


def test_nds_records_of_imagenet_come_in_two_lists(tmp_path):
    path = saved(tmp_path, {"top": [record(1, [30.0])], "mid": [record(2, [40.0])]})
    assert len(create_table("nds", Depths(), path=path, dataset="imagenet")) == 2


@pytest.mark.parametrize("name", ["nds_amoeba", "nds_darts", "nds_enas", "nds_nasnet", "nds_pnas", "nds_resnet"])
def test_records_of_a_space_are_found_by_its_genotypes(tmp_path, name):
    space = create_space(name)
    rng = np.random.default_rng(0)
    genotypes = [space.encoding.sample(rng) for _ in range(5)]
    # What the files hold besides: the auxiliary head that was trained with it, training's settings, errors by epoch.
    nets = [json.loads(space.notation(genotype))["net"] | {"aux": True, "drop_prob": 0.0} for genotype in genotypes]
    path = saved(tmp_path, [record(0, [90.0, 10.0 + i], net=net, params=1) for i, net in enumerate(nets)])
    table = create_table("nds", space, path=path)
    assert [table.accuracy(space.notation(genotype)) for genotype in genotypes] == [90.0, 89.0, 88.0, 87.0, 86.0]
    other = create_space("nds_darts" if name == "nds_resnet" else "nds_resnet")
    with pytest.raises(TableError, match=r"record 1 is not a network of space"):
        create_table("nds", other, path=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is not a JSON file"),
        ("3", "is not an NDS file; expected a list of records"),
        ([], "has no records"),
        ([{"test_ep_top1": [1.0]}], "record 1 has no 'net'"),
        ([record(1, [1.0]), {"net": {"width": 1}, "test_ep_top1": [1.0]}], "record 2 is not a network of space 'depths'"),
        ([{"net": {"depth": 1}}], "record 1: expected a test error in percent as 'test_ep_top1', but it is None"),
        ([{"net": {"depth": 1}, "test_ep_top1": []}], r"record 1: expected a test error in percent .*, but it is \[\]"),
    ],
)
def test_a_wrong_nds_file_is_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(TableError, match=message) as caught:
        create_table("nds", Depths(), path=saved(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_missing_nds_file_is_refused():
    with pytest.raises(TableError, match=r"no table file 'nowhere\.json'"):
        create_table("nds", Depths(), path="nowhere.json")
