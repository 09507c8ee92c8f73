"""Where things that can be made again are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns ``$RBFLEX_EVO_CACHE``, or ``rbflex-evo`` in the user's cache folder; it may not exist yet."""
    chosen = os.environ.get("RBFLEX_EVO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rbflex-evo"
