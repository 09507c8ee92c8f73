"""A device as a program: it measures a network's file, or misbehaves as it is told.

    fake_device.py FOLDER [FILE]

Each call is a line in FOLDER/calls. FOLDER/mode, if it exists, holds what it does instead of measuring; see `MODES`. FOLDER/failing
holds the numbers of the calls, from 1, that fail. Its own process id and that of a child are in FOLDER/pids.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOREVER = 3600


def hang(folder: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    (folder / "pids").write_text(f"{os.getpid()} {child.pid}\n")
    time.sleep(FOREVER)


def flood(folder: Path) -> None:
    for _ in range(200):
        print("x" * 10_000)
    print("7.5")


def leave(folder: Path) -> None:
    """Ends while a child still holds the output open."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    (folder / "pids").write_text(f"{child.pid}\n")
    print("3.25 ms")


def unplugged(folder: Path) -> None:
    print("connect to host board port 22: No route to host", file=sys.stderr)
    sys.exit(255)


MODES = {
    "hang": hang,
    "flood": flood,
    "leave": leave,
    "unplugged": unplugged,
    "rubbish": lambda folder: print("segmentation fault at 12.5"),
    "negative": lambda folder: print("-1"),
    "nothing": lambda folder: None,
    "killed": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
}


def main() -> None:
    folder = Path(sys.argv[1])
    with open(folder / "calls", "a+") as calls:
        calls.write("called\n")
        calls.seek(0)
        number = len(calls.readlines())
    mode, failing = folder / "mode", folder / "failing"
    if failing.exists() and number in map(int, failing.read_text().split()):
        sys.exit(3)
    if mode.exists():
        MODES[mode.read_text()](folder)
        return
    print("warming up")
    print(f"{os.path.getsize(sys.argv[2]) / 1000} ms\n")


if __name__ == "__main__":
    main()
