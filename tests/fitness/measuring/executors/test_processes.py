"""Processes and the terminal."""

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rbflex_evo import engine, fitness
from rbflex_evo.fitness.measuring.executors import starting
from rbflex_evo.fitness.measuring.executors.processes import Processes
from rbflex_evo.fitness.measuring.executors.starting import STOPS

STATUS = Path("/proc/self/status")


def signals(pid, name):
    """Returns the set of signals that a line of a process's status names."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line.split()[1] for line in lines if line.startswith(name)), 16)
    return {number for number in range(1, 64) if mask >> (number - 1) & 1}


def state():
    """Returns what this process does with signals, and its environment variable FOR_CHILDREN."""
    return signals("self", "SigIgn:"), os.environ.get("FOR_CHILDREN")


@pytest.mark.skipif(not STATUS.exists(), reason="no /proc here")
def test_a_process_is_deaf_to_what_stops_its_parent_from_its_first_moment_and_its_parent_is_not():
    mask = signals("self", "SigBlk:")
    with Processes(str) as pool, ThreadPoolExecutor(2) as threads:
        assert list(threads.map(pool.call, [abs, abs], [-1, -2])) == [1, 2]
        assert 1 <= len(pool.pids) <= 2
        # The server, too, from which the processes are forked.
        for pid in [*pool.pids, *(child.pid for child in multiprocessing.active_children())]:
            assert set(STOPS) <= signals(pid, "SigBlk:")
        assert set(STOPS) <= pool.call(state)[0]
        assert signals("self", "SigBlk:") == mask


_given = []


def keep(*arguments):
    _given.extend(arguments)


def given():
    return _given


def test_processes_share_places_evenly_and_a_new_process_gets_the_place_of_a_dead_one():
    with Processes(keep, "shared", places=["a", "b"]) as pool, ThreadPoolExecutor(4) as threads:
        first = pool._new()
        assert first.ask(pickle.dumps((given, ())), None) == ["shared", "a"]
        others = list(threads.map(lambda _: pool._new(), range(3)))
        assert sorted(process.place for process in others) == [0, 1, 1]
        pool._end(first)
        assert pool._new().ask(pickle.dumps((given, ())), None) == ["shared", "a"]


def note_variable():
    _given.append(os.environ["RBFLEX_EVO_PLACE"])


def test_the_process_of_a_place_has_its_variables_before_it_loads_its_arguments():
    with Processes(keep, Loading(), environments=[{"RBFLEX_EVO_PLACE": "a"}], places=["a"]) as pool:
        assert pool.call(given) == ["a", None, "a"]


class Loading:
    """An argument whose code reads a variable as it is loaded; it becomes None."""

    def __reduce__(self):
        return (note_variable, ())


def test_every_pool_is_of_such_processes():
    for package in (engine, fitness):
        for path in Path(package.__file__).parent.rglob("*.py"):
            assert path.name == "starting.py" or ".Process(" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("error", ["MemoryError", "OSError(12, 'Cannot allocate memory')"])
def test_a_process_without_memory_for_itself_ends_without_a_traceback(error):
    program = f"from {starting.__name__} import ending_without_memory\nwith ending_without_memory():\n    raise {error}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (starting.NO_MEMORY, "", "")
    assert starting.cause(done.returncode) == "memory ran out"
