"""The console entry point: `rbflex-evo`, or `python -m rbflex_evo`."""

from __future__ import annotations

import contextlib
import os
import sys


def _open_standard_files() -> None:
    """Opens the null device in place of closed standard files.

    Otherwise the next file that is opened, such as the journal, would get the number of standard error, and what libraries print
    there would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, so it is this one.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


def main() -> None:
    """Runs the command line; a Ctrl-C is answered in one line from its first import on."""
    _open_standard_files()
    try:
        from rbflex_evo.engine.commands.app import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
