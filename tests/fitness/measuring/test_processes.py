"""Processes and the terminal."""

import multiprocessing
import signal
from concurrent.futures import wait
from pathlib import Path

import pytest

from rbflex_evo import engine, fitness
from rbflex_evo.fitness.measuring.processes import Processes

STATUS = Path("/proc/self/status")


def signals(pid, name):
    """Returns the set of signals that a line of a process's status names."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line.split()[1] for line in lines if line.startswith(name)), 16)
    return {number for number in range(1, 64) if mask >> (number - 1) & 1}


@pytest.mark.skipif(not STATUS.exists(), reason="no /proc here")
def test_a_process_is_deaf_to_ctrl_c_from_its_first_moment_and_its_parent_is_not():
    before = multiprocessing.active_children()
    with Processes(2, str) as pool:
        futures = [pool.submit(abs, -i) for i in range(2)]
        children = set(multiprocessing.active_children()) - set(before)
        assert len(children) == 2
        for child in children:
            assert signal.SIGINT in signals(child.pid, "SigBlk:") | signals(child.pid, "SigIgn:")
        assert signal.SIGINT not in signals("self", "SigBlk:")
        wait(futures)
        assert any(signal.SIGINT in signals(child.pid, "SigIgn:") for child in children)
        assert [future.result() for future in futures] == [0, 1]


def test_every_pool_is_of_such_processes():
    for package in (engine, fitness):
        for path in Path(package.__file__).parent.rglob("*.py"):
            assert path.name == "processes.py" or "ProcessPoolExecutor(" not in path.read_text(encoding="utf-8"), path
