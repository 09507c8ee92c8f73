import bz2
import collections
import gzip
import json
import math
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.spaces import ConfigError, TableError, UnknownNameError, create_space
from rbflex_evo.spaces.families.nats_bench.analog_table import _analog_accuracies
from rbflex_evo.spaces.tables.table import Table, create_table

OFFICIAL = {"nats_tss": "NATS-tss-v1_0-3ffb9-simple", "nats_sss": "NATS-sss-v1_0-50262-simple"}
ANCHORS = {"nats_tss": "nats_tss_nb201", "nats_sss": "nats_sss"}
EPOCHS = {"nats_tss": 200, "nats_sss": 90}


@pytest.fixture
def benchdata():
    folder = os.environ.get("RBFLEX_EVO_TABLES")
    if not folder:
        pytest.skip("RBFLEX_EVO_TABLES is not set")
    return Path(folder)


@pytest.fixture(scope="module")
def toy():
    return create_space("toy", genes=2, choices=3)


@pytest.fixture(scope="module")
def tss():
    return create_space("nats_tss")


def error_of(name, space, **values):
    """Returns the one-line message of a table that cannot be made."""
    with pytest.raises(TableError) as caught:
        create_table(name, space, **values).accuracies()
    message = str(caught.value)
    assert "\n" not in message
    return message


# The interface, on a small CSV file.

TOY_ROWS = {"zero+zero": 10.0, "zero+skip": 50.0, "skip+skip": 70.0, "conv1+skip": 70.0, "conv1+conv1": 90.0}


@pytest.fixture
def toy_csv(tmp_path):
    path = tmp_path / "toy.csv"
    lines = ["notation,accuracy,val"] + [f"{key},{value},{value / 2}" for key, value in TOY_ROWS.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_answers_by_notation(toy, toy_csv):
    table = create_table("csv", toy, path=str(toy_csv), validation="val")
    assert isinstance(table, Table)
    assert (table.space, table.dataset, len(table)) == ("toy", "accuracy", 5)
    assert {key: table.accuracy(key) for key in TOY_ROWS} == TOY_ROWS
    assert table.validation("conv1+conv1") == 45.0
    assert table.accuracy("skip+zero") is None
    assert table.validation("skip+zero") is None


def test_a_table_without_validation_knows_none(toy, toy_csv):
    assert create_table("csv", toy, path=str(toy_csv)).validation("zero+zero") is None


def test_best_mean_values_and_percentiles(toy, toy_csv):
    table = create_table("csv", toy, path=str(toy_csv), dataset="digits")
    assert table.dataset == "digits"
    assert table.best() == ("conv1+conv1", 90.0)
    assert table.mean() == pytest.approx(58.0)
    assert table.values().tolist() == [10.0, 50.0, 70.0, 70.0, 90.0]
    assert [table.percentile(x) for x in (9.9, 10.0, 69.9, 70.0, 90.0)] == [0.0, 20.0, 40.0, 80.0, 100.0]


def test_the_values_of_a_table_cannot_be_changed(toy, toy_csv):
    with pytest.raises(ValueError, match="read-only"):
        create_table("csv", toy, path=str(toy_csv)).values()[0] = 0


def test_a_table_belongs_to_one_space(toy, toy_csv, tss):
    table = create_table("csv", toy, path=str(toy_csv))
    table.check(toy)
    with pytest.raises(TableError, match="table 'csv' is for space 'toy', but the search space is 'nats_tss'"):
        table.check(tss)


def test_an_unknown_table_names_the_nearest_one(toy):
    with pytest.raises(UnknownNameError, match="unknown table 'nats_banch'; did you mean 'nats_bench'"):
        create_table("nats_banch", toy)


def test_an_unknown_parameter_names_the_nearest_one(toy):
    with pytest.raises(ConfigError, match=r"unknown key 'table.pth'; did you mean 'path'\?"):
        create_table("csv", toy, pth="x.csv")


# CSV and npz files.


def test_a_compressed_csv_file_is_read(toy, toy_csv):
    packed = toy_csv.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(toy_csv.read_bytes()))
    assert create_table("csv", toy, path=str(packed)).best() == ("conv1+conv1", 90.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no column or array 'notation'"),
        ("notation,accuracy\n", "has no rows"),
        ("notatin,accuracy\nzero+zero,1\n", "has no column or array 'notation'; did you mean 'notatin'?"),
        ("notation,accuracy\nzero+zero,1\nzero+skip\n", "row 2 has 1 fields; expected 2"),
        ("notation,accuracy\nzero+zero,good\n", "row 1: expected an accuracy in percent, but it is 'good'"),
        ("notation,accuracy\nzero+zero,nan\n", "row 1: expected an accuracy in percent, but it is 'nan'"),
        ("notation,accuracy\nzero+zero,1\nzero+zero,2\n", "has 'zero+zero' in rows 1 and 2; keep one"),
        ("notation,accuracy\nzero+zero,1\n8:8:8:8:8,2\n", "a table of another space than 'toy': row 2: unknown"),
    ],
)
def test_a_wrong_csv_file_is_refused_in_one_line(toy, tmp_path, text, expected):
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    message = error_of("csv", toy, path=str(path))
    assert expected in message
    assert "wrong.csv" in message


