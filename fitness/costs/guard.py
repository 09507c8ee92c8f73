"""Runs a command in a process group of its own, and kills the group when the parent of this process ends.

    python guard.py COMMAND ARGUMENT ...

The parent holds the other end of standard input. When that closes, because the parent closes it or dies, also by SIGKILL, the group
is killed. This process ends as the command ended: with its exit code, or by its signal. It uses nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Runs the command and returns its exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def kill() -> None:
        # The group may be gone, or hold only processes that changed their user.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def watch() -> None:
        # Nothing is ever written there: the end of the stream is the end of the parent.
        os.read(0, 1)
        kill()

    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    # Processes that the command left behind.
    kill()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
