"""Which of the things that are there become the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rbflex_evo.spaces import DataError


def chosen_positions(there: int, n: int, seed: int, where: str, order: str = "random", what: str = "images") -> np.ndarray:
    """Returns n distinct positions below `there`, drawn without replacement or the first ones.

    Args:
        where, what: what holds them, and what they are, in the plural.

    Raises:
        DataError: if there are fewer than n.
    """
    if there < n:
        raise DataError(f"{where} has {there} {what}, but data.n asks for {n}; lower data.n or add {what}")
    if order == "first":
        return np.arange(n)
    return np.random.Generator(np.random.Philox(seed)).choice(there, n, replace=False)


def existing_folder(root: str) -> Path:
    """Returns the folder that ``data.root`` names.

    Raises:
        DataError: if it is not there.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {root!r}; check data.root")
    return folder
