"""Measurement of a GPU within some minutes: agreement with the CPU, candidates/s, memory, scores, workers.

    python -m benchmarks gpu --minutes 6 [--device cuda] [--folder benchmarks/results]
    python -m benchmarks gpu --minutes 1 --device cpu        the same code on a machine without a GPU

Every part of `PARTS` gets a share of the time that is left; time that it does not use goes to later parts. A part begins with what
matters most, and leaves out what would not be finished in its time, as predicted by what it has measured. gpu.json and gpu.md are
written after each part, so that a kill loses at most one, and name everything that was left out. On a CPU the first part compares a
CPU with itself: this shows that the command works, and nothing of a GPU.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.shared.output import markdown, save
from rbflex_evo.fitness.passes.device import find_device
from rbflex_evo.spaces import RbflexEvoError

from .gpu_parts import Clock, Part, agreement, calls, published_procedure, scores, stages, tests, workers
from .speed import machine


class Share(NamedTuple):
    """A part of the measurement.

    Attributes:
        title: Heading of its table.
        weight: Weight of its share of the time.
        run: Measures until the time is over.
    """

    title: str
    weight: float
    run: Callable[[torch.device, Clock], Part]


PARTS = {
    "agreement": Share("Agreement with the CPU, N = 16, small forms of large spaces, all candidates in one call", 3, agreement),
    "calls": Share(
        "Candidates/s and peak memory of rbflex by candidates a call, N = 16; rows of equal networks are of the same", 4, calls
    ),
    "published": Share("The published procedure on the same device, and ours on the same networks", 2, published_procedure),
    "scores": Share("Scores and presets on nats_tss, N = 16, in one call", 3, scores),
    "workers": Share("Several worker processes on the device", 2, workers),
    "stages": Share("Stages of networks that are chains, small forms of large spaces", 0.5, stages),
    "tests": Share("Tests that are marked gpu", 1.5, tests),
}


def facts(device: torch.device) -> dict[str, Any]:
    """Returns the card, the versions and the date."""
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "device": str(device), "machine": machine()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "card": properties.name,
            "cards": torch.cuda.device_count(),
            "memory_gib": properties.total_memory / 2**30,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def measured(device: torch.device, seconds: float, folder: Path, said: Callable[[str], None]) -> dict[str, Any]:
    """Runs the parts within so many seconds and returns the content of the JSON, which is written after each part.

    Args:
        device: The device.
        seconds: Time of all parts.
        folder: Folder of the results.
        said: Called with a line of text after each part.
    """
    document: dict[str, Any] = {**facts(device), "seconds": seconds, "parts": {}}
    whole = Clock(seconds)
    waiting = sum(share.weight for share in PARTS.values())
    for name, share in PARTS.items():
        started = time.monotonic()
        clock = Clock(whole.left() * share.weight / waiting)
        waiting -= share.weight
        part = share.run(device, clock)
        taken = time.monotonic() - started
        document["parts"][name] = {"seconds": taken, "rows": part.rows, "left_out": part.left_out}
        save(folder, "gpu", title(document), tables(document), document)
        said(f"{name}: {taken:.0f} s, {len(part.rows)} rows, {len(part.left_out)} left out")
    return document


def title(document: Mapping[str, Any]) -> str:
    """Returns the heading with the name of the card, or of the processor, and the date."""
    return f"{document.get('card', document['machine']['processor'])}, {document['date']}"


def tables(document: Mapping[str, Any]) -> str:
    """Returns the Markdown tables of the parts that are finished."""
    text = []
    for name, found in document["parts"].items():
        rows = found["rows"]
        text.append(f"## {PARTS[name].title}")
        if rows:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            text.append(markdown(columns, [[row.get(column, "") for column in columns] for row in rows]))
        if found["left_out"]:
            text.append("Left out: " + "; ".join(found["left_out"]) + ".")
    known = {key: value for key, value in document.items() if key != "parts"}
    return "\n\n".join([*text, ", ".join(f"{key} {value}" for key, value in known.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0, help="time of all parts")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the command")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    if not options.minutes > 0:
        parser.error(f"--minutes must be more than 0, but it is {options.minutes:g}")
    try:
        device = find_device(options.device)
    except RbflexEvoError as error:
        parser.error(f"{error}; --device cpu tries the command without a GPU")
    torch.set_num_threads(1)
    document = measured(device, 60 * options.minutes, options.folder, lambda text: print(text, flush=True))
    print(f"\n{tables(document)}\n\nwritten to {options.folder / 'gpu'}.md and .json")


if __name__ == "__main__":
    main()
