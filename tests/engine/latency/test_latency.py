"""Measuring, fitting, predicting and checking latencies, from the command line and after a stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.latency.costs import cost_source, known_devices
from rbflex_evo.engine.latency.fit import journal_of
from rbflex_evo.engine.latency.measurements import Measurements
from rbflex_evo.engine.latency.timing import Timing, TimingSettings, timed, timer, timing_of
from rbflex_evo.fitness.costs.predictors.saved import load_predictor
from rbflex_evo.spaces import ConfigError, DeviceError, Genotype, RunError, create_space
from rbflex_evo.spaces.tables.chips import chip_of

TOY = create_space("toy", genes=3, choices=3, channels=4)
EVERY = list(TOY.encoding.enumerate())
SETTINGS = TimingSettings("cpu", 1, 3)


def table(folder: Path) -> str:
    """Writes a table of additive devices of nats_tss."""
    space = create_space("nats_tss")
    genes = np.array([space.at(i) for i in range(15625)])
    rng = np.random.default_rng(0)
    names = ("pixel3", "raspi4", "eyeriss", "fpga", "samsung_s7")
    weights = rng.uniform(0.1, 2, (len(names), 6, 5))
    columns = {name: 1 + sum(w[i][genes[:, i]] for i in range(6)) for name, w in zip(names, weights, strict=True)}
    np.savez(folder / "devices.npz", **columns)
    return str(folder / "devices.npz")


def instant(genotype: Genotype) -> Timing:
    return Timing(float(1 + sum(genotype)), 0.5, 9.0)


# --- measuring --------------------------------------------------------------------------------------------------------


def test_a_network_is_timed_in_a_process_of_its_own() -> None:
    with timer(TOY, SETTINGS) as time:
        timing = time(EVERY[5])
    assert 0 < timing.low <= timing.median <= timing.high


@pytest.mark.slow
def test_a_network_is_timed_by_onnx_runtime() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    with timer(TOY, TimingSettings("onnx", 1, 3)) as time:
        assert time(EVERY[5]).median > 0


def test_a_network_is_timed_by_the_clock_of_the_processor() -> None:
    settings = TimingSettings("cpu", 1, 9)
    space = {"name": "toy", "genes": 3, "choices": 3, "channels": 4}
    assert min(timed(space, EVERY[5], replace(settings, clock="processor"))) > 0
    with pytest.raises(ConfigError, match="the clock 'processor' does not count while 'cuda' computes; use --clock wall"):
        cost_source(TOY, "cuda", clock="processor")
    with pytest.raises(ConfigError, match="unknown clock 'cpu'; known: processor, wall"):
        cost_source(TOY, "cpu", clock="cpu")


def test_the_interval_holds_the_median() -> None:
    timing = timing_of([*range(1, 32)])
    assert (timing.low, timing.median, timing.high) == (10, 16, 22)
    assert timing_of([2.0]) == Timing(2.0, 2.0, 2.0)


def test_measurements_are_stored_one_by_one_and_never_repeated(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    calls: list[Genotype] = []

    def time(genotype: Genotype) -> Timing:
        calls.append(genotype)
        return instant(genotype)

    going = Measurements(path, TOY, SETTINGS).measured(EVERY[:9], time)
    first = [next(going) for _ in range(4)]
    going.close()
    # A stop in the middle of a line.
    path.write_bytes(path.read_bytes() + b'{"key": "half')
    again = list(Measurements(path, TOY, SETTINGS).measured(EVERY[:9], time))
    assert calls == EVERY[:9]
    assert again[:4] == first
    assert len(path.read_text().splitlines()) == 10
    assert list(Measurements(path, TOY, SETTINGS).measured(EVERY[:9], pytest.fail)) == again


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (TOY, TimingSettings("cpu", 1, 5), "holds latencies of another settings"),
        (create_space("toy", genes=4, choices=3, channels=4), SETTINGS, "holds latencies of another space"),
    ],
)
def test_a_journal_of_other_measurements_is_refused(tmp_path: Path, space: object, settings: TimingSettings, message: str) -> None:
    path = tmp_path / "measured.jsonl"
    list(Measurements(path, TOY, SETTINGS).measured(EVERY[:2], instant))
    with pytest.raises(RunError, match=message):
        Measurements(path, space, settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["rubbish", "{}", '{"key": 1}', "[]"])
def test_a_damaged_journal_is_one_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "measured.jsonl"
    list(Measurements(path, TOY, SETTINGS).measured(EVERY[:2], instant))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, lines[2]]) + "\n")
    with pytest.raises(RunError, match="line 3 is damaged; delete the file to measure anew"):
        Measurements(path, TOY, SETTINGS)


# --- sources ----------------------------------------------------------------------------------------------------------


def test_samples_are_distinct_networks_and_end_with_the_space() -> None:
    source = cost_source(TOY, "cpu")
    sample = source.sample(1000, 0)
    assert {TOY.key(genotype) for genotype in sample} == set(TOY.keys())
    assert len(sample) == len(set(sample))
    assert source.sample(5, 1) == source.sample(5, 1) != source.sample(5, 2)


@pytest.mark.parametrize(
    ("device", "path", "message"),
    [
        ("table:pixel3", None, "--device table:pixel3 needs --path"),
        ("cpu", "x.npz", "--path and --dataset are for --device table:NAME"),
    ],
)
def test_a_source_of_costs_is_whole(device: str, path: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cost_source(TOY, device, path)
    with pytest.raises(DeviceError, match="device 'cuda:9' is not available"):
        cost_source(TOY, "cuda:9")


def test_known_devices_are_of_other_chips(tmp_path: Path) -> None:
    known = known_devices(create_space("nats_tss"), table(tmp_path), ["pixel3", "raspi4"])
    assert known.names == ("latency:eyeriss", "latency:fpga", "latency:samsung_s7")
    with pytest.raises(ConfigError, match="has 1 devices of other chips than"):
        known_devices(create_space("nats_tss"), table(tmp_path), ["pixel3", "raspi4", "fpga", "eyeriss"])


def test_batch_sizes_and_equal_dies_are_one_chip() -> None:
    assert chip_of("1080ti_1") == chip_of("1080ti_256") == chip_of("titanxp_32") == "GP102"
    assert chip_of("pixel2") == chip_of("essential_ph_1")
    assert chip_of("my_board") == "my_board"


# --- commands ---------------------------------------------------------------------------------------------------------

TOY_SET = ["--set", "space.genes=3", "--set", "space.choices=3", "--set", "space.channels=4"]


def test_a_predictor_is_fitted_used_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "toy.npz"
    fit = ["latency", "fit", "toy", *TOY_SET, "--count", "8", "--held-out", "4", "--repeats", "3", "--out", str(out), "--json"]
    assert run(fit) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert (fitted["rows"], fitted["unit"], fitted["errors"]["held_out"]["rows"]) == (8, "ms", 4)
    journal = journal_of(out).read_text()
    assert len(journal.splitlines()) == 13
    # Again, and of another kind: nothing is measured anew.
    assert run([*fit, "--kind", "kernels"]) == 0
    assert journal_of(out).read_text() == journal
    # Layers are timed, which the journal lacks.
    capsys.readouterr()
    assert run([*fit, "--kind", "layers"]) == 2
    assert "holds latencies of another settings" in capsys.readouterr().err
    assert run(["latency", "predict", str(out), "conv1+skip|conv1", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert " ms  conv1+skip|conv1" in lines[0]
    assert run(["latency", "check", str(out), "--count", "5"]) == 0
    assert capsys.readouterr().out.startswith("now ")


def test_layers_are_timed_one_by_one_and_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "layers.npz"
    fit = ["latency", "fit", "toy", *TOY_SET, "--kind", "layers", "--count", "8", "--held-out", "4", "--repeats", "3"]
    assert run([*fit, "--out", str(out)]) == 0
    first, *lines = map(json.loads, journal_of(out).read_text().splitlines())
    assert first["settings"]["operations"]
    assert all(sum(line["operations"]) < 2 * line["high"] + 1 for line in lines)
    predictor, _ = load_predictor(out)
    assert predictor.predict([(0, 1, 2)])[0] > 0
    capsys.readouterr()
    assert run(["latency", "check", str(out), "--count", "3"]) == 0


def test_a_new_device_is_fitted_from_ten_rows_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = table(tmp_path), tmp_path / "new.npz"
    arguments = ["--device", "table:pixel3", "--path", path, "--known", path, "--kind", "transfer", "--count", "10"]
    assert run(["latency", "fit", "nats_tss", *arguments, "--held-out", "50", "--out", str(out)]) == 0
    assert "transfer of latency (ms) on pixel3, for nats_tss" in capsys.readouterr().out
    predictor, provenance = load_predictor(out)
    assert "latency:pixel3" not in predictor.devices  # type: ignore[attr-defined]
    assert provenance.source["device"] == "table:latency:pixel3"
    assert run(["latency", "check", str(out), "--count", "30", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"now", "when_fitted"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "toy", "--kind", "looku"], "unknown predictor 'looku'; did you mean 'lookup'?"),
        (["fit", "toy", "--kind", "transfer"], "name a table with --known"),
        (["fit", "nats_tss", "--known", "TABLE"], "known devices are for the predictor 'transfer', and this is 'lookup'"),
        (["fit", "nats_sss", "--device", "table:pixel3", "--path", "TABLE"], "'help_nb201', which is for nats_tss"),
        (["fit", "nats_tss", "--device", "table:pixel", "--path", "TABLE"], "did you mean 'latency:pixel3'?"),
        (["fit", "toy", "--kind", "layers", "--device", "onnx"], "layers are timed in torch, but the device is 'onnx'"),
        (["fit", "toy", *TOY_SET, "--count", "5000"], "fewer than 5000 + 30; lower --count or --held-out"),
        (["fit", "toy", *TOY_SET, "--count", "6"], "in five folds, which takes 7 networks, but --count is 6"),
        (["predict", "TABLE", "x"], "is no predictor, or it was cut short"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path)
    assert run(["latency", *(path if argument == "TABLE" else argument for argument in arguments)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
