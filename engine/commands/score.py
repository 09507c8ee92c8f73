"""``score`` and ``gammas``: one architecture's scores, and a space's kernel widths, without a search."""

from __future__ import annotations

import json
from typing import Annotated, Any

import numpy as np
import typer

from rbflex_evo.engine.configuration.config import Config, load_config, override, parse_config
from rbflex_evo.engine.terminal.wording import columns, significant
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.objective.constraints import written
from rbflex_evo.spaces import CandidateFailed, SearchSpace, create_space

from .options import AsJson, ConfigPath, Overrides


def score(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A space's name, such as nats_tss.")],
    architecture: Annotated[
        str, typer.Argument(metavar="ARCH", help="An architecture in the space's notation, an index, or 'random'.")
    ],
    proxy: Annotated[list[str] | None, typer.Option("--proxy", help="A score's name. Repeatable.")] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Score by the members of a preset instead.")] = None,
    set_: Overrides = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random architecture.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score one architecture.

    Without --set, the inputs are noise images (or random words) and all parameters have their defaults.
    """
    config = _config_of(space, proxy or ([] if preset else ["rbflex", "naswot", "synflow"]), preset, set_ or [])
    from rbflex_evo.engine.configuration.assembly import Assembly

    parts = Assembly(config)
    built = parts.space
    genotype = (
        built.encoding.sample(np.random.Generator(np.random.PCG64(seed)))
        if architecture == "random"
        else built.genotype_of(architecture)
    )
    with parts.evaluator() as evaluator:
        (evaluation,) = evaluator.evaluate(keyed(evaluator, [genotype]))
    notation = built.notation(genotype)
    if as_json:
        found: dict[str, Any] = {"notation": notation, "genotype": list(genotype), "key": evaluation.key}
        print(json.dumps({**found, "scores": dict(evaluation.scores), "failures": dict(evaluation.failures)}))
    else:
        print(notation)
        failures = {name: f"failed: {why}" for name, why in evaluation.failures.items()}
        rows = [(name, failures[name] if name in failures else written(evaluation.scores[name])) for name in config.fitness.proxies]
        print("\n".join(columns(rows)))
    if evaluation.failed:
        raise typer.Exit(1)


def gammas(config: ConfigPath, set_: Overrides = None, as_json: AsJson = False) -> None:
    """Detect and print the kernel widths of the RBFleX score (HDA).

    A search with this configuration uses the same widths.
    """
    settings = load_config(config, set_ or [])
    from rbflex_evo.engine.configuration.assembly import Assembly
    from rbflex_evo.engine.terminal.progress import Progress

    with Assembly(settings).evaluator() as evaluator:
        with Progress("gammas", None, unit="network") as progress:
            evaluator.prepare(progress.to)
        found = evaluator.facts()["gammas"]
    if as_json:
        print(json.dumps(found))
    elif not found:
        print("no proxy of this configuration detects anything")
    else:
        rows = [(name, ", ".join(f"{key} {significant(value)}" for key, value in values.items())) for name, values in found.items()]
        print("\n".join(columns(rows)))


# Multiply-accumulates per image from which starting worker processes pays off for HDA.
EXPENSIVE = 4e8


def _is_expensive(space: SearchSpace) -> bool:
    genotype = space.encoding.sample(np.random.default_rng(0))
    try:
        return space.costs(space.representative(space.key(genotype))).flops >= EXPENSIVE
    except CandidateFailed:
        return False


def _config_of(space: str, proxies: list[str], preset: str | None, overrides: list[str]) -> Config:
    from rbflex_evo.fitness.data.inputs import default_data

    built: SearchSpace = create_space(space)
    combined: dict[str, Any] = {"preset": preset} if preset else {"objective": {"rank": proxies}}
    values: dict[str, Any] = {
        "name": "score",
        "space": space,
        "data": default_data(built),
        "fitness": {"proxies": {name: {} for name in proxies}, **combined},
        "strategy": "random",
        "budget": {"evaluations": 1},
        "workers": "auto" if _is_expensive(built) else 1,
    }
    for text in overrides:
        override(values, text)
    return parse_config(values)
