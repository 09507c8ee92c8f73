"""Searches replayed on a table of scores by the engine's own `compare`: strategies x seeds at one budget of unique evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.engine.comparison.compare import Runs, run_all
from rbflex_evo.engine.configuration.config import Config, as_values, parse_config
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import RunError
from rbflex_evo.strategies import own_strategies

from .score_tables import Choice, Scores

# Noise if the configuration of the table is missing: scores come from the table, so images are not read.
NOISE = {"source": "noise", "shape": [3, 32, 32], "n": 16, "seed": 0}
# Populations that fit into a thousand evaluations, for strategies whose default does not.
FITTING = {"large_space_evolution": {"population": 32}}


def all_strategies() -> list[dict[str, Any]]:
    """Returns every registered strategy, as a configuration names it, random search first."""
    names = ["random", *sorted(name for name in own_strategies() if name != "random")]
    return [{"name": name, **FITTING.get(name, {})} for name in names]


def config_of(
    scores: Scores,
    choice: Choice,
    strategies: Sequence[Any],
    *,
    name: str,
    folder: Path,
    evaluations: int,
    seeds: int,
    workers: int | None = None,
    constraints: Mapping[str, Any] | None = None,
    tables: Sequence[Mapping[str, Any]] = (),
) -> Config:
    """Returns the configuration of a comparison of strategies that search by that choice.

    Data and parameters are read from the configuration beside the table, if it exists.
    """
    made = {} if scores.config is None else as_values(scores.config)
    parameters = made.get("fitness", {}).get("proxies", {})
    preset = PRESETS.get(choice.label) if choice.preset else None
    chosen = {} if preset is None else preset.proxies
    fitness: dict[str, Any] = {
        "proxies": {member: parameters.get(member, chosen.get(member, {})) for member in choice.members},
        "objective": {"score": choice.members[0]} if preset is None else preset.objective,
        "constraints": dict(constraints or {}),
    }
    if "weights" in made.get("fitness", {}):
        fitness["weights"] = made["fitness"]["weights"]
    values = {part: made[part] for part in ("space", "data", "precision") if part in made}
    values = {"space": scores.space.name, "data": NOISE, **values}
    compare = {"strategies": list(strategies), "seeds": seeds, "tables": [dict(table) for table in tables]}
    more = {"budget": {"evaluations": evaluations}, "workers": workers or "auto", "scores": str(scores.path)}
    return parse_config({"name": name, "runs": str(folder), **values, **more, "fitness": fitness, "compare": compare})


def replay(config: Config) -> Runs:
    """Runs the comparison.

    Raises:
        RunError: if a run failed, with its reason.
    """
    runs = run_all(config)
    if runs.failures:
        (label, seed), why = next(iter(runs.failures.items()))
        raise RunError(f"{len(runs.failures)} runs failed, the first ({label}, seed {seed}) with {why}")
    return runs


def finals(runs: Runs, scores: Scores, label: str) -> np.ndarray:
    """Returns int64 [seeds], the networks that a strategy's runs end with.

    Raises:
        RunError: if one of them found nothing that could be scored.
    """
    chosen = [runs.traces[label, seed].notations for seed in runs.plan.seeds]
    if not all(chosen):
        raise RunError(f"a run of {label} found no network that could be scored")
    return np.array([scores.space.index(scores.space.parse(notations[-1])) for notations in chosen])
