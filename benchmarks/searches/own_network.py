"""Time of a whole search over a network of one's own.

    python -m benchmarks own_network [--evaluations 200] [--rounds 3] [--workers 2] [--folder benchmarks/results]

The network is that of docs/guide/python.md, with more values of each choice. Each round is a new process that imports this package,
searches with an empty run folder and an empty cache, and writes the report, as a user's script does. The plain forwards of the same
networks for the same images, one after another on one thread, are timed beside it. Writes own_network.json and own_network.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.machine.speed_methods import threads
from benchmarks.shared.output import markdown, write
from rbflex_evo import Choices, search
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import SearchSpace

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
CHOICES: dict[str, list[Any]] = {"depth": [2, 3, 4], "width": [16, 32, 48, 64, 80, 96], "kernel": [3, 5], "act": [*ACTIVATIONS]}
SIZE = 32
N = 16


def build(depth: int, width: int, kernel: int, act: str, norm: bool) -> nn.Module:
    """Returns `depth` convolutions of one width with activations, and a classifier."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Conv2d(width if i else 3, width, kernel, padding=kernel // 2)]
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers += [ACTIVATIONS[act]()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def space_of_choices() -> SearchSpace:
    """Returns the space: 216 networks."""
    return Choices(build, **CHOICES, norm=[False, True], input_shape=(3, SIZE, SIZE))


def search_once(evaluations: int, workers: int, runs: Path) -> dict[str, Any]:
    """Runs one search in this process; returns its seconds and what it found."""
    started = time.perf_counter()
    result = search(
        space_of_choices(), evaluations=evaluations, workers=workers, cache=str(runs / "cache.sqlite"), runs=str(runs), quiet=True
    )
    seconds = time.perf_counter() - started
    return {
        "search_seconds": seconds,
        "evaluations": result.counts["unique"],
        "notations": result.to_dataframe()["notation"].tolist(),
        "best": result.best.notation,
    }


def plain_seconds(notations: list[str]) -> float:
    """Returns the seconds of the plain forwards of networks, on one thread."""
    space, total = space_of_choices(), 0.0
    images = torch.randn(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with threads(1), torch.no_grad():
        for text in notations:
            network = build_initialised(space, space.parse(text), WeightParameters()).eval()
            started = time.perf_counter()
            network(images)
            total += time.perf_counter() - started
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once is not None:
        print(json.dumps(search_once(options.evaluations, options.workers, options.once)))
        return
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as runs:
            started = time.perf_counter()
            given = ["--evaluations", str(options.evaluations), "--workers", str(options.workers), "--once", runs]
            command = [sys.executable, "-m", "benchmarks.searches.own_network", *given]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout) | {"process_seconds": time.perf_counter() - started}
        rounds.append(found | {"plain_seconds": plain_seconds(found["notations"])})
    columns = ("process_seconds", "search_seconds", "plain_seconds", "evaluations")
    rows = [[i + 1, *(found[name] for name in columns)] for i, found in enumerate(rounds)]
    title = f"A search of {options.evaluations} evaluations over a network of one's own, {options.workers} workers"
    write(options.folder, "own_network", title, markdown(["round", *columns], rows), {"choices": CHOICES, "rounds": rounds})


if __name__ == "__main__":
    main()
