"""Predictors of latency and energy on nats_tss: rank correlation and error on the rest of the space, by device.

    python -m benchmarks predictors --benchdata FOLDER [--predictors lookup transfer ...] [--seeds 3] [--slow-seeds 1]

Every predictor is fitted to 50, 100 and 900 cells drawn at random, `transfer` to 10, and judged on all other cells of the space.
The costs are those of HELP (27 devices) and HW-NAS-Bench (7 metrics on three data sets); a column that both have counts once. The
known devices of `transfer` are all columns of other chips: neither the same device in another table, on another data set, at
another batch size or as energy, nor another device with the same die. Finished rows are kept in the folder, so that a stopped
benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness.costs.predictors.cutting import Cutter
from rbflex_evo.fitness.costs.predictors.predictor import PREDICTORS, Predictor
from rbflex_evo.fitness.costs.predictors.transfer import KnownDevices
from rbflex_evo.spaces import Genotype, SearchSpace, create_space
from rbflex_evo.spaces.tables.chips import chip_of
from rbflex_evo.spaces.tables.device_table import open_device_table

FILES = ("nb201_latency.npz", "hwnasbench.npz")
SIZES = (50, 100, 900)
FEW = 10
GOAL = 0.93
# The survey's Table III: RMSE in ms on the GPU of a Snapdragon 888, NAS-Bench-201 on CIFAR-100.
# Predictors that take seconds a fit or minutes to describe all cells; they have fewer seeds.
SLOW = ("forest", "gcn", "kernels")
SURVEY = {"BRP-NAS": ("gcn", 4.6), "HELP": ("transfer", 0.12), "nn-Meter": ("kernels", 1.2)}


@dataclass(frozen=True)
class Target:
    """One column of a table.

    Attributes:
        name: Table, metric and data set.
        chip: Chip of the device.
        unit: Unit of the costs.
        costs: float64 [cells].
    """

    name: str
    chip: str
    unit: str
    costs: np.ndarray


def targets_of(folder: Path, space: SearchSpace) -> list[Target]:
    """Returns every different column of both tables."""
    found: list[Target] = []
    for file in FILES:
        table = open_device_table(str(folder / file), space)
        for cost in table.costs():
            values = table.values(cost)
            dataset = f" {cost.dataset}" if cost.dataset else ""
            if not any(np.array_equal(values, other.costs) for other in found):
                found.append(Target(f"{cost.name}{dataset}", chip_of(cost.device), cost.unit, values))
    return found


class Memory:
    """The space, its cells, and what predictors derive from them, each cell once."""

    def __init__(self) -> None:
        self.space: Any = create_space("nats_tss")
        self.space.costs = cache(self.space.costs)
        self.space.drawing = cache(self.space.drawing)
        self.cells: list[Genotype] = [self.space.at(i) for i in range(self.space.encoding.size)]
        self.cutter = Cutter(self.space, "eager")

    def predictor(self, name: str, seed: int, known: KnownDevices) -> Predictor:
        """Returns a new predictor."""
        kind: Any = PREDICTORS.get(name)
        if name == "transfer":
            made = kind(self.space, seed, known)
        elif name == "kernels":
            made = kind(self.space, seed, "eager", self.cutter)
        else:
            made = kind(self.space, seed)
        return made  # type: ignore[no-any-return]


def known_beside(target: Target, targets: Sequence[Target], cells: Sequence[Genotype]) -> KnownDevices:
    """Returns the columns of other chips."""
    others = [other for other in targets if other.chip != target.chip]
    costs = np.stack([other.costs for other in others], axis=1)
    return KnownDevices(tuple(other.name for other in others), tuple(other.chip for other in others), costs, cells)


def judged(
    memory: Memory, target: Target, known: KnownDevices, name: str, size: int, seed: int, rest: int | None
) -> dict[str, Any]:
    """Returns the errors of one predictor on cells that it was not fitted to.

    Args:
        memory: The space.
        target: The column.
        known: Columns of other chips.
        name: Registered name of the predictor.
        size: Number of cells that it is fitted to.
        seed: Seed of the cells.
        rest: Number of other cells that it is judged on; None for all.
    """
    order = np.random.default_rng(seed).permutation(len(memory.cells))
    fitted, others = order[:size], order[size:] if rest is None else order[size : size + rest]
    predictor = memory.predictor(name, seed, known)
    start = time.perf_counter()
    predictor.fit([memory.cells[i] for i in fitted], target.costs[fitted])
    seconds = time.perf_counter() - start
    predicted, costs = predictor.predict([memory.cells[i] for i in others]), target.costs[others]
    return {
        "target": target.name,
        "predictor": name,
        "size": size,
        "seed": seed,
        "spearman": float(spearmanr(predicted, costs)[0]),
        "error": float(np.median(np.abs(predicted - costs) / costs)),
        "rmse": float(np.sqrt(np.mean((predicted - costs) ** 2))),
        "method": getattr(predictor, "method", ""),
        "fit_seconds": round(seconds, 2),
    }


class Rows:
    """Finished rows of earlier calls and of this one, a JSON line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = {self.key(row): row for row in map(json.loads, lines)}

    @staticmethod
    def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns what identifies a row."""
        return tuple(row[name] for name in ("target", "predictor", "size", "seed", "rest"))

    def add(self, row: dict[str, Any]) -> None:
        """Stores a row."""
        self.rows[self.key(row)] = row
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")


def jobs(
    targets: Sequence[Target], names: Sequence[str], sizes: Sequence[int], seeds: int, slow: int
) -> Iterator[tuple[Target, str, int, int]]:
    """Yields the target, predictor, size and seed of every row."""
    for name in names:
        for size in [FEW] if name == "transfer" else sizes:
            for seed in range(slow if name in SLOW else seeds):
                for target in targets:
                    yield target, name, size, seed


def cell(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns means over seeds as text."""
    spearman, error = (float(np.mean([row[part] for row in rows])) for part in ("spearman", "error"))
    return f"{spearman:.3f} / {100 * error:.2g}"


