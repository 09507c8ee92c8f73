"""The survey's Pareto searches under latency limits on nats_tss (its Figs. 18 and 19).

    python -m benchmarks latency_pareto --tss-scores TSS/scores.npz --benchdata FOLDER [--devices pixel3 1080ti_1 ...]

The survey is Li et al., TPAMI 2024, section 4.4. For each device and each limit of a sweep, every score selects its best network
of the whole space: among the networks within the limit, the one with the highest score (for a preset, the highest rank among
them); ties go to the quickest. The table compares this with the true front, which is the best accuracy within each limit, and
with the sizes that the survey found hard to beat: parameters and multiply-accumulates as the benchmark counts them.

Latencies were measured on 27 devices (HELP, HW-NAS-Bench). Limits are quantiles of a device's latencies, so that each step of the
sweep admits the same share of the space. Accuracies are read after all networks are selected.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.figures import search_plots
from benchmarks.shared.output import markdown, write
from benchmarks.shared.score_tables import Choice, Scores, accuracies_of, arguments, run, tables_of, worth
from rbflex_evo.spaces import ConfigError, DataError, near_name

from . import printed_searches as published

SPACE = "nats_tss"
FILE = "nb201_latency.npz"
# A picture each: a phone's CPU, a single board, an accelerator, an FPGA, a server's CPU, and what is nearest to the survey's GPU.
DRAWN = ("1080ti_1", "eyeriss", "fpga", "gold_6226", "pixel3", "raspi4")
LIMITS = 40
# Shares of the space within the limit that count as tight and as loose.
TIGHT, LOOSE = 0.25, 0.75
DATA_SETS = {"cifar100": "CIFAR-100", "cifar10": "CIFAR-10"}
SIZES = ("params", "flops")
# Points of accuracy within which a choice counts as close to the front.
CLOSE = 1.0
STRONG = ("rbflex", "rbflex_search", "rbflex_rank", "params")


@dataclass(frozen=True)
class Device:
    """A device's sweep.

    Attributes:
        latencies: ms, float64 [networks].
        limits: ms, ascending, float64 [L].
        chosen: by score int64 [L], the network taken within each limit; -1 where none within it has a score.
    """

    latencies: np.ndarray
    limits: np.ndarray
    chosen: Mapping[str, np.ndarray]


def latencies_of(folder: Path, wanted: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Returns milliseconds by device, float64 [networks]; every device for None.

    Raises:
        DataError: if the file is missing.
        ConfigError: if it has no such device.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies and latencies")
    with np.load(path, allow_pickle=False) as arrays:
        for name in wanted or ():
            if name not in arrays.files:
                raise ConfigError(f"there are no latencies of the device {name!r}{near_name(name, arrays.files)}")
        return {name: arrays[name].astype(np.float64) for name in wanted or arrays.files}


def limits_of(latencies: np.ndarray, count: int) -> np.ndarray:
    """Returns limits that admit equal steps of the space; the last one admits all of it."""
    return np.quantile(latencies, np.linspace(0, 1, count + 1)[1:], method="inverted_cdf")


def sweep(choice: Choice, members: np.ndarray, latencies: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Returns int64 [L], the network that the choice selects among all within each limit, or -1.

    Args:
        members: float64 [members, networks].
    """
    found = np.full(len(limits), -1)
    order = np.argsort(latencies, kind="stable")
    for i, limit in enumerate(limits):
        # Sorted by latency, so that ties go to the quickest network.
        inside = order[: np.searchsorted(latencies[order], limit, side="right")]
        values = worth(choice, members[:, inside])
        best = int(np.argmax(values))
        if values[best] > -np.inf:
            found[i] = inside[best]
    return found


