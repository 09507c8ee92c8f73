"""Latency by a command: what it may print, how it may fail, what is left of it, and which failures are the device's."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.device_command import CallFailed, DeviceCommand, call
from rbflex_evo.fitness.costs.latency import Latency
from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, FailedError, create_space
from tests.support import fake_device

DEVICE = [sys.executable, fake_device.__file__]
SPACE = create_space("toy", genes=2, choices=3)
ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript"))


def device(folder: Path, mode: str | None = None) -> list[str]:
    if mode is not None:
        (folder / "mode").write_text(mode)
    return [*DEVICE, str(folder), "{torch}"]


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


def latency(folder: Path, mode: str | None = None, **values: Any) -> Latency:
    metric = create_metric("latency", SPACE, {"command": device(folder, mode), **values})
    assert isinstance(metric, Latency)
    return metric


def subject(*genotype: int) -> CostSubject:
    return CostSubject(SPACE, genotype)


def is_running(pid: int) -> bool:
    """True unless the process is gone or only waits to be reaped."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def ends(pid: int) -> bool:
    """Waits until a process has ended; the test's own time limit ends the wait otherwise."""
    while is_running(pid):
        pass
    return True


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("rubbish", "its last line is 'segmentation fault at 12.5'; expected a number of milliseconds such as 12.5"),
        ("negative", "its last line is '-1'; expected a number of milliseconds such as 12.5"),
        ("nothing", "it printed nothing; expected a number of milliseconds such as 12.5"),
        ("unplugged", "exit code 255, 'connect to host board port 22: No route to host'"),
        ("killed", "it was killed by signal 9"),
    ],
)
def test_a_call_that_fails_says_how_in_one_line(tmp_path, mode, message):
    with pytest.raises(CallFailed) as failed:
        call(device(tmp_path, mode), timeout=60)
    assert str(failed.value) == message


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    with pytest.raises(CallFailed, match="it took longer than timeout: 2 s and was killed"):
        call(device(tmp_path, "hang"), timeout=2)
    assert all(ends(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_child_that_a_command_leaves_behind_delays_nothing_and_is_killed(tmp_path):
    assert call(device(tmp_path, "leave"), timeout=60) == 3.25
    assert ends(int((tmp_path / "pids").read_text()))


def test_only_the_end_of_a_long_output_is_kept(tmp_path):
    assert call(device(tmp_path, "flood"), timeout=60) == 7.5


def test_a_command_dies_with_a_parent_that_is_killed(tmp_path):
    program = "import sys; from rbflex_evo.fitness.costs.device_command import call; call(sys.argv[1:], 3600)"
    parent = subprocess.Popen([sys.executable, "-c", program, *device(tmp_path, "hang")])
    pids = tmp_path / "pids"
    while not (pids.exists() and pids.read_text().endswith("\n")):
        assert parent.poll() is None
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(ends(int(pid)) for pid in pids.read_text().split())


@pytest.mark.parametrize("text", ["12.5", "12.5 ms", "1.25e1", "first 99\n\n12.5ms  \n\n"])
def test_the_last_line_is_the_latency(text):
    assert call([sys.executable, "-c", f"print({text!r})"], timeout=60) == 12.5


@pytest.mark.parametrize("text", ["12,5", "nan", "inf", "0", "12.5 s", "12.5 13.5", "1e999", "--5"])
def test_any_other_last_line_is_refused(text):
    with pytest.raises(CallFailed, match="expected a number of milliseconds"):
        call([sys.executable, "-c", f"print({text!r})"], timeout=60)


def test_arguments_reach_the_program_as_they_are(tmp_path):
    program = "import sys; print(12.5 if sys.argv[1:] == ['$HOME; *', '{x}', 'net=/a b'] else 'other')"
    assert call([sys.executable, "-c", program, "$HOME; *", "{x}", "net=/a b"], timeout=60) == 12.5


def test_a_latency_is_the_median_of_the_calls(tmp_path):
    lines = "import os, sys", "open(sys.argv[1], 'ab').write(b'x')", "print([5, 1, 9][os.path.getsize(sys.argv[1]) - 1])"
    program = "; ".join(lines)
    command = DeviceCommand([sys.executable, "-c", program, str(tmp_path / "count"), "{torch}"], 3, 60, 0)
    assert command.milliseconds(nn.Flatten(), SPACE.example_inputs(1)) == 5


@pytest.mark.parametrize(
    "placeholder", ["{torch}", pytest.param("{onnx}", marks=pytest.mark.skipif(not ONNX, reason="needs onnx"))]
)
def test_a_command_reads_the_network_as_a_file_for_one_input(placeholder):
    program = {
        "{torch}": "import sys, torch; m = torch.export.load(sys.argv[1][5:]).module(); print(m(torch.ones(1, 3, 8, 8)).shape[1])",
        "{onnx}": "import sys, onnx; g = onnx.load(sys.argv[1][5:]).graph; "
        "assert g.input[0].type.tensor_type.shape.dim[0].dim_value == 1; "
        "print(g.output[0].type.tensor_type.shape.dim[1].dim_value)",
    }[placeholder]
    command = DeviceCommand([sys.executable, "-c", program, f"--in={placeholder}"], 1, 60, 0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 7))
    assert command.milliseconds(network, SPACE.example_inputs(1)) == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"command": [*DEVICE, "folder"]}, "reads no network; write {onnx} or {torch} where it takes the file"),
        ({"command": ["no-such-program", "{torch}"]}, "the program 'no-such-program' of the latency's command is not found"),
        ({"command": [__file__, "{torch}"]}, "is not executable; use chmod +x"),
        ({"command": []}, "'metric.command'"),
        ({"command": "ssh board {torch}"}, "'metric.command'"),
        ({"command": [*DEVICE, "{torch}"], "device": "cuda"}, "device 'cuda' has no effect with a command"),
        ({"timeout": 5.0}, "timeout 5.0 has no effect without a command"),
        ({"command": [*DEVICE, "{torch}"], "timeout": 0.0}, "'metric.timeout'"),
    ],
)
def test_a_wrong_command_is_one_line(values, message):
    with pytest.raises(ConfigError) as error:
        create_metric("latency", SPACE, values)
    assert message in str(error.value)


