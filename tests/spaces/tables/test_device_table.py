"""Tables of costs on devices: their kinds, names, rows and mistakes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, RbflexEvoError, TableError, create_space
from rbflex_evo.spaces.families.nats_bench.device_tables import HELP_DEVICES, HW_DEVICES
from rbflex_evo.spaces.tables.device_table import DEVICE_TABLES, open_device_table

DATA = os.environ.get("RBFLEX_EVO_TABLES")
TSS = create_space("nats_tss")
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
ROWS = np.arange(15625) / 1000


def saved(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "devices.npz", **arrays)
    return str(folder / "devices.npz")


def subject() -> CostSubject:
    return CostSubject(TSS, TSS.representative(TSS.key(TSS.parse(CELL))))


def test_kinds_are_registered_by_the_names_they_have() -> None:
    for name in DEVICE_TABLES.names():
        kind = DEVICE_TABLES.get(name)
        assert kind.name == name
        assert kind.description


def test_a_cost_in_official_order_is_that_of_the_network_that_is_scored(tmp_path: Path) -> None:
    metric = create_metric("latency:phone", TSS, {"path": saved(tmp_path, phone=ROWS)})
    assert metric.name == "latency:phone"
    assert metric.cost(subject()) == TSS.index(subject().genotype) / 1000


def test_a_cost_by_notation_may_know_a_part_of_a_space(tmp_path: Path) -> None:
    toy = create_space("toy", genes=2)
    path = saved(tmp_path, arch=np.array(["conv1+conv3", "skip+conv1"]), phone_energy=np.array([2.5, 1.25]))
    for values in ({}, {"notation": "arch"}):
        metric = create_metric("energy:phone", toy, {"path": path, **values})
        assert metric.cost(CostSubject(toy, toy.parse("skip+conv1"))) == 1.25
        with pytest.raises(CandidateFailed, match="has no row of it"):
            metric.cost(CostSubject(toy, toy.parse("zero+zero")))


def test_hw_nas_bench_has_latency_and_energy_on_several_data_sets(tmp_path: Path) -> None:
    names = ("cifar10_pixel3_latency", "cifar100_pixel3_latency", "cifar10_eyeriss_energy")
    path = saved(tmp_path, **{name: ROWS + i for i, name in enumerate(names)})
    row = TSS.index(subject().genotype) / 1000
    assert create_metric("latency:pixel3", TSS, {"path": path}).cost(subject()) == row
    assert create_metric("latency:pixel3", TSS, {"path": path, "dataset": "cifar100"}).cost(subject()) == row + 1
    assert create_metric("energy:eyeriss", TSS, {"path": path, "table": "hw_nas_bench"}).cost(subject()) == row + 2
    with pytest.raises(TableError, match="no data set 'cifar1000'; did you mean 'cifar100'"):
        create_metric("latency:pixel3", TSS, {"path": path, "dataset": "cifar1000"})


def test_equal_devices_in_two_files_have_the_same_fingerprint_and_others_another(tmp_path: Path) -> None:
    first = create_metric("latency:phone", TSS, {"path": saved(tmp_path, phone=ROWS)}).file
    assert create_metric("latency:phone", TSS, {"path": saved(tmp_path, phone=ROWS, board=ROWS)}).file == first
    assert create_metric("latency:phone", TSS, {"path": saved(tmp_path, phone=ROWS + 1)}).file != first


@pytest.mark.parametrize(
    ("space", "name", "values", "message"),
    [
        ("nats_tss", "latency:raspi", {}, "has no 'latency:raspi'; did you mean 'latency:raspi4'?"),
        ("nats_tss", "energy:raspi4", {}, "has no 'energy:raspi4'"),
        ("nats_tss", "latency:raspi4", {"table": "hw_nas_bench"}, "is no device table 'hw_nas_bench'"),
        ("nats_tss", "latency:raspi4", {"table": "hwnasbench"}, "unknown device table 'hwnasbench'; did you mean 'hw_nas_bench'"),
        ("nats_tss", "latency:raspi4", {"dataset": "cifar10"}, "has no data set 'cifar10'; leave out 'dataset'"),
        ("nats_sss", "latency:raspi4", {"notation": "missing"}, "has no array 'missing'"),
        ("nats_sss", "latency:raspi4", {"notation": "arch"}, "is a table of another space than 'nats_sss'"),
        ("nats_tss", "latency:raspi4", {"notation": "arch"}, "has 15625 rows of a device, but there are 1 notations"),
        ("nats_tss", "latency:arch", {"notation": "raspi4"}, "expected one number an architecture"),
        ("nats_tss", "latency:wide", {"notation": "arch"}, "expected one number an architecture"),
        ("nats_tss", "latency:below", {"notation": "arch"}, "row 1 is -1; expected a number of ms of at least 0"),
        ("nats_tss", "latency:raspi4", {"path": "nowhere.npz"}, "no table file 'nowhere.npz'"),
        ("nats_tss", "latency:raspi4", {"path": __file__}, "is not an .npz file of plain arrays"),
        ("nats_tss", "latency:raspi4", {"colum": 1}, "unknown key 'metric.colum'"),
    ],
)
def test_a_wrong_file_is_one_line_with_the_way_out(
    tmp_path: Path, space: str, name: str, values: dict[str, object], message: str
) -> None:
    path = saved(tmp_path, raspi4=ROWS, arch=np.array([CELL]), wide=np.ones((1, 2)), below=np.array([-1.0]))
    with pytest.raises(RbflexEvoError) as error:
        create_metric(name, create_space(space), {"path": path, **values})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("nats_sss", "is a table of another space: it has 15,625 rows, but nats_sss has 32,768"),
        ("toy", "toy has no official order for the rows of"),
    ],
)
def test_a_table_in_the_order_of_another_space_is_refused(tmp_path: Path, space: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        create_metric("latency:phone", create_space(space), {"path": saved(tmp_path, phone=ROWS)})


def test_a_published_table_belongs_to_its_space(tmp_path: Path) -> None:
    path = saved(tmp_path, pixel2=ROWS)
    assert open_device_table(path, TSS).name == "help_nb201"
    with pytest.raises(TableError, match=r"'notation' is for the device table 'npz', but .* is a 'help_nb201'; leave it out"):
        open_device_table(path, TSS, "help_nb201", "arch")
    with pytest.raises(TableError, match="'help_nb201', which is for nats_tss, but the search space is 'nats_sss'"):
        open_device_table(path, create_space("nats_sss"))


def test_the_devices_of_a_file_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, phone=ROWS, board_energy=ROWS)
    assert run(["list", "devices", "nats_tss", "--path", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "latency:phone: 0 .. 15.62 ms, median 7.812, 15,625 networks"
    assert lines[1].startswith("energy:board: ") and " mJ," in lines[1]
    assert run(["list", "devices", "nats_tss", "--path", path, "--json"]) == 0
    assert [entry["metric"] for entry in json.loads(capsys.readouterr().out)] == ["latency:phone", "energy:board"]


def test_the_kinds_of_device_tables_of_a_space_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "devices", "nats_sss", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["npz"]
    assert run(["list", "devices"]) == 0
    assert "latency:pixel3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["devices", "--path", "x.npz"], "--path needs the space of the file"),
        (["devices", "nats_ts"], "unknown space 'nats_ts'; did you mean 'nats_tss'?"),
        (["metrics", "nats_tss"], "a space and --path are for 'list devices'"),
    ],
)
def test_a_mistake_in_listing_devices_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", *arguments]) == ConfigError.exit_code
    assert message in capsys.readouterr().err


@pytest.mark.skipif(DATA is None, reason="RBFLEX_EVO_TABLES is unset")
def test_the_published_files_have_the_devices_they_are_said_to_have() -> None:
    for file, kind, devices in (("nb201_latency", "help_nb201", HELP_DEVICES), ("hwnasbench", "hw_nas_bench", HW_DEVICES)):
        table = open_device_table(f"{DATA}/{file}.npz", TSS)
        assert table.name == kind
        assert {cost.device for cost in table.costs()} == set(devices)
        assert {cost.name for cost in table.costs()} == set(table.published)
        assert {cost.dataset for cost in table.costs()} == (set(table.datasets) or {None})


@pytest.mark.skipif(DATA is None, reason="RBFLEX_EVO_TABLES is unset")
@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("nb201_latency", "latency:raspi4", 10.48198),
        ("hwnasbench", "latency:pixel3", 3.60585),
        ("hwnasbench", "latency:edgegpu", 5.80742),
        ("hwnasbench", "energy:edgegpu", 24.22661),
        ("hwnasbench", "energy:eyeriss", 0.68728),
    ],
)
def test_the_known_costs_of_the_first_cell(file: str, name: str, expected: float) -> None:
    metric = create_metric(name, TSS, {"path": f"{DATA}/{file}.npz"})
    assert metric.cost(CostSubject(TSS, TSS.at(0))) == pytest.approx(expected, abs=1e-4)
