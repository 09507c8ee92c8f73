"""Which of the things that are there become the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spaces import DataError


def chosen_positions(there: int, n: int, seed: int, where: str, order: str = "random") -> np.ndarray:
    """Returns n distinct positions below `there`."""
    if there < n:
        raise DataError(f"{where} has {there} images, but data.n asks for {n}; lower data.n or add images")
    if order == "first":
        return np.arange(n)
    return np.random.Generator(np.random.Philox(seed)).choice(there, n, replace=False)


def existing_folder(root: str) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {root!r}; check data.root")
    return folder