def test_what_a_resumed_run_may_change_is_no_part_of_its_identity(tmp_path):
    values = latency(tmp_path, timeout=5.0, retries=3).parameters.model_dump(mode="json")
    assert values == {"command": device(tmp_path), "repeats": 1}
    assert create_metric("latency", SPACE).parameters.model_dump() == {"device": "cpu", "warm_up": 5, "repeats": 21}


def test_a_failed_call_is_tried_again(tmp_path):
    (tmp_path / "failing").write_text("1 2")
    assert latency(tmp_path, retries=2).cost(subject(1, 2)) > 0
    assert calls(tmp_path) == 3


def test_a_network_that_fails_alone_is_a_failed_candidate(tmp_path):
    metric = latency(tmp_path)
    book = CostBook([metric], SPACE, SPACE.parse)
    assert metric.cost(subject(1, 2)) > 0
    # Both calls for the next network fail; the one for the network before it works.
    (tmp_path / "failing").write_text("2 3")
    known = book.look(SPACE.notation((2, 2)))
    assert known.costs == {} and known.failures == {"latency": f"{sys.executable} failed 2 times, at last: exit code 3"}
    assert calls(tmp_path) == 4


def test_a_device_that_fails_for_every_network_stops_the_search(tmp_path):
    metric = latency(tmp_path, "unplugged", retries=0)
    with pytest.raises(FailedError, match=r"nor that of another one: .* failed: exit code 255.*No route to host") as stopped:
        metric.cost(subject(1, 2))
    assert stopped.value.exit_code == 1 and len(str(stopped.value).splitlines()) == 2
    (tmp_path / "mode").unlink()
    metric.cost(subject(1, 2))
    (tmp_path / "mode").write_text("unplugged")
    with pytest.raises(FailedError, match="nor that of one that was measured before"):
        metric.cost(subject(2, 2))


def test_a_network_that_cannot_be_written_is_a_failed_candidate():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    command = DeviceCommand([*DEVICE, "{torch}"], 1, 60, 0)
    with pytest.raises(CandidateFailed, match=r"it cannot be written as network\.pt2"):
        command.milliseconds(Branching(), SPACE.example_inputs(1))


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    os.mkdir(tmp_path / "temporary")
    latency(tmp_path).cost(subject(1, 2))
    assert os.listdir(tmp_path / "temporary") == []
