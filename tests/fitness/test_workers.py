"""Worker processes and the terminal."""

import multiprocessing
import signal
from pathlib import Path

import numpy as np
import pytest

from fitness import create_proxy
from fitness.initialise import WeightParameters
from fitness.workers import Workers
from spaces import create_space

STATUS = Path("/proc/self/status")


def signals(pid, name):
    """Returns the set of signals that a line of a process's status names."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line.split()[1] for line in lines if line.startswith(name)), 16)
    return {number for number in range(1, 64) if mask >> (number - 1) & 1}


@pytest.mark.skipif(not STATUS.exists(), reason="no /proc here")
def test_a_worker_is_deaf_to_ctrl_c_from_its_first_moment_and_its_parent_is_not():
    space = create_space("toy")
    images = space.example_inputs(2).numpy().astype(np.float32)
    workers = Workers(space, images, WeightParameters(), "cpu", "float32", 2)
    before = multiprocessing.active_children()
    rng = np.random.default_rng(0)
    try:
        future = workers.submit([(space.encoding.sample(rng), {"naswot": create_proxy("naswot")})])
        (child,) = set(multiprocessing.active_children()) - set(before)
        assert signal.SIGINT in signals(child.pid, "SigBlk:") | signals(child.pid, "SigIgn:")
        assert signal.SIGINT not in signals("self", "SigBlk:")
        future.result()
        assert signal.SIGINT in signals(child.pid, "SigIgn:")
    finally:
        workers.close()
