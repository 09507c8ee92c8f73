"""Scores of nats_tss that others computed and published, if the folder has them.

They help to decide whether a disagreement is our fault or the paper's. `nb201_proxies.npz` (FreeREA's authors) holds every cell,
`zc_naslib_sample.csv.gz` (NASLib) about 700 cells.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

# Row of our tables -> array or column of theirs. NASLib's numbers of the other scores are used where FreeREA has none.
FREE_REA = {"naswot": "naswot", "synflow": "log10_synflow", "logsynflow": "logsynflow"}
NASLIB = {"grad_norm": "grad_norm", "snip": "snip", "fisher": "fisher", "grasp": "grasp", "jacob_cov": "jacov"}
# Value that NASLib stores for a failed score.
FAILED_BELOW = -1e7


def scores_of_others(folder: Path, dataset: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns for each row the cells' official indices and their scores, NaN where one failed; empty without the files."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    sample = folder / "zc_naslib_sample.csv.gz"
    if sample.is_file():
        with gzip.open(sample, "rt", newline="") as opened:
            lines = [line for line in csv.DictReader(opened) if (line["benchmark"], line["dataset"]) == ("nb201", dataset)]
        indices = np.array([int(line["index"]) for line in lines])
        for row, column in NASLIB.items():
            values = np.array([float(line[column] or "nan") for line in lines])
            found[row] = indices, np.where(values > FAILED_BELOW, values, np.nan)
    every = folder / "nb201_proxies.npz"
    if every.is_file():
        with np.load(every, allow_pickle=False) as arrays:
            for row, name in FREE_REA.items():
                values = arrays[f"{dataset}_{name}"].astype(np.float64)
                found[row] = np.arange(len(values)), np.where(np.isfinite(values), values, np.nan)
    return found