def front(accuracies: np.ndarray, latencies: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Returns float64 [L], the best accuracy within each limit."""
    return np.array([accuracies[latencies <= limit].max() for limit in limits])


def staircase(accuracies: np.ndarray, latencies: np.ndarray) -> list[tuple[float, float]]:
    """Returns the true front: (ms, accuracy) of every network that is better than all equally quick ones, and its last latency."""
    order = np.lexsort((-accuracies, latencies))
    best = np.maximum.accumulate(accuracies[order])
    steps = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
    points = list(zip(latencies[order][steps].tolist(), best[steps].tolist(), strict=True))
    return [*points, (float(latencies.max()), float(best[-1]))]


def gaps_of(chosen: np.ndarray, accuracies: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Returns float64 [L], points below the best accuracy within each limit, NaN where no network was selected."""
    return np.where(chosen >= 0, best - accuracies[chosen], np.nan)


def searched(scores: Scores, latencies: Mapping[str, np.ndarray], count: int) -> dict[str, Device]:
    """Returns every device's sweep by every score, preset and size."""
    # Sizes are the benchmark's, of the raw cells; the table's own count leaves out unused operations.
    choices = [(Choice(name, (name,)), scores.costs[name][None]) for name in SIZES]
    choices += [(choice, scores.members(choice)) for choice in scores.choices if choice.label not in SIZES]
    devices = {}
    for name, found in tqdm(latencies.items(), "devices", disable=None):
        limits = limits_of(found, count)
        devices[name] = Device(found, limits, {choice.label: sweep(choice, of, found, limits) for choice, of in choices})
    return devices


def summary(devices: Mapping[str, Device], accuracies: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Returns by score and device the gaps [L]."""
    gaps: dict[str, dict[str, np.ndarray]] = {}
    for name, device in devices.items():
        best = front(accuracies, device.latencies, device.limits)
        for label, chosen in device.chosen.items():
            gaps.setdefault(label, {})[name] = gaps_of(chosen, accuracies, best)
    return gaps


def parts_of(gaps: Mapping[str, np.ndarray], count: int) -> tuple[float, float, float, float]:
    """Returns mean gaps over all limits, tight and loose ones, and the share of choices close to the front."""
    every = np.array(list(gaps.values()))
    shares = np.arange(1, count + 1) / count
    close = float(np.mean(every[np.isfinite(every)] <= CLOSE)) if np.isfinite(every).any() else float("nan")
    return _mean(every), _mean(every[:, shares <= TIGHT]), _mean(every[:, shares > LOOSE]), close


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def table(gaps: Mapping[str, Mapping[str, np.ndarray]], count: int, shown: Sequence[str]) -> str:
    """Returns the Markdown table, scores closest to the front first."""
    rows = []
    for label, found in sorted(gaps.items(), key=lambda item: parts_of(item[1], count)[0]):
        every, tight, loose, close = parts_of(found, count)
        means = [f"{_mean(found[name]):.2f}" for name in shown]
        rows.append([label, f"{every:.2f}", f"{tight:.2f}", f"{loose:.2f}", f"{100 * close:.0f} %", *means])
    columns = ["score", "all limits", f"tight, {TIGHT:.0%}", f"loose, {1 - LOOSE:.0%}", f"within {CLOSE:g} point", *shown]
    return markdown(columns, rows)


def claims(gaps: Mapping[str, Mapping[str, np.ndarray]], count: int) -> list[str]:
    """Returns the survey's claims about its figures, whether they hold here, and how the presets compare with sizes."""
    parts = {label: parts_of(found, count) for label, found in gaps.items()}
    singles = [label for label in parts if label in published.SURVEYED]
    by_tight, by_loose = (sorted(singles, key=lambda label: parts[label][i]) for i in (1, 2))
    said = published.SURVEY_LOOSE["Fig. 18"]
    here = [label for label in said if label in parts]
    leading = set(by_loose[: len(here)])
    agrees = "so it is here" if set(here) <= leading else "not so here"
    if set(by_loose) <= set(said):
        agrees = "the table has no other of its scores to tell"
    sentences = [
        f"- Under loose limits only {', '.join(said)} find networks near the front, the survey says of energy (Fig. 18); {agrees}: "
        f"by mean gap {', '.join(f'{label} {parts[label][2]:.2f}' for label in by_loose)}.",
        "- Under tight limits most scores are very close to the front, it says; here the gaps are "
        f"{', '.join(f'{label} {parts[label][1]:.2f}' for label in by_tight)}.",
    ]
    lacking = [label for label in published.SURVEYED if label not in parts]
    if lacking:
        sentences.append(f"- Of the survey's scores the table has no {', '.join(lacking)}.")
    size = min(SIZES, key=lambda label: parts[label][0])
    better = [label for label in parts if label not in SIZES and parts[label][0] < parts[size][0]]
    best = min(parts, key=lambda label: parts[label][0])
    sentences.append(
        f"- The better size is {size}, {parts[size][0]:.2f} points below the front on average; {len(better)} of "
        f"{len(parts) - len(SIZES)} scores and presets are closer{': ' + ', '.join(better) if better else ''}. "
        f"The closest of all is {best}, {parts[best][0]:.2f}."
    )
    return sentences


def draw(
    options: argparse.Namespace, name: str, device: Device, accuracies: np.ndarray, gaps: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    panels = {}
    for label in sorted(device.chosen, key=lambda label: _mean(gaps[label][name])):
        there = [network for network in device.chosen[label] if network >= 0]
        panels[label] = [(float(device.latencies[i]), float(accuracies[i])) for i in dict.fromkeys(there)]
    true = staircase(accuracies, device.latencies)
    search_plots.draw_fronts(
        (device.latencies, accuracies), true, panels, options.folder / f"latency_pareto_{name}.png",
        f"nats_tss on {name}: accuracy on CIFAR-100 of what each score takes within latency limits", "latency, ms", "accuracy, %",
    )  # fmt: skip


def command(options: argparse.Namespace) -> None:
    scores = tables_of(options)[SPACE]
    count = 6 if options.quick else LIMITS
    latencies = latencies_of(options.benchdata, options.devices or (DRAWN[:2] if options.quick else None))
    devices = searched(scores, latencies, count)
    known = accuracies_of(options.benchdata, SPACE)
    shown = [name for name in options.devices or DRAWN if name in devices]
    texts, content = [], {}
    for dataset, title in DATA_SETS.items():
        gaps = summary(devices, known[dataset, "test"])
        texts.append(f"## {title}: points below the best network within the limit\n\n{table(gaps, count, shown)}")
        content[dataset] = {label: {name: plain(values) for name, values in found.items()} for label, found in gaps.items()}
        if dataset == "cifar100":
            texts.append("\n".join(claims(gaps, count)))
            for name in shown:
                draw(options, name, devices[name], known[dataset, "test"], gaps)
            shares = np.arange(1, count + 1) / count
            curves = {label: (shares, np.nanmean(list(found.values()), axis=0)) for label, found in gaps.items()}
            heading = f"Searches of nats_tss within latency limits, CIFAR-100, mean of {len(devices)} devices"
            search_plots.draw_gaps(curves, options.folder / "latency_pareto.png", heading, [s for s in STRONG if s in curves])
    texts.append(NOTES)
    title = f"The survey's Figs. 18 and 19: nats_tss on {len(devices)} devices, {count} latency limits each, whole space searched"
    chosen = {name: {"limits_ms": device.limits.tolist(), "chosen": {k: v.tolist() for k, v in device.chosen.items()}}
              for name, device in devices.items()}  # fmt: skip
    write(options.folder, "latency_pareto", title, "\n\n".join(texts), {"devices": chosen, "gaps": content})


def plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


NOTES = """\
A gap is the test accuracy (200 epochs, mean over the benchmark's seeds) of the best network within a limit minus that of the
network that a score takes. Limits are quantiles of the device's latencies: tight ones let through the quickest quarter, loose ones
more than three quarters. The survey draws Fig. 18 of energy on a Jetson TX2 and Fig. 19 of ImageNet16-120 on a GTX 1080, without
numbers; there are no tables of either here, so these are the same searches under latency limits and on the CIFARs. On pixel3 and
raspi4 some two hundred cells that compute next to nothing have latencies under 0.5 ms."""


def main(options: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, SPACE)
    parser.add_argument("--devices", nargs="+", help="only these devices, each with a picture; all without it, six pictures")
    run(parser, command, options)


if __name__ == "__main__":
    main()
