"""The page of a run that is watched: drawn in memory from the run's folder, again where the folder has changed."""

from __future__ import annotations

import importlib
import threading
import time
import zlib
from pathlib import Path

from rbflex_evo.engine.explanation.document import FILE as EXPLANATION
from rbflex_evo.engine.figures.page import Gallery, render_page
from rbflex_evo.engine.report.report import report_contents
from rbflex_evo.engine.run.folder import LOCK
from rbflex_evo.engine.run.record import read_run
from rbflex_evo.spaces import RbflexEvoError, RunError

# The files of a run that its report shows.
SHOWN = ("config.yaml", "journal.jsonl", "result.json", EXPLANATION)
SHORTEST_WAIT = 1.0
LARGEST_SHARE = 0.2
"""Largest share of one core that goes into drawing: a page that takes longer to draw is renewed less often."""


class LivePage:
    """The report of a run as a page that renews itself; nothing is written into the run's folder.

    Args:
        folder: Folder of the run, which may have begun a moment ago.

    Raises:
        RunError: If there is no such folder, or it is not that of a run, or a file in it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder = folder if folder.name else folder.resolve()
        self._lock = threading.Lock()
        self._drawn: tuple[str, str] = ("", "")
        self._wait = SHORTEST_WAIT
        # Imported now, so that it does not count as drawing.
        importlib.import_module("matplotlib.backends.backend_svg")
        if not folder.is_dir():
            raise RunError(f"there is no run folder {str(folder)!r}; start one with: rbflex-evo search CONFIG")
        # A search that has just begun holds its lock before it writes anything.
        if (folder / SHOWN[0]).exists() or not (folder / LOCK).exists():
            read_run(folder)

    def state(self) -> str:
        """Returns a number that changes where the page does."""
        return str(zlib.crc32(repr([_facts(self.folder / name) for name in SHOWN]).encode()))

    def html(self) -> str:
        """Returns the page as it is now."""
        with self._lock:
            # Taken before the files are read: what changes meanwhile is drawn at the next call.
            state = self.state()
            if self._drawn[0] != state:
                started = time.thread_time()
                self._drawn = (state, self._draw(state))
                self._wait = max(SHORTEST_WAIT, (time.thread_time() - started) / LARGEST_SHARE)
            return self._drawn[1]

    def _draw(self, state: str) -> str:
        live = {"state": state, "wait": f"{self._wait:.1f}", "time": time.strftime("%H:%M:%S")}
        try:
            return render_page("live.html.j2", {**report_contents(read_run(self.folder), Gallery(None)), "live": live})
        except RbflexEvoError as error:
            begun = (self.folder / SHOWN[0]).exists() or not self.folder.exists()
            why = error if begun else "The search has not written anything yet."
            return render_page("waiting.html.j2", {"folder": self.folder, "why": why, "live": live})


def _facts(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
