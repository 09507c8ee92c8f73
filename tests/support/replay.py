"""Comparisons on a small table: the toy space of 4,096 genotypes, scored by a hash of the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rbflex_evo.engine.configuration.config import Config, as_values
from rbflex_evo.spaces import SearchSpace, create_space
from tests.support.instant import InstantEvaluator, toy_config

SPACE = {"name": "toy", "genes": 6, "choices": 4}
PROXIES = ("naswot", "synflow")


def write_scores(path: Path, space: SearchSpace | None = None, without: str = "") -> Path:
    """Writes a table of the instant evaluator's scores as ``tabulate`` does, without the key `without`."""
    space = space or create_space(**SPACE)
    evaluator = InstantEvaluator(space)
    first = {space.key(genotype): genotype for genotype in space.encoding.enumerate()}
    first.pop(without, None)
    found = list(evaluator.evaluate(list(first.items())))
    arrays: dict[str, np.ndarray] = {
        "key": np.array(list(first)),
        "notation": np.array([space.notation(space.representative(key)) for key in first]),
    }
    for name in PROXIES:
        arrays[name] = np.array([evaluation.scores.get(name, np.nan) for evaluation in found])
        arrays[f"{name}_failure"] = np.array([evaluation.failures.get(name, "") for evaluation in found])
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return path


def write_accuracies(path: Path) -> dict[str, str]:
    """Writes an accuracy for every genotype, and returns the section ``table`` that names it."""
    space = create_space(**SPACE)
    rows = [f"{space.notation(g)},{50 + 40 * i / 4096:.4f}" for i, g in enumerate(space.encoding.enumerate())]
    path.write_text("\n".join(["notation,accuracy", *rows]))
    return {"source": "csv", "path": str(path), "dataset": "digits"}


def compare_config(runs: Path, compare: dict[str, Any], **changes: Any) -> Config:
    """Returns a configuration that compares on the toy space."""
    values: dict[str, Any] = {"name": "toy", "space": SPACE, "budget": {"evaluations": 60}, "compare": compare}
    return toy_config(runs, **{**values, **changes})


COMPARE: dict[str, Any] = {
    "strategies": ["random", {"name": "genetic", "population": 10}, {"name": "annealing", "label": "cool one"}],
    "seeds": 6,
}


def write_comparison(folder: Path, **changes: Any) -> Path:
    """Writes a configuration with its tables and returns its path."""
    scores = write_scores(folder / "scores.npz")
    known = write_accuracies(folder / "known.csv")
    config = compare_config(folder / "runs", COMPARE, scores=str(scores), table=known, **changes)
    (folder / "toy.yaml").write_text(yaml.safe_dump(as_values(config)))
    return folder / "toy.yaml"
