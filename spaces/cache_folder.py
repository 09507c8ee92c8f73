"""Location of the user's cache directory."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns ``$RBFLEX_EVO_CACHE`` or, by default, ``rbflex-evo`` in the user's cache directory; it may not exist yet."""
    chosen = os.environ.get("RBFLEX_EVO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rbflex-evo"
