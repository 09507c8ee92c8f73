"""Selection of the n items of a data source that become the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rbflex_evo.spaces import DataError


def chosen_positions(available: int, n: int, seed: int, where: str, order: str = "random", what: str = "images") -> np.ndarray:
    """Returns n distinct positions below `available`, drawn without replacement or the first ones.

    Args:
        available: Number of items of the source.
        n: Number of items of the batch.
        seed: Seed of the draw.
        where: Name of the source in the message of an error.
        order: ``random`` or ``first``.
        what: Name of the items in the message of an error, in the plural.

    Raises:
        DataError: If the source has fewer than n items.
    """
    if available < n:
        raise DataError(f"{where} has {available} {what}, but data.n asks for {n}; lower data.n or add {what}")
    if order == "first":
        return np.arange(n)
    return np.random.Generator(np.random.Philox(seed)).choice(available, n, replace=False)


def existing_folder(root: str) -> Path:
    """Returns the folder that ``data.root`` names.

    Raises:
        DataError: If the folder does not exist.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {root!r}; check data.root")
    return folder
