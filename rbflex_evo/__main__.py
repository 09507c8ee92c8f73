"""The console entry point: `rbflex-evo`, or `python -m rbflex_evo`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; a Ctrl-C is answered in one line from its first import on."""
    try:
        from rbflex_evo.engine.commands.app import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
