"""What is left of a cluster that a search started when the search ends badly. Run it in a network of its own.

python -m benchmarks.shared.loopback python -m tests.support.ray_left FOLDER "killed"      prints the commands that still run
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from benchmarks.shared import loopback
from tests.support.interrupted import spawn, wait_for_bytes
from tests.support.ray_scenes import MANY, settings

SECONDS = 30.0  # Ray's agents outlive a cluster that was killed by minutes


def running() -> list[str]:
    """Returns the commands of the other processes of this network."""
    mine = os.readlink("/proc/self/ns/net")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            there = int(entry.name) != os.getpid() and os.readlink(entry / "ns/net") == mine
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip() if there else ""
        except OSError:
            continue
        if command:
            found.append(command)
    return found


def main(runs: Path, how: str) -> None:
    before = running()
    gpus = {"num_gpus": 64} if how == "no room" else {}
    values = settings(runs, "run", executor={"name": "ray", "address": "local", **gpus}, workers=1, **MANY)
    file = runs / "search.yaml"
    file.write_text(json.dumps(values))
    process = spawn([sys.executable, "-m", "rbflex_evo", "search", str(file)])
    wait_for_bytes(process, runs / "run" / "journal.jsonl", 5_000)
    if how == "killed":
        process.kill()
    elif how == "Ctrl-C twice":
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "stopping" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
    process.communicate()
    until = time.monotonic() + SECONDS
    while (left := [command for command in running() if command not in before]) and time.monotonic() < until:
        pass
    print(json.dumps(left))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.flush()
    loopback.end_neighbours()
    os._exit(0)
