"""A command that measures the latency of a network on another device, as ``[ssh, board, ./measure, "{onnx}"]``.

    write the network as a file, for one input
    repeat `repeats` times:
        run the command, its arguments as they are (no shell), with the path of the file for {onnx} or {torch}
        the last line of its output that is not empty is the number of milliseconds, such as ``12.5`` or ``12.5 ms``
        if it fails, run it again, at most `retries` times; then the candidate has failed
    the latency is the median

A call fails if it takes longer than `timeout`, ends with another exit code than 0 or by a signal, or its last line is something
else. The command and all processes that it started are killed at the end of a call, and with this process (see `guard`).
"""

from __future__ import annotations

import math
import os
import re
import selectors
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rbflex_evo.fitness.network_files import check_onnx, save_onnx, save_program
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.errors import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

# Placeholder of the network's file, its name, and the function that writes it.
FILES = {"{onnx}": ("network.onnx", save_onnx), "{torch}": ("network.pt2", save_program)}
GUARD = Path(__file__).with_name("guard.py")
MILLISECONDS = re.compile(r"([-+.0-9eE]+)( *ms)?")
# Bytes of each stream that are kept: the end of what a command prints.
KEPT = 2**16
# Seconds between two looks at whether a command has ended while something else holds its output open.
POLL = 0.1
# Seconds that the guard has for killing the command.
GRACE = 5.0


class CallFailed(Exception):
    """A call of the command gave no latency; the message is the reason."""


class DeviceCommand:
    """Measures latencies by a command.

    Args:
        command: Program and arguments; at least one contains ``{onnx}`` or ``{torch}``.
        repeats: Number of calls for each network.
        timeout: Seconds after which a call has failed.
        retries: Number of calls after one that failed.

    Raises:
        ConfigError: If the command has no such argument, its program is not found, ONNX cannot be written here, or this is Windows.
    """

    def __init__(self, command: Sequence[str], repeats: int, timeout: float, retries: int) -> None:
        self.command, self.repeats, self.timeout, self.retries = tuple(command), repeats, timeout, retries
        self.placeholders = [name for name in FILES if any(name in argument for argument in command)]
        if os.name != "posix":
            raise ConfigError("a latency is measured by a command on Linux and macOS only; leave 'command' out")
        if not self.placeholders:
            raise ConfigError(
                f"the command {shown(' '.join(command))} reads no network; write {{onnx}} or {{torch}} where it takes the file"
            )
        if shutil.which(self.program) is None:
            if Path(self.program).is_file():
                raise ConfigError(f"the program {shown(self.program)} of the latency's command is not executable; use chmod +x")
            raise ConfigError(f"the program {shown(self.program)} of the latency's command is not found; check its path")
        if "{onnx}" in self.placeholders:
            check_onnx()

    @property
    def program(self) -> str:
        """Name or path of the program."""
        return self.command[0]

    def milliseconds(self, network: nn.Module, inputs: Tensor) -> float:
        """Returns the latency of a network.

        Args:
            network: The network.
            inputs: One input, [1, ...].

        Raises:
            CandidateFailed: If the network cannot be written, or the command failed again and again.
        """
        with tempfile.TemporaryDirectory(prefix="rbflex-evo-") as folder:
            command = self._written(network, inputs, Path(folder))
            return statistics.median(self._measured(command) for _ in range(self.repeats))

    def _written(self, network: nn.Module, inputs: Tensor, folder: Path) -> list[str]:
        command = list(self.command)
        for placeholder in self.placeholders:
            name, save = FILES[placeholder]
            try:
                save(network, inputs, folder / name, any_batch=False)
            except Exception as error:
                raise CandidateFailed(f"it cannot be written as {name} ({type(error).__name__})") from error
            command = [argument.replace(placeholder, str(folder / name)) for argument in command]
        return command

    def _measured(self, command: Sequence[str]) -> float:
        for left in range(self.retries, -1, -1):
            try:
                return call(command, self.timeout)
            except CallFailed as failed:
                if not left:
                    times = f" {self.retries + 1} times, at last" if self.retries else ""
                    raise CandidateFailed(f"{self.program} failed{times}: {failed}") from None
        raise AssertionError("the last failure is raised")


def call(command: Sequence[str], timeout: float) -> float:
    """Runs a command once and returns the milliseconds that it prints.

    Raises:
        CallFailed: If it takes longer than `timeout` seconds, fails, or prints something else.
    """
    # Without the site packages, the guard starts in some ten milliseconds.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors, in_time = _read(process, time.monotonic() + timeout)
    finally:
        _end(process)
    if not in_time:
        raise CallFailed(f"it took longer than timeout: {timeout:g} s and was killed")
    if process.returncode:
        said = _last_line(errors)
        raise CallFailed(f"{_ending(process.returncode)}{f', {shown(said)}' if said else ''}")
    return _milliseconds(output)


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes, bool]:
    """Returns the ends of standard output and standard error, and whether the process ended before the deadline."""
    assert process.stdout is not None and process.stderr is not None
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    in_time = True
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ, kept[stream])
        while selector.get_map():
            ended = process.poll() is not None
            left = deadline - time.monotonic()
            if left <= 0 and not ended:
                in_time = False
                break
            ready = selector.select(0 if ended else min(left, POLL))
            # A process that the guard could not kill may hold the output open.
            if ended and not ready:
                break
            for key, _ in ready:
                data = os.read(key.fd, KEPT)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
                del key.data[:-KEPT]
    return bytes(kept[process.stdout]), bytes(kept[process.stderr]), in_time


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the guard, which kills the command."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _milliseconds(output: bytes) -> float:
    line = _last_line(output)
    found = MILLISECONDS.fullmatch(line)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        what = f"its last line is {shown(line)}" if line else "it printed nothing"
        raise CallFailed(f"{what}; expected a number of milliseconds such as 12.5")
    return value


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"it was killed by signal {-code}"
