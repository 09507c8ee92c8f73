"""A table of scores, scores.npz: what ``tabulate`` leaves and every later comparison reads, without a network.

space         []      the space's name
architecture  [A]     the architectures that were asked for, in the space's notation
row           [A]     which key each of them is
key           [K]     canonical keys
notation      [K]     of the network that was built for the key
<score>       [K]     float64, NaN where it failed
<score>_failure [K]   the reasons, empty where it did not fail
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rbflex_evo.fitness.measuring.tabulated import Arrays, load, score_names
from rbflex_evo.spaces import RunError

FRAME = ("space", "architecture", "row", "key", "notation")


@dataclass(frozen=True)
class ScoreTable:
    """The scores of A architectures.

    Attributes:
        space: the space's name.
        architectures: [A] notations.
        keys: [A]; equal ones are one network.
        scores: by name, float64 [A], NaN where it failed.
    """

    space: str
    architectures: list[str]
    keys: list[str]
    scores: dict[str, np.ndarray]


def read_scores(path: Path) -> ScoreTable:
    """Reads a table of scores, a row an architecture.

    Raises:
        RunError: if there is none or it is no such table.
    """
    if not path.is_file():
        raise RunError(f"there is no table of scores {str(path)!r}; make one with: rbflex-evo tabulate CONFIG")
    arrays = load(path)
    missing = FRAME if arrays is None else [name for name in FRAME if name not in arrays]
    if arrays is None or missing:
        raise RunError(f"{str(path)!r} is no table of scores (no {missing[0]!r}); make one with: rbflex-evo tabulate CONFIG")
    rows = arrays["row"]
    return ScoreTable(
        space=str(arrays["space"]),
        architectures=arrays["architecture"].tolist(),
        keys=arrays["key"][rows].tolist(),
        scores={name: arrays[name][rows] for name in score_names(arrays)},
    )


def save(path: Path, arrays: Arrays) -> None:
    """Writes an npz file so that at any moment either the old or the whole new one is there.

    Raises:
        RunError: if it cannot be written.
    """
    draft = path.with_name(f".{path.name}.new.npz")
    try:
        np.savez_compressed(draft, allow_pickle=False, **arrays)
        os.replace(draft, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
