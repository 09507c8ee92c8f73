"""Price of scores and presets: milliseconds a network beside rbflex alone, interleaved.

    python -m benchmarks price [--spaces nats_tss] [--presets rbflex_rank] [--members rbflex,swap,az_expressivity:inputs=data]

All sets of scores run in one process, one network after another and one set after another, for several rounds, so that any drift
of the machine affects all of them equally; with workers, whole rounds of networks alternate. A price is the median over the
networks of the least milliseconds over the rounds, with N = 16 noise images. By default the sets are rbflex alone, every preset,
and rbflex with each of their members. `--members` adds a set; a member's settings follow its name, each after a colon. rbflex
takes its gamma-free kernel, because the detection of gammas is no price of a network. Writes price.json and price.md.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness import Proxy, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.measuring.workers import Workers
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace, create_space

from .speed_methods import MICRO_BATCH, PASSES, networks, noise, scored, threads

N = 16
# Pixels of the images of each space.
SIZES = {"nats_tss": 32, "nasbench_macro": 32, "mobilenet": 64}
ALONE = "rbflex"
# Both scores of entropies in the forward that rbflex uses.
SHARED = {"statistics": "image", "inputs": "data"}

Members = Mapping[str, Mapping[str, Any]]


def members_of(text: str) -> dict[str, dict[str, Any]]:
    """Reads scores with their settings, as in ``rbflex,swap,az_expressivity:statistics=image:inputs=data``.

    Raises:
        ConfigError: If a setting is not of the form name=value.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in text.split(","):
        name, *settings = part.strip().split(":")
        found[name] = {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise ConfigError(f"expected name=value after {name!r}, but got {setting!r}")
            try:
                found[name][key] = ast.literal_eval(value)
            except (SyntaxError, ValueError):
                found[name][key] = value
    return found


def default_sets(presets: Sequence[str]) -> dict[str, Members]:
    """Returns the sets of scores by label: rbflex, presets, rbflex with each of their members, and their shared forms."""
    sets: dict[str, Members] = {ALONE: {ALONE: {}}}
    singles: dict[str, Members] = {}
    for name in presets:
        proxies = PRESETS.get(name).proxies
        sets[f"preset {name}"] = proxies
        if any(member in proxies for member in ("az_expressivity", "az_progressivity")):
            shared = {member: {**own, **SHARED} if member in ENTROPIES else own for member, own in proxies.items()}
            sets[f"preset {name}, entropies shared"] = shared
        for member, own in proxies.items():
            if member != ALONE:
                singles[f"rbflex + {member}"] = {ALONE: {}, member: own}
            if member in ENTROPIES:
                singles[f"rbflex + {member}, shared"] = {ALONE: {}, member: {**own, **SHARED}}
    return {**sets, **singles, "rbflex + layered": {ALONE: {}, "layered": {}}}


ENTROPIES = ("az_expressivity", "az_progressivity")


def proxies_of(members: Members, space: SearchSpace) -> dict[str, Proxy]:
    """Returns the scores of a set for `space`, rbflex with its gamma-free kernel if no gamma is given."""
    flat = {"gamma": "flat"}
    return {
        name: create_proxy(name, **({**flat, **values} if name == ALONE else values)).for_space(space)
        for name, values in members.items()
    }


def milliseconds(
    space: SearchSpace, images: torch.Tensor, genotypes: Sequence[Genotype], sets: Mapping[str, Members], rounds: int
) -> dict[str, list[list[float]]]:
    """Returns the milliseconds of each network by set and round, in this process on one thread."""
    chosen = {label: proxies_of(members, space) for label, members in sets.items()}
    # A measurer for each set, so that no set is served by what another one has kept.
    measurers = {label: Measurer(Conditions.of(space, Batch(images), device="cpu")) for label in sets}
    found: dict[str, list[list[float]]] = {label: [] for label in sets}
    with threads(1):
        for number in range(rounds + 1):
            times: dict[str, list[float]] = {label: [] for label in sets}
            for genotype in genotypes:
                for label, proxies in chosen.items():
                    started = time.perf_counter()
                    measurers[label].measure([(scored(space, genotype), proxies)])
                    times[label].append(1e3 * (time.perf_counter() - started))
            for label, row in times.items():
                # The first round warms up.
                found[label] += [row] if number else []
    return found


def milliseconds_of_workers(
    space: SearchSpace,
    images: torch.Tensor,
    genotypes: Sequence[Genotype],
    sets: Mapping[str, Members],
    rounds: int,
    workers: int,
    passes: int = PASSES,
) -> dict[str, list[float]]:
    """Returns the milliseconds a network by set and round in a pool of workers, in micro-batches as a search submits them."""
    found: dict[str, list[float]] = {label: [] for label in sets}
    with contextlib.closing(Workers(Conditions.of(space, Batch(images), device="cpu"), workers)) as pool:
        for number in range(rounds + 1):
            for label, members in sets.items():
                proxies = proxies_of(members, space)
                requests = [(scored(space, genotype), proxies) for genotype in genotypes] * passes
                started = time.perf_counter()
                blocks = [requests[i : i + MICRO_BATCH] for i in range(0, len(requests), MICRO_BATCH)]
                for future in as_completed([pool.submit(block) for block in blocks]):
                    future.result()
                if number:
                    found[label].append(1e3 * (time.perf_counter() - started) / len(requests))
    return found


def typical(rows: Sequence[Sequence[float]]) -> float:
    """Returns the median over the networks of the least milliseconds over the rounds."""
    return float(np.median(np.min(rows, axis=0)))


def measured(
    name: str, sets: Mapping[str, Members], count: int, rounds: int, workers: int, size: int | None = None, **parameters: Any
) -> dict[str, Any]:
    """Returns the prices of the sets on one space: milliseconds by set, for one process and for a pool of workers if asked for."""
    space = create_space(name, **parameters)
    images = torch.from_numpy(noise(N, size or SIZES.get(name, 32)))
    genotypes = networks(space, count)
    one = {label: typical(rows) for label, rows in milliseconds(space, images, genotypes, sets, rounds).items()}
    found: dict[str, Any] = {"space": name, "size": images.shape[-1], "networks": count, "one": one}
    if workers > 1:
        several = milliseconds_of_workers(space, images, genotypes, sets, rounds, workers)
        found["workers"] = {label: min(times) for label, times in several.items()}
    return found


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns one row for each space, set and form: milliseconds, candidates/s and the ratio to rbflex alone."""
    rows = []
    for result in results:
        for form in ("one", "workers"):
            for label, value in result.get(form, {}).items():
                what = "one process" if form == "one" else "pool"
                rows.append([result["space"], what, label, value, 1e3 / value, value / result[form][ALONE]])
    return markdown(["space", "form", "scores", "ms a network", "candidates/s", "times rbflex"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=list(SIZES), help="spaces of images")
    parser.add_argument("--presets", nargs="*", default=PRESETS.names(), help="presets whose prices are measured")
    parser.add_argument("--members", action="append", default=[], help="a further set of scores; may be repeated")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="also measure nats_tss in a pool of so many processes")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    sets = {**default_sets(options.presets), **{text: members_of(text) for text in options.members}}
    results = [
        measured(name, sets, options.networks, options.rounds, options.workers if name == "nats_tss" else 1)
        for name in options.spaces
    ]
    title = "Price of scores beside rbflex, milliseconds a network"
    write(options.folder, "price", title, table(results), {"rounds": options.rounds, "sets": sets, "results": results})


if __name__ == "__main__":
    main()