def tables(rows: Sequence[Mapping[str, Any]], targets: Sequence[Target]) -> tuple[str, str]:
    """Returns the medians over devices, and the table of every device."""
    columns = list(dict.fromkeys((row["predictor"], row["size"]) for row in rows))
    of = {column: {target.name: [] for target in targets} for column in columns}  # type: dict[Any, dict[str, list[Any]]]
    for row in rows:
        of[row["predictor"], row["size"]][row["target"]].append(row)
    means = {
        column: {
            name: {part: float(np.mean([row[part] for row in found])) for part in ("spearman", "error", "rmse")}
            for name, found in by.items()
        }
        for column, by in of.items()
    }
    units = {target.name: target.unit for target in targets}
    medians = []
    for (name, size), by in means.items():
        spearmans = [each["spearman"] for each in by.values()]
        rmse = [each["rmse"] for target, each in by.items() if units[target] == "ms"]
        medians.append(
            [
                name,
                size,
                len({row["seed"] for row in rows if row["predictor"] == name}),
                f"{np.median(spearmans):.3f}",
                f"{min(spearmans):.3f}",
                f"{100 * np.median([each['error'] for each in by.values()]):.2g} %",
                f"{np.median(rmse):.2g}" if rmse else "",
                sum(value >= GOAL for value in spearmans),
            ]
        )
    heads = [
        "predictor",
        "cells",
        "seeds",
        "Spearman, median",
        "worst",
        "median error",
        "RMSE, ms",
        f"devices of {len(targets)} at {GOAL} or better",
    ]
    every = [[target.name, *(cell(of[column][target.name]) for column in columns)] for target in targets]
    return markdown(heads, medians), markdown(["device", *(f"{name} {size}" for name, size in columns)], every)


def command(options: argparse.Namespace) -> None:
    memory = Memory()
    targets = targets_of(options.benchdata, memory.space)
    shown = [target for target in targets if not options.devices or any(name in target.name for name in options.devices)]
    sizes = SIZES[:1] if options.quick else SIZES
    rest = 200 if options.quick else None
    options.folder.mkdir(parents=True, exist_ok=True)
    stored = Rows(options.folder / "predictors_rows.jsonl")
    rows = []
    work = list(jobs(shown, options.predictors, sizes, options.seeds, options.slow_seeds))
    for target, name, size, seed in tqdm(work, "fits", disable=None):
        key = (target.name, name, size, seed, rest)
        if key not in stored.rows:
            found = judged(memory, target, known_beside(target, targets, memory.cells), name, size, seed, rest)
            stored.add({**found, "rest": rest})
        rows.append(stored.rows[key])
    medians, every = tables(rows, shown)
    known = {target.name: known_beside(target, targets, memory.cells).names for target in shown}
    listed = markdown(
        ["device", "chip", "known devices of transfer are all of these but the columns of its chip"],
        [[target.name, target.chip, len(known[target.name])] for target in shown],
    )
    survey = markdown(
        ["survey's Table III", "here", "RMSE there, ms"], [[name, ours, rmse] for name, (ours, rmse) in SURVEY.items()]
    )
    heading = "Spearman / median relative error in %, means over seeds:"
    text = "\n\n".join([medians, heading, every, listed, survey, NOTES])
    title = f"Predictors on nats_tss: {len(shown)} columns of HELP and HW-NAS-Bench, all other cells"
    write(options.folder, "predictors", title, text, {"rows": rows, "known": known})


NOTES = """\
The survey's figures are of one other device, the GPU of a Snapdragon 888, and of unstated training cells, so they cannot be
compared with these columns. Its BRP-NAS, HELP and nn-Meter are the published programs; ours share their ideas only. The methods
that `transfer` chooses from were decided with these tables in view, so its figures are no blind test; the choice among them is made
without the new device. The JSON file lists the known devices of each column by name."""


def main(options: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, required=True, help=f"the folder of {' and '.join(FILES)}")
    parser.add_argument("--predictors", nargs="+", default=["transfer", "lookup", "ridge", "forest", "gcn", "kernels"])
    parser.add_argument("--devices", nargs="+", help="only columns whose name contains one of these")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slow-seeds", type=int, default=1, help=f"seeds of {', '.join(SLOW)}")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--quick", action="store_true", help="50 cells, judged on 200")
    command(parser.parse_args(options))


if __name__ == "__main__":
    main()
