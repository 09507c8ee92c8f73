"""What a run depends on beyond its configuration, as fingerprints in the journal's first line, and their check at a resume.

Only what differs from run to run is recorded: code that is not of this package, labels that a score reads, tables of latencies. A
run that is resumed with another of these would mix two kinds of numbers, so it is refused. Another strategy only proposes other
candidates, so it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rbflex_evo.engine.configuration.assembly import PACKAGE, STRATEGY
from rbflex_evo.spaces import RunError
from rbflex_evo.spaces.fingerprint import has_changed

# Fingerprints by what they are of, as it is named in messages; None where none can be given.
Origins = Mapping[str, str | None]


def check_origins(began: Origins | None, now: Origins, folder: Path) -> list[str]:
    """Compares the recorded fingerprints with those of this session; returns sentences about what is not refused.

    Args:
        began: The fingerprints in the journal, or None if it has none.
        now: The fingerprints of this session.
        folder: The folder of the run, for messages.

    Raises:
        RunError: If something that scores or costs depend on has changed.
    """
    sentences = []
    for what, mark in now.items():
        changed = has_changed((began or {}).get(what), mark)
        if changed is None:
            sentences.append(f"it cannot be told whether {what} has changed since {folder} began; the run goes on as if it had not")
        elif not changed:
            continue
        elif what.startswith(PACKAGE):
            versions = [mark.rpartition(":")[2] for mark in ((began or {}).get(what), mark) if mark is not None]
            sentences.append(
                f"{what} was {versions[0]} when {folder} began, but here it is {versions[-1]}; it is refused if proposals differ"
            )
        elif what.startswith(STRATEGY):
            sentences.append(f"{what} has changed since {folder} began; what it proposes from here on may differ")
        else:
            raise RunError(
                f"{what} has changed since {folder} began; restore it, or give the run another name (--set name=...)\n"
                "if only a value has changed that a search keeps in a class or a global, a new process will do"
            )
    return sentences
