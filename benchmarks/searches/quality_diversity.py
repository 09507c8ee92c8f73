"""Coverage and QD score of MAP-Elites, random search and NSGA-II over the sizes of MobileNet, at one budget.

    python -m benchmarks quality_diversity [--evaluations 5000] [--seeds 1] [--score naswot] [--size 64] [--folder FOLDER]

All runs are measured by one grid, whose bounds are the proved extremes of both costs in the whole space, and by one reference: the
lowest score that any of them evaluated. NSGA-II maximises the score and minimises both costs. The cheap form has small images and
few of them. Runs lie in `--runs` and are resumed when the command is repeated. Writes quality_diversity.json and .md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared.output import markdown, write
from rbflex_evo import create_space, search
from rbflex_evo.engine.search.result import Result
from rbflex_evo.fitness.costs.metric import create_metric
from rbflex_evo.fitness.objective.grid import Axis, Grid
from rbflex_evo.fitness.optimum.prove import prove
from rbflex_evo.fitness.optimum.quantity import Goal, cost_quantity
from rbflex_evo.spaces import SearchSpace

MEASURES = ("params", "flops")


def proved_axes(space: SearchSpace, cells: int) -> tuple[Axis, ...]:
    """Returns the axes between the proved extremes of the costs."""
    axes = []
    for name in MEASURES:
        quantity = cost_quantity(create_metric(name, space))
        low, high = (prove(space, [Goal(quantity, maximised)]).front[0].values[name] for maximised in (False, True))
        axes.append(Axis(name, low, high, cells))
    return tuple(axes)


def contenders(score: str, axes: tuple[Axis, ...]) -> dict[str, dict[str, Any]]:
    """Returns the settings of a search by the name of its strategy."""
    measures = {axis.name: {"min": axis.lower, "max": axis.upper, "cells": axis.cells} for axis in axes}
    single = {"score": score}
    front = {"pareto": [score, *({"minimise": name} for name in MEASURES)]}
    return {
        "map_elites": {"strategy": {"name": "map_elites", "measures": measures}, "objective": single},
        "random": {"strategy": "random", "objective": single},
        "nsga2": {"strategy": "nsga2", "objective": front},
    }


def columns_of(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Returns the score [n] and the costs [n, measures] of the candidates that did not fail."""
    told = [evaluation for evaluation in result.view.evaluations if not evaluation.failed]
    counted = [result.space.costs(evaluation.genotype) for evaluation in told]
    costs = np.array([[getattr(one, name) for name in MEASURES] for one in counted])
    return np.array([next(iter(evaluation.scores.values())) for evaluation in told]), costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=5000, help="budget of each run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each strategy")
    parser.add_argument("--score", default="naswot", help="score that is maximised")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--images", type=int, default=16, help="number of images")
    parser.add_argument("--cells", type=int, default=20, help="parts of each axis")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--runs", default="runs", help="folder of the runs")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where the table is written")
    given = parser.parse_args()
    space = create_space("mobilenet", size=given.size)
    axes = proved_axes(space, given.cells)
    found: list[tuple[str, int, np.ndarray, np.ndarray, float]] = []
    for seed in range(given.seeds):
        for name, settings in contenders(given.score, axes).items():
            result = search(
                space,
                evaluations=given.evaluations,
                proxies=given.score,
                data={"source": "noise", "shape": [3, given.size, given.size], "n": given.images},
                name=f"quality_diversity-{given.score}-{given.size}-{given.evaluations}-{name}-{seed}",
                runs=given.runs,
                seed=seed,
                workers=given.workers,
                **settings,
            )
            found.append((name, seed, *columns_of(result), result.found.time_seconds))
    grid = Grid(axes)
    reference = min(float(scores.min()) for _, _, scores, _, _ in found)
    rows, records = [], []
    for name, seed, scores, costs, seconds in found:
        elites = grid.elites(scores, costs, reference)
        rows.append([name, seed, len(elites.cells), 100 * elites.coverage, elites.qd_score, float(scores.max()), seconds])
        records.append(dict(zip(("strategy", "seed", "cells", "coverage", "qd_score", "best", "seconds"), rows[-1], strict=True)))
    title = f"Map of mobilenet over params x flops, {given.score} at {given.size} pixels, {given.evaluations} evaluations"
    header = ["strategy", "seed", "cells", "coverage, %", "QD score", f"best {given.score}", "seconds"]
    facts = {"reference": reference, "axes": [vars(axis) for axis in axes], "runs": records}
    write(given.folder, "quality_diversity", title, markdown(header, rows), facts)


if __name__ == "__main__":
    main()
