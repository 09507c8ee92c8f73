"""Rank-based NAS's Tables 2 and 3: random search, evolution and annealing on the sum of three scores' ranks.

The paper prints neither the budget of GA-rk and SA-rk nor the number of runs; ours use 1,000 unique evaluations.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import replays
from benchmarks.shared.comparison import pair, spread
from benchmarks.shared.output import markdown
from benchmarks.shared.samples import SIZES
from benchmarks.shared.score_tables import Scores, draws, found
from benchmarks.shared.scoring_seconds import Seconds

from . import printed_searches as published

PRESET = "rank_nas"
STRATEGIES = ("genetic", "annealing")
# Differences of means up to this many points are not reported.
CLOSE = 0.3


@dataclass(frozen=True)
class Chosen:
    """Results of the runs of one row: networks [runs], and seconds of one run if its score was timed."""

    networks: np.ndarray
    seconds: float | None


def chosen_of(
    options: argparse.Namespace, scores: Scores, seconds: Mapping[str, Seconds], size: int, runs: int, count: int
) -> dict[str, Chosen]:
    """Returns our results by the paper's row; rows whose scores the table lacks are left out.

    Args:
        size: Evaluations of a search.
        runs: Runs of each strategy.
        count: Draws of random search.
    """
    drawn = draws(SIZES[scores.space.name], size, count)
    rows: dict[str, Chosen] = {}
    replayed = _replayed(options, scores, size, runs)
    for row, (label, strategy) in published.RANK_ROWS.items():
        choice = scores.choice(label)
        if choice is None:
            continue
        cost = seconds[label].search(size) if label in seconds else None
        if strategy is None:
            rows[row] = Chosen(found(scores, choice, drawn), cost)
        else:
            networks, own = replayed[strategy]
            rows[row] = Chosen(networks, None if cost is None else cost + own)
    return rows


def _replayed(options: argparse.Namespace, scores: Scores, size: int, runs: int) -> dict[str, tuple[np.ndarray, float]]:
    """Returns by strategy the networks that its runs end with, and the strategy's own seconds a run."""
    choice = scores.choice(PRESET)
    if choice is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        config = replays.config_of(
            scores, choice, STRATEGIES, name=PRESET, folder=Path(folder), evaluations=size, seeds=runs, workers=options.workers
        )
        done = replays.replay(config)
    own = {label: np.mean([done.traces[label, seed].time_strategy for seed in done.plan.seeds]) for label in STRATEGIES}
    return {label: (replays.finals(done, scores, label), float(own[label])) for label in STRATEGIES}


def table(
    name: str, rows: Mapping[str, Chosen], accuracies: Mapping[tuple[str, str], np.ndarray]
) -> tuple[str, list[str], list[dict[str, Any]]]:
    """Returns the Markdown table of a space, sentences where ours and the published figures disagree, and the rows as data."""
    kinds = [(dataset, split) for dataset in ("cifar10", "cifar100") for split in ("validation", "test")]
    known = [kind for kind in kinds if kind in accuracies]
    lines, sentences, data = [], [], []
    for printed in published.RANK_TABLES[name]:
        ours = rows.get(printed.method)
        mine = {kind: spread(accuracies[kind][ours.networks]) for kind in known} if ours is not None else {}
        theirs = {kind: printed.figure(*kind) for kind in kinds}
        quoted = printed.kind in published.QUOTED
        cells = [cell for kind in kinds for cell in (*([pair(mine.get(kind))] if kind in known else []), pair(theirs[kind]))]
        cost = "" if ours is None or ours.seconds is None else f"{ours.seconds:,.1f}"
        lines.append([
            printed.method, f"quoted ({printed.kind})" if quoted else printed.kind, *cells, cost,
            "" if printed.seconds is None else f"{printed.seconds:,g}",
        ])  # fmt: skip
        ends = {" ".join(kind): value for kind, value in mine.items()}
        data.append({"row": printed.method, "quoted": quoted, "ours": ends, "seconds": None if ours is None else ours.seconds})
        for kind in known:
            mean, other = mine.get(kind), theirs[kind]
            if mean is not None and other is not None and abs(mean[0] - other[0]) > CLOSE:
                why = "the paper prints neither its budget nor its images" if printed.kind == published.SEARCH else \
                    "it prints neither its images nor its batch, and another initialisation is another order"  # fmt: skip
                sentences.append(
                    f"- {printed.method}, {name}, {' '.join(kind)}: {mean[0]:.2f} here, {other[0]:.2f} published; {why}."
                )
    columns = ["method", "kind"]
    for dataset, split in kinds:
        columns += [f"{dataset} {split}", "published"] if (dataset, split) in known else [f"{dataset} {split}, published"]
    return markdown([*columns, "s here", "s published"], lines), sentences, data
