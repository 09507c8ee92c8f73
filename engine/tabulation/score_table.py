"""The table of scores, scores.npz, that ``tabulate`` writes; replays and comparisons read it and need no network.

space         []      the space's name
architecture  [A]     the selected architectures, in the space's notation
row           [A]     the row of each architecture's key
key           [K]     canonical keys
notation      [K]     the network that was built for each key
<score>       [K]     float64, NaN if the score failed
<score>_failure [K]   the reason of the failure, empty if there is none
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rbflex_evo.fitness.measuring.tabulated import Arrays, described, is_column, load, score_names
from rbflex_evo.spaces import RunError, file_error

FRAME = ("space", "architecture", "row", "key", "notation")


@dataclass(frozen=True)
class ScoreTable:
    """The scores of A architectures.

    Attributes:
        space: The name of the space.
        architectures: The notations, [A].
        keys: The canonical keys, [A]; equal keys are the same network.
        scores: The scores by name, float64 [A], NaN if a score failed.
    """

    space: str
    architectures: list[str]
    keys: list[str]
    scores: dict[str, np.ndarray]


def read_scores(path: Path) -> ScoreTable:
    """Reads a table of scores with one row per architecture.

    Raises:
        RunError: If the file is missing or is not a table of scores.
    """
    if not path.is_file():
        raise RunError(f"there is no table of scores {str(path)!r}; make one with: rbflex-evo tabulate CONFIG")
    arrays = load(path)
    missing = FRAME if arrays is None else [name for name in FRAME if name not in arrays]
    if arrays is None or missing:
        raise RunError(f"{str(path)!r} is no table of scores (no {missing[0]!r}); make one with: rbflex-evo tabulate CONFIG")
    names = score_names(arrays)
    for name, kinds in {"architecture": "U", "key": "U", "row": "iu", **dict.fromkeys(names, "fiu")}.items():
        if not is_column(arrays[name], kinds):
            raise RunError(f"{name!r} of {str(path)!r} is {described(arrays[name])}; tabulate anew")
    rows, lengths = arrays["row"], {name: len(arrays[name]) for name in ("key", *names)}
    if len(rows) != len(arrays["architecture"]) or len(set(lengths.values())) > 1:
        raise RunError(f"the arrays of {str(path)!r} have different lengths; tabulate anew")
    if len(rows) and not 0 <= rows.min() <= rows.max() < lengths["key"]:
        raise RunError(f"'row' of {str(path)!r} names rows that do not exist; tabulate anew")
    return ScoreTable(
        space=str(arrays["space"]),
        architectures=arrays["architecture"].tolist(),
        keys=arrays["key"][rows].tolist(),
        scores={name: arrays[name][rows] for name in names},
    )


def save(path: Path, arrays: Arrays) -> None:
    """Replaces an npz file atomically: at any moment, either the old or the complete new file exists.

    Raises:
        RunError: If the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.new.npz")
    try:
        np.savez_compressed(draft, allow_pickle=False, **arrays)
        os.replace(draft, path)
    except OSError as error:
        raise file_error(error, path) from error
