"""Configurations of correlations on a toy space with a table of every accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.config import parse_config
from rbflex_evo.spaces import Genotype, create_space

SPACE = {"name": "toy", "genes": 4, "choices": 4, "channels": 4}


def accuracy(genotype: Genotype) -> float:
    return 50 + 5 * genotype[0] + 3 * genotype[3] + genotype[1] / 10


def known(folder: Path, name: str = "known", **changes: Any) -> dict[str, Any]:
    """Writes a table of every architecture's accuracy and returns its section of a configuration."""
    space = create_space(**SPACE)
    rows = [f"{space.notation(g)},{accuracy(g)},{100 - accuracy(g)}" for g in space.encoding.enumerate()]
    path = folder / f"{name}.csv"
    path.write_text("\n".join(["notation,accuracy,worse", *rows]))
    return {"source": "csv", "path": str(path), "dataset": "toys", **changes}


def values(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "scores",
        "space": SPACE,
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "fitness": {
            "proxies": {"naswot": {}, "synflow": {}},
            "objective": {"rank": ["naswot", "synflow"], "rule": "linear", "weights": [2, 1]},
        },
        "sample": {"size": 120, "seed": 1},
        "correlate": {"resamples": 40},
        "table": known(folder),
        "device": "cpu",
        "workers": 1,
        "cache": "off",
        "runs": str(folder / "runs"),
        **changes,
    }


def config(folder: Path, **changes: Any) -> Any:
    return parse_config({"strategy": "random", "budget": {"evaluations": 1}, **values(folder, **changes)})


def worse(folder: Path) -> dict[str, Any]:
    return known(folder, dataset="opposite", accuracy="worse")
