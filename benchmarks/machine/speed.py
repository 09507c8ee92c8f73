"""Speed of scoring on this machine, compared with the published procedure and with a plain forward.

    python -m benchmarks speed [--quick] [--json] [--folder benchmarks/results]

All methods run in one process, interleaved, for several rounds. The result is the median number of candidates scored by rbflex
per second, including the determinants, with N = 16 noise images of 32 x 32. Writes speed.json, speed.md and speed.png. Run it on
an otherwise idle machine.

    published                    building the raw network, 16 forwards of one image, float64 matrices N x L, slogdet; all cores
    published_as_written         the same by every step of the published script: one more forward, growing rows, nothing in place
    plain                        building the network and one forward of the batch in training mode, no score; all cores
    ..._one_thread               the same on one thread
    generic_float32              ours on any module: observers on the built network; one process of one thread
    batched_<backend>_<precision>  ours from the plan of the forward; one process of one thread
    ..._two_workers              the same in two processes of one thread
    exhaustive                   ours over the whole space, shared layers computed once; two workers
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.figures.speed_plot import draw
from benchmarks.shared.output import markdown, write
from rbflex_evo.spaces import Genotype, SearchSpace, create_space

from .speed_methods import Method, backends, cores, interleaved, methods, networks, noise, ours, pools, published, repeated
from .speed_parts import apart

SPACES = ("nats_tss", "nats_sss")
N, SIZE = 16, 32
# A typical live cell of nats_tss, used at all sizes.
CELL = 284
SIZES = (32, 64, 96, 128, 224, 320, 448)
NS = (4, 8, 16, 32, 64, 128)
PUBLISHED_SIZE = 128
QUICK_SIZES, QUICK_NS, QUICK_PUBLISHED_SIZE = (32, 64, 128), (4, 16, 64), 64
QUICK_SUBTREES = {"nats_tss": "4", "nats_sss": "2"}

Rates = Mapping[str, float]


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def compared(space: SearchSpace, images: torch.Tensor, genotypes: Sequence[Genotype], rounds: int) -> dict[str, list[float]]:
    """Returns candidates/s by method and round."""
    with pools(space, images) as workers:
        return interleaved(space, methods(space, images), workers, genotypes, rounds, lambda text: say(f"{space.name}, {text}"))


def growth(
    space: SearchSpace, genotype: Genotype, shapes: Sequence[tuple[int, int]], published_size: int
) -> dict[str, list[dict[str, float]]]:
    """Returns seconds a network by method, for shapes (N, size); the published procedure up to `published_size` pixels."""
    found: dict[str, list[dict[str, float]]] = {"published": [], **{f"batched_{name}_float32": [] for name in backends()}}
    for n, size in shapes:
        images = torch.from_numpy(noise(n, size))
        candidates = {f"batched_{name}_float32": ours(space, images, "float32", name) for name in backends()}
        if size <= published_size:
            candidates["published"] = Method(cores(), partial(published, space, images))
        for name, method in candidates.items():
            found[name].append({"n": n, "size": size, "seconds": repeated(method, genotype)})
        say(f"one network at N = {n}, {size} x {size}")
    return found


def large_input(rounds: int) -> dict[str, dict[str, float]]:
    """Returns seconds and memory of a 224-pixel network, plain and scored: medians over processes, because they vary."""
    runs = [{which: apart("forward", which) for which in ("plain", "scored")} for _ in range(rounds)]
    return {which: {key: float(np.median([run[which][key] for run in runs])) for key in runs[0][which]} for which in runs[0]}


def machine() -> dict[str, Any]:
    """Returns the facts about the machine that the results depend on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
        model = next(iter(lines), model)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"processor": model, "cores": os.cpu_count(), "load_before": load, "published_threads": cores()}


def measured(quick: bool, rounds: int) -> dict[str, Any]:
    """Runs everything and returns the content of the JSON without the floors."""
    details: dict[str, Any] = {"machine": machine(), "quick": quick, "n": N, "size": SIZE, "rounds": {}, "exhaustive": {}}
    document: dict[str, Any] = {}
    images = torch.from_numpy(noise(N, SIZE))
    for name in SPACES:
        space = create_space(name)
        per_round = compared(space, images, networks(space, 8 if quick else 20), rounds)
        document[name] = {method: float(np.median(rates)) for method, rates in per_round.items()}
        details["rounds"][name] = per_round
        say(f"{name}, {'a part of the' if quick else 'the whole'} space")
        whole = apart("exhaustive", name, *(["--subtrees", QUICK_SUBTREES[name]] if quick else []))
        document[name]["exhaustive"] = whole["candidates_per_second"]
        details["exhaustive"][name] = whole
    details["ratios"] = {name: {"published": ratios(document[name], "published"), "plain": ratios(document[name], "plain")}
                         for name in SPACES}  # fmt: skip
    details["large_input"] = large_input(rounds)
    topology = create_space("nats_tss")
    cell = topology.at(CELL)  # type: ignore[attr-defined]
    sizes, ns, limit = (QUICK_SIZES, QUICK_NS, QUICK_PUBLISHED_SIZE) if quick else (SIZES, NS, PUBLISHED_SIZE)
    details["input_sizes"] = growth(topology, cell, [(N, size) for size in sizes], limit)
    details["ns"] = growth(topology, cell, [(n, SIZE) for n in ns], limit)
    return {**document, "details": details}


def ratios(rates: Rates, base: str) -> dict[str, float]:
    """Returns each method's rate over that of `base`."""
    return {name: rate / rates[base] for name, rate in rates.items()}