@pytest.mark.parametrize("name", ["wrong.csv", "wrong.csv.gz"])
def test_bytes_that_are_no_csv_file_are_refused(toy, tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\x80")
    assert "is not a CSV file" in error_of("csv", toy, path=str(tmp_path / name))


@pytest.mark.parametrize(("name", "more"), [("csv", {}), ("npz", {"accuracy": "a"})])
def test_a_missing_file_is_named(toy, name, more):
    assert error_of(name, toy, path="nowhere/table.x", **more) == "no table file 'nowhere/table.x'; check the path"


def test_a_folder_is_no_table_file(toy, tmp_path):
    assert error_of("csv", toy, path=str(tmp_path)) == f"no table file {str(tmp_path)!r}, but a folder; check the path"


@pytest.mark.parametrize("content", [b"# a text", b"", b"PK\x03\x04 the first bytes only"])
def test_a_file_that_is_no_archive_is_refused_without_numpys_advice_to_load_it_unsafely(toy, tmp_path, content):
    (tmp_path / "table.npz").write_bytes(content)
    message = error_of("npz", toy, path=str(tmp_path / "table.npz"), accuracy="test")
    assert "is not an .npz file of plain arrays, or it was cut short" in message and "pickle" not in message


def saved(tmp_path, **arrays):
    path = tmp_path / "table.npz"
    np.savez(path, **arrays)
    return str(path)


def test_npz_arrays_are_named_by_parameters(toy, tmp_path):
    path = saved(
        tmp_path,
        arch_str=np.array(["zero+zero", "skip+conv1"]),
        test=np.array([10, 90.5], dtype=np.float32),
        val=np.array([11, 80]),
        unrelated=np.array([{}], dtype=object),
    )
    table = create_table("npz", toy, path=path, accuracy="test", validation="val")
    assert (table.dataset, table.best(), table.validation("skip+conv1")) == ("test", ("skip+conv1", 90.5), 80.0)


def test_npz_widths_make_the_notation_of_the_size_space(tmp_path):
    path = saved(tmp_path, widths=np.array([[8, 16, 24, 32, 64], [8] * 5], dtype=np.int8), test=np.array([80.0, 60.0]))
    table = create_table("npz", create_space("nats_sss"), path=path, accuracy="test", channels="widths")
    assert table.accuracy("8:16:24:32:64") == 80.0


@pytest.mark.parametrize(
    ("arrays", "values", "expected"),
    [
        ({"arch_str": ["zero+zero"], "test": [1.0]}, {"accuracy": "tst"}, "no column or array 'tst'; did you mean 'test'?"),
        ({"archs": ["zero+zero"], "test": [1.0]}, {"accuracy": "test"}, "no column or array 'arch_str'; did you mean 'archs"),
        ({"arch_str": ["zero+zero"], "test": [1.0, 2.0]}, {"accuracy": "test"}, "has 2 rows, but there are 1 notations"),
        ({"arch_str": ["zero+zero"], "test": [[[1.0]]]}, {"accuracy": "test"}, "has shape (1, 1, 1); expected 1 dimension"),
        ({"arch_str": ["zero+zero"], "test": ["x"]}, {"accuracy": "test"}, "expected an accuracy in percent, but it is 'x'"),
        ({"arch_str": ["|none~0|"], "test": [1.0]}, {"accuracy": "test"}, "a table of another space than 'toy'"),
        ({"w": [[8, 8]], "test": [1.0]}, {"accuracy": "test", "channels": "w"}, "a table of another space than 'toy'"),
    ],
)
def test_a_wrong_npz_file_is_refused_in_one_line(toy, tmp_path, arrays, values, expected):
    path = saved(tmp_path, **{name: np.array(array) for name, array in arrays.items()})
    assert expected in error_of("npz", toy, path=path, **values)


def test_an_npz_file_never_unpickles(toy, tmp_path):
    path = saved(tmp_path, arch_str=np.array(["zero+zero"]), test=np.array([Trap()], dtype=object))
    assert "is not an .npz file of plain arrays" in error_of("npz", toy, path=path, accuracy="test")
    assert not Trap.sprung


def test_what_is_no_npz_file_is_refused(toy, tmp_path):
    path = tmp_path / "table.npz"
    path.write_bytes(b"no zip")
    assert "is not an .npz file" in error_of("npz", toy, path=str(path), accuracy="test")


class Trap:
    """An object whose unpickling would be noticed."""

    sprung = False

    def __reduce__(self):
        return _spring, ()


def _spring():
    Trap.sprung = True


# NATS-Bench, on a folder in the official format.


def trial(name, seed, sets, epochs):
    """One training as NATS-Bench stores it: accuracies of `sets` at the last epoch."""
    keys = [f"{one}@{epoch}" for one in sets for epoch in range(epochs)]
    last = {f"{one}@{epochs - 1}": accuracy for one, accuracy in sets.items()}
    every = dict.fromkeys(range(epochs), 0.0)
    return {
        "name": name,
        "net_state_dict": None,
        "train_acc1es": every,
        "train_acc5es": None,
        "train_losses": every,
        "train_times": collections.OrderedDict(dict.fromkeys(range(epochs), 1.0)),
        "arch_config": {"arch_str": "", "class_num": 10},
        "params": 1.0,
        "flop": 1.0,
        "seed": seed,
        "epochs": epochs,
        "latency": [0.1],
        "eval_names": list(sets),
        "eval_acc1es": {key: last.get(key, 0.0) for key in keys},
        "eval_times": dict.fromkeys(keys, 1.0),
        "eval_losses": dict.fromkeys(keys, 1.0),
    }


def record(index, notation, trials, epochs):
    results = {(trial["name"], trial["seed"]): trial for trial in trials}
    seeds = {name: [seed for other, seed in results if other == name] for name, _ in results}
    state = {"arch_index": index, "arch_str": notation, "all_results": results, "dataset_seed": seeds}
    return {str(epochs): {**state, "clear_net_done": True}}


def packed(path, content):
    with bz2.open(path, "wb") as file:
        pickle.dump(content, file, protocol=4)


def trials(base, epochs):
    """Two seeds of each data set, test accuracies `base` + 1 and `base` + 3, validation 10 below."""
    made = []
    for seed, more in ((777, 1.0), (888, 3.0)):
        high, low = base + more, base + more - 10
        made.append(trial("cifar10-valid", seed, {"x-valid": low, "ori-test": 99.0}, epochs))
        made.append(trial("cifar10", seed, {"ori-test": high}, epochs))
        for name, shift in (("cifar100", -20), ("ImageNet16-120", -40)):
            sets = {"x-valid": low + shift, "x-test": high + shift, "ori-test": 99.0}
            made.append(trial(name, seed, sets, epochs))
    return made


SIX_CELLS = [(op,) * 6 for op in range(5)] + [(0, 1, 2, 3, 4, 0)]


@pytest.fixture
def official(tmp_path, tss):
    """A folder of six cells in the official format, of which 0, 2 and 5 have records."""
    notations = [tss.notation(cell) for cell in SIX_CELLS]
    meta = {"meta_archs": notations, "total_archs": 6, "arch2infos": None, "evaluated_indexes": set()}
    packed(tmp_path / "meta.pickle.pbz2", meta)
    for index, base in ((0, 50.0), (2, 80.0), (5, 60.0)):
        packed(tmp_path / f"{index:06d}.pickle.pbz2", record(index, notations[index], trials(base, 200), 200))
    return tmp_path


@pytest.mark.parametrize(("dataset", "shift"), [("cifar10", 0), ("cifar100", -20), ("ImageNet16-120", -40)])
def test_nats_bench_reports_means_over_seeds_after_the_full_training(official, tss, dataset, shift):
    table = create_table("nats_bench", tss, path=str(official), dataset=dataset)
    notation = tss.notation(SIX_CELLS[2])
    assert table.accuracy(notation) == pytest.approx(82.0 + shift)
    assert table.validation(notation) == pytest.approx(72.0 + shift)


@pytest.mark.parametrize(("dataset", "shift"), [("cifar10", 0), ("cifar100", -20)])
def test_nats_bench_gives_the_training_run_of_each_seed(official, tss, dataset, shift):
    table = create_table("nats_bench", tss, path=str(official), dataset=dataset)
    notation = tss.notation(SIX_CELLS[2])
    wanted = (pytest.approx(81.0 + shift), pytest.approx(83.0 + shift), pytest.approx(math.nan, nan_ok=True))
    assert table.runs(notation) == wanted
    assert table.accuracy(notation) == pytest.approx(82.0 + shift)
    # Accuracies that were kept in the cache come without runs, which are then read.
    assert table.values().size == 3
    again = create_table("nats_bench", tss, path=str(official), dataset=dataset)
    assert again.values().size == 3 and again.runs(notation) == wanted
    assert table.runs(tss.notation(SIX_CELLS[1])) == ()


def test_nats_bench_works_over_the_records_that_are_there(official, tss):
    table = create_table("nats_bench", tss, path=str(official))
    assert table.accuracy(tss.notation(SIX_CELLS[1])) is None
    assert table.validation(tss.notation((4, 3, 2, 1, 0, 0))) is None
    assert len(table) == 3
    assert table.values().tolist() == pytest.approx([52.0, 62.0, 82.0])
    assert table.best() == (tss.notation(SIX_CELLS[2]), pytest.approx(82.0))
    assert table.mean() == pytest.approx(196 / 3)
    assert table.percentile(62.0) == pytest.approx(200 / 3)


def test_nats_bench_keeps_what_it_has_read_until_the_folder_changes(official, tss, tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("rbflex_evo.spaces.families.nats_bench.table.KEPT_FROM", 0)
    first = create_table("nats_bench", tss, path=str(official)).values().tolist()
    (kept,) = (tmp_path / "cache" / "tables").iterdir()
    with np.load(kept) as arrays:
        changed = {"index": arrays["index"], "accuracy": arrays["accuracy"] + 1}
    np.savez(kept, **changed)
    assert create_table("nats_bench", tss, path=str(official)).values().tolist() == pytest.approx([a + 1 for a in first])
    kept.write_bytes(b"damaged")
    assert create_table("nats_bench", tss, path=str(official)).values().tolist() == first
    packed(official / "000001.pickle.pbz2", record(1, tss.notation(SIX_CELLS[1]), trials(70.0, 200), 200))
    assert len(create_table("nats_bench", tss, path=str(official))) == 4


def test_nats_bench_reads_one_record_when_one_is_asked_for(official, tss):
    (official / "000005.pickle.pbz2").write_bytes(b"damaged")
    table = create_table("nats_bench", tss, path=str(official))
    assert table.accuracy(tss.notation(SIX_CELLS[2])) == pytest.approx(82.0)
    with pytest.raises(TableError, match=r"000005\.pickle\.pbz2' has no cifar10 record of 200 epochs"):
        table.accuracy(tss.notation(SIX_CELLS[5]))


def test_nats_bench_accepts_the_other_official_file_name(official, tss):
    (official / "000002.pickle.pbz2").rename(official / "2.pickle.pbz2")
    assert len(create_table("nats_bench", tss, path=str(official))) == 3


def test_nats_bench_is_quiet_and_leaves_global_random_state_alone(official, tss, capfd, recwarn):
    def states():
        return random.getstate(), repr(np.random.get_state(legacy=False))

    before = states()
    create_table("nats_bench", tss, path=str(official)).mean()
    assert states() == before
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_nats_bench_records_of_a_short_training_are_not_taken_for_the_full_one(official, tss):
    notation = tss.notation(SIX_CELLS[0])
    packed(official / "000000.pickle.pbz2", record(0, notation, trials(50.0, 12), 12))
    table = create_table("nats_bench", tss, path=str(official))
    with pytest.raises(TableError, match="no cifar10 record of 200 epochs that can be read"):
        table.accuracy(notation)


def test_a_nats_bench_folder_of_the_other_space_is_refused(official):
    message = error_of("nats_bench", create_space("nats_sss"), path=str(official))
    assert "is a table of another space than 'nats_sss'" in message


def test_a_missing_nats_bench_folder_says_what_is_expected(tss):
    message = error_of("nats_bench", tss, path="nowhere")
    assert message.startswith("no NATS-Bench records in 'nowhere'; expected the official unpacked folder NATS-tss-")


def test_a_folder_with_no_record_says_what_is_expected(official, tss):
    for file in official.glob("0*"):
        file.unlink()
    assert "expected files such as 000000.pickle.pbz2" in error_of("nats_bench", tss, path=str(official))


def test_damaged_nats_bench_names_are_refused(official, tss):
    (official / "meta.pickle.pbz2").write_bytes(b"damaged")
    assert "cannot read" in error_of("nats_bench", tss, path=str(official))


@pytest.mark.parametrize("name", ["nats_bench", "analog_nasbench"])
def test_a_benchmark_refuses_another_space(toy, name):
    values = {"path": "nowhere"} if name == "nats_bench" else {}
    assert "but the search space is 'toy'" in error_of(name, toy, **values)


def test_an_unknown_dataset_is_refused(tss):
    with pytest.raises(ConfigError, match=r"'table.dataset': input should be 'cifar10', 'cifar100' or 'ImageNet16-120'"):
        create_table("nats_bench", tss, path="x", dataset="mnist")


def final_accuracies(entry, dataset, name, epochs):
    found = [one[name] for one in entry["final_accuracy"] if (one["dataset"], one["epochs"]) == (dataset, epochs) and name in one]
    return sum(found) / len(found)


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_official_records_equal_the_known_ones(benchdata, name):
    space, epochs = create_space(name), EPOCHS[name]
    entries = json.loads((benchdata / "nats_anchors.json").read_text())[ANCHORS[name]]
    folder = str(benchdata / "nats_official_sample" / OFFICIAL[name])
    tables = {d: create_table("nats_bench", space, path=folder, dataset=d) for d in ("cifar10", "cifar100")}
    assert sorted(entry["index"] for entry in entries) == [0, 11, 284]
    for entry in entries:
        arch = entry["arch_str"]
        test = final_accuracies(entry, "cifar10", "ori-test", epochs)
        validation = final_accuracies(entry, "cifar10-valid", "x-valid", epochs)
        assert tables["cifar10"].accuracy(arch) == pytest.approx(test, abs=1e-4)
        assert tables["cifar10"].validation(arch) == pytest.approx(validation, abs=1e-4)
        assert tables["cifar100"].accuracy(arch) == pytest.approx(final_accuracies(entry, "cifar100", "x-test", epochs), abs=1e-4)
        assert tables["cifar100"].validation(arch) == pytest.approx(
            final_accuracies(entry, "cifar100", "x-valid", epochs), abs=1e-4
        )
    assert len(tables["cifar10"]) == 3


# AnalogNAS-Bench, from its installed package.


@pytest.fixture(scope="module")
def analog(tss):
    return create_table("analog_nasbench", tss)


def test_analog_nasbench_knows_every_cell_in_the_benchmark_s_notation(analog, tss):
    assert len(analog) == 15625
    assert all(analog.accuracy(tss.notation(cell)) is not None for cell in tss.encoding.enumerate())
    assert (analog.space, analog.dataset) == ("nats_tss", "cifar10")


def test_analog_nasbench_ranks_convolutions_above_nothing(analog):
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    best = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert analog.accuracy(nothing) == pytest.approx(10.0)
    assert analog.percentile(analog.accuracy(best)) > 99
    assert analog.validation(best) is None


def test_analog_nasbench_agrees_with_the_official_accuracies(analog, benchdata):
    with np.load(benchdata / "nb201.npz") as arrays:
        ours = [analog.accuracy(notation) for notation in arrays["arch_str"].tolist()]
        assert np.corrcoef(ours, arrays["cifar10_test_200ep_mean"])[0, 1] >= 0.998


def test_analog_nasbench_admits_no_other_class(tmp_path):
    path = tmp_path / "data.anb"
    path.write_bytes(pickle.dumps({(0,) * 6: Trap()}))
    with pytest.raises(TableError, match=r"contains .*_spring, which is not a class of the benchmark"):
        _analog_accuracies(path)
    assert not Trap.sprung


@pytest.mark.parametrize("content", [b"", b"\x80\x04", pickle.dumps([1, 2]), pickle.dumps({(9,) * 6: 1.0})])
def test_damaged_analog_data_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "data.anb"
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"data\.anb' is not AnalogNAS-Bench's data: .*Error"):
        _analog_accuracies(path)


def test_a_missing_package_says_what_to_install(tss, monkeypatch):
    # An empty search path is what a machine without the package looks like.
    monkeypatch.setattr("sys.path", [])
    assert error_of("analog_nasbench", tss) == "table 'analog_nasbench' needs a package: pip install \"rbflex-evo[tables]\""
