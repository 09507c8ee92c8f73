"""``report``: the HTML report of a run."""

from __future__ import annotations

from .options import RunPath


def report(run: RunPath) -> None:
    """Write the HTML report of a run and print its path.

    The run may be unfinished.
    """
    from rbflex_evo.engine.report.report import write_report

    print(write_report(run))