def floors(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the speed limits of this project: what, found, wanted, met.

    The published procedure counts at the better of its two numbers of threads: on a busy machine two threads only hinder each
    other, and no ratio may gain by that.
    """
    details = document["details"]
    topology, size = document["nats_tss"], document["nats_sss"]
    base, size_base = (max(rates["published"], rates["published_one_thread"]) for rates in (topology, size))
    known = max(topology["plain"], topology["plain_one_thread"])
    fastest = max((name for name in topology if "float32" in name), key=lambda name: topology[name])
    eager, two = topology["batched_eager_float32"], topology["batched_eager_float32_two_workers"]
    whole, gamma = details["exhaustive"]["nats_sss"], details["exhaustive"]["nats_sss"]["new_gamma"]
    plain, scored = (details["large_input"][which] for which in ("plain", "scored"))
    ten_thousand = gamma["seconds"] * 10_000 / gamma["candidates"]
    projected = "" if whole["networks"] == whole["of"] else f", projected from {whole['networks']:,}"
    scaled = "" if gamma["candidates"] == 10_000 else f", scaled from {gamma['candidates']:,}"
    rows: list[tuple[str, float, float, bool]] = [
        ("nats_tss: eager, one worker / published", eager / base, 20, True),
        ("nats_tss: eager, two workers / published", two / base, 20, True),
        (f"nats_tss: best float32 ({fastest}) / published", topology[fastest] / base, 45, True),
        ("nats_tss: eager, one worker / plain", eager / known, 2, True),
        ("nats_tss: eager, two workers / plain", two / known, 2, True),
        ("nats_sss: exhaustive / published, a network", size["exhaustive"] / size_base, 120, True),
        (f"nats_sss: seconds for all {whole['of']:,}{projected}", whole["whole_seconds"], 240, False),
        (f"another gamma over 10,000 cached candidates: seconds{scaled}", ten_thousand, 2, False),
        ("224 pixels: memory of scoring / plain forward", scored["forward_mib"] / plain["forward_mib"], 1.5, False),
        ("224 pixels: memory of the process / plain", scored["peak_mib"] / plain["peak_mib"], 1.5, False),
    ]
    return [
        {
            "what": what,
            "found": found,
            "wanted": f"{'>=' if least else '<'} {limit:g}",
            "met": found >= limit if least else found < limit,
        }
        for what, found, limit, least in rows
    ]


def tables(document: Mapping[str, Any]) -> str:
    """Returns the Markdown tables."""
    details = document["details"]
    rows = []
    for name in document["nats_tss"]:
        row: list[Any] = [name]
        for space in SPACES:
            row += [document[space][name], *(f"{details['ratios'][space][base][name]:.1f}x" for base in ("published", "plain"))]
        rows.append(row)
    columns = ["method", *(f"{space}{what}" for space in SPACES for what in (", candidates/s", ", / published", ", / plain"))]
    parts = [markdown(columns, rows)]
    columns = [
        "whole space", "networks", "seconds", "start-up, s", "all of it, s", "peak MiB, own + workers", "another gamma, µs each",
    ]  # fmt: skip
    rows = [
        [name, f"{one['networks']:,} of {one['of']:,}", one["seconds"], one["startup_seconds"], one["whole_seconds"],
         one["peak_mib"], one["new_gamma"]["microseconds_each"]]
        for name, one in details["exhaustive"].items()
    ]  # fmt: skip
    parts.append(markdown(columns, rows))
    columns = ["ResNet-18, 16 images of 224 x 224, one thread", "seconds", "MiB of the forward", "MiB of the process"]
    parts.append(markdown(columns, [[which, *map(float, one.values())] for which, one in large_rows(details)]))
    for what, axis in (("input_sizes", "size"), ("ns", "n")):
        known = {name: {row[axis]: 1e3 * row["seconds"] for row in found} for name, found in details[what].items()}
        places = list(known["batched_eager_float32"])
        rows = [[name, *(values.get(place, "") for place in places)] for name, values in known.items()]
        parts.append(markdown([f"ms a network at {axis}", *map(str, places)], rows))
    rows = [[floor["what"], floor["found"], floor["wanted"], "met" if floor["met"] else "not met"] for floor in details["floors"]]
    parts.append(markdown(["floor", "found", "wanted", ""], rows))
    load = details["machine"]["load_before"]
    parts.append(f"{details['machine']['processor']}, {details['machine']['cores']} cores; load before the run: {load}")
    return "\n\n".join(parts)


def large_rows(details: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Returns seconds and memory of the 224-pixel network in the order of the table's columns."""
    order = ("seconds", "forward_mib", "peak_mib")
    return [(which, {key: one[key] for key in order}) for which, one in details["large_input"].items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 networks, fewer rounds, sizes and subtrees: a first look")
    parser.add_argument("--json", action="store_true", help="print the JSON, not the tables")
    parser.add_argument("--rounds", type=int, help="default 3, or 2 with --quick")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where to write")
    given = parser.parse_args()
    rounds = given.rounds if given.rounds is not None else 2 if given.quick else 3
    if rounds < 1:
        parser.error(f"--rounds must be at least 1, but it is {rounds}")
    started = time.perf_counter()
    document = measured(given.quick, rounds)
    document["details"]["floors"] = floors(document)
    document["details"]["seconds"] = time.perf_counter() - started
    title = "Speed of scoring" + (" (quick: a first look)" if given.quick else "")
    with contextlib.redirect_stdout(sys.stderr) if given.json else contextlib.nullcontext():
        write(given.folder, "speed", title, tables(document), document)
    draw(document["details"], given.folder / "speed.png")
    say(f"written: {given.folder / 'speed.png'}")
    if given.json:
        print((given.folder / "speed.json").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
