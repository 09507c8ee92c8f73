"""Searches of nats_tss for devices: within latency limits, and for fronts of accuracy and latency.

    python -m benchmarks device_searches --tss-scores TSS/scores.npz --benchdata FOLDER

(a) A search by `rbflex_robust` within the 25th, 50th and 75th percentile of the latencies of a device, 100 unique evaluations,
    beside the best network within the limit and the one with the most parameters within it.
(b) A search for high ranks in `rbflex_robust` and low latency, 100 unique evaluations: the hypervolume of the accuracy and the
    latency of its front as a share of that of the true front. Reference point: the median accuracy, the 95th percentile of latency.
(c) The survey's Figs. 18 and 19 for every device: what the preset and the number of parameters take within each limit.

Devices are those of HELP and HW-NAS-Bench, for (a) and (b) one for each chip at its smallest batch, the first ten in alphabetical
order. Among strategies, the one with the highest mean of what it searches for is judged: in (a) the worth among all networks within
the limit, in (b) the hypervolume of ranks and latency. Accuracies (CIFAR-10, 200 epochs, mean over the benchmark's seeds) are read
after that. Latency and accuracy of a network are those of the cell that is scored for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.figures.search_plots import draw_device_fronts
from benchmarks.published.latency_pareto import FILE, LIMITS, SPACE, latencies_of, limits_of, staircase, sweep
from benchmarks.shared.output import markdown, write
from benchmarks.shared.score_tables import Choice, accuracies_of, arguments, run, tables_of, worth
from benchmarks.shared.tabulated_search import Contender, Device, Networks, first_of_each_chip
from rbflex_evo.fitness.objective import pareto
from rbflex_evo.spaces import ConfigError

PRESET = "rbflex_robust"
DEVICES = 10
PERCENTILES = (25, 50, 75)
WORST_LATENCY = 95
EVALUATIONS, SEEDS = 100, 20
# Strategies with populations that fit into 100 evaluations.
WITHIN = (
    Contender("random", "random", {}),
    Contender("genetic (10)", "genetic", {"population": 10, "offspring": 5, "mutation": 0.1}),
    Contender("free_rea (15)", "free_rea", {"population": 15}),
    Contender("annealing", "annealing", {}),
)
FRONTS = (
    Contender("random", "random", {}),
    Contender("nsga2 (8)", "nsga2", {"population": 8}),
    Contender("nsga2 (8, hypervolume)", "nsga2", {"population": 8, "selection": "hypervolume"}),
    Contender("nsga3 (8)", "nsga3", {"population": 8}),
)


@dataclass(frozen=True)
class Limited:
    """Searches of one device within limits.

    Attributes:
        limits: ms, one for each percentile.
        found: By strategy the found networks, int64 [limits, seeds].
        worth: By strategy what they are worth among all within the limit, float64 [limits, seeds].
        first: The network that the preset puts first among all within each limit, int64 [limits].
        largest: The networks with the most parameters within each limit.
    """

    limits: list[float]
    found: Mapping[str, np.ndarray]
    worth: Mapping[str, np.ndarray]
    first: np.ndarray
    largest: list[np.ndarray]


def searched_within(
    device: Device,
    networks: Networks,
    latencies: np.ndarray,
    params: np.ndarray,
    contenders: Sequence[Contender],
    size: tuple[int, int],
) -> Limited:
    """Searches within each limit.

    Args:
        device: The device.
        networks: The networks.
        latencies: ms of every cell, float64 [cells].
        params: Parameters of each network, float64 [networks].
        contenders: The strategies.
        size: Evaluations and seeds.
    """
    limits = [float(np.percentile(latencies, share)) for share in PERCENTILES]
    own = latencies[networks.rows]
    found: dict[str, list[list[int]]] = {one.label: [] for one in contenders}
    values: dict[str, list[np.ndarray]] = {one.label: [] for one in contenders}
    first, largest = [], []
    for limit in limits:
        inside = np.flatnonzero(own <= limit)
        worths = np.full(len(own), -np.inf)
        worths[inside] = worth(networks.choice, networks.members[:, inside])
        first.append(int(np.argmax(worths)))
        largest.append(inside[params[inside] == params[inside].max()])
        for one in contenders:
            ends = [device.within(one, limit, seed, size[0]) for seed in range(size[1])]
            found[one.label].append(ends)
            values[one.label].append(worths[ends])
    return Limited(
        limits,
        {label: np.array(ends) for label, ends in found.items()},
        {label: np.array(each) for label, each in values.items()},
        np.array(first),
        largest,
    )


def volume(values: np.ndarray, latencies: np.ndarray, reference: tuple[float, float]) -> float:
    """Returns the hypervolume of (value, latency) points above a reference point."""
    return pareto.hypervolume(np.stack([values, -latencies], axis=1), np.array([reference[0], -reference[1]]))


def best_by(means: Mapping[str, float]) -> str:
    """Returns the strategy with the highest mean, random search aside."""
    return max((label for label in means if label != "random"), key=lambda label: means[label])


def gaps_of(one: Limited, accuracies: np.ndarray, latencies: np.ndarray, label: str) -> dict[str, float]:
    """Returns mean points below the best network within the limit, over limits and seeds.

    Args:
        one: Searches of the device.
        accuracies: Accuracy of each network, float64 [networks].
        latencies: ms of each network, float64 [networks].
        label: The strategy.
    """
    best = np.array([accuracies[latencies <= limit].max() for limit in one.limits])
    return {
        "search": float((best[:, None] - accuracies[one.found[label]]).mean()),
        "random": float((best[:, None] - accuracies[one.found["random"]]).mean()),
        "first": float((best - accuracies[one.first]).mean()),
        "params": float((best - [accuracies[tied].mean() for tied in one.largest]).mean()),
    }


def command(options: argparse.Namespace) -> None:
    scores = tables_of(options)[SPACE]
    choice: Choice | None = scores.choice(PRESET)
    if choice is None:
        raise ConfigError(f"{str(scores.path)!r} has no {', '.join(scores.missing[PRESET])} for {PRESET}; tabulate that preset")
    networks = Networks(scores, choice)
    latencies = latencies_of(options.benchdata, None)
    names = options.devices or first_of_each_chip(list(latencies), DEVICES)
    latencies_of(options.benchdata, names)
    evaluations, seeds = (30, 2) if options.quick else (options.evaluations, options.seeds)
    names = names[:2] if options.quick else names
    params = scores.costs["params"][networks.rows]
    devices = {name: Device(networks, name, options.benchdata / FILE) for name in names}
    limited = {
        name: searched_within(device, networks, latencies[name], params, WITHIN, (evaluations, seeds))
        for name, device in tqdm(devices.items(), "limits", disable=None)
    }
    fronts = {
        name: {one.label: [device.front(one, seed, evaluations) for seed in range(seeds)] for one in FRONTS}
        for name, device in tqdm(devices.items(), "fronts", disable=None)
    }
    own = {name: latencies[name][networks.rows] for name in latencies}
    ranks = worth(choice, networks.members)
    ranks = np.where(np.isfinite(ranks), ranks, 0.0)
    by_worth = {one.label: float(np.mean([limited[name].worth[one.label].mean() for name in names])) for one in WITHIN}
    searcher = best_by(by_worth)
    members = {name: {label: [one.members for one in found] for label, found in each.items()} for name, each in fronts.items()}
    by_ranks = {
        one.label: float(np.mean([_shares(members[name][one.label], ranks, own[name]) for name in names])) for one in FRONTS
    }
    fronter = best_by(by_ranks)
    # Everything is decided; accuracies are read from here on.
    accuracies = accuracies_of(options.benchdata, SPACE)["cifar10", "test"][networks.rows]
    gaps = {name: gaps_of(limited[name], accuracies, own[name], searcher) for name in names}
    shares = {
        name: {label: _shares(found, accuracies, own[name]) for label, found in each.items()} for name, each in members.items()
    }
    evaluated = {
        name: float(_shares([one.evaluated for one in fronts[name][fronter]], accuracies, own[name]).mean()) for name in names
    }
    whole = {name: _shares([_front_of(ranks, own[name])], accuracies, own[name])[0] for name in names}
    texts = [
        _limits_text(gaps, searcher, by_worth, evaluations, seeds),
        _fronts_text(shares, evaluated, whole, fronter, by_ranks, evaluations, seeds),
    ]
    firsts = {name: fronts[name][fronter][0].members for name in names}
    _draw(
        options.folder,
        latencies if not options.quick else {n: latencies[n] for n in names},
        networks,
        params,
        accuracies,
        own,
        firsts,
    )
    content = {
        "gaps": gaps,
        "worth": by_worth,
        "shares": {name: {label: values.tolist() for label, values in each.items()} for name, each in shares.items()},
        "ranks": by_ranks,
        "evaluated": evaluated,
        "whole": whole,
        "limits_ms": {name: limited[name].limits for name in names},
    }
    write(
        options.folder, "device_searches", "nats_tss on devices: searches within limits and for fronts", "\n\n".join(texts), content
    )


def _front_of(values: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    return np.flatnonzero(pareto.fronts(np.stack([values, -latencies], axis=1)) == 0)


def _shares(found: Sequence[np.ndarray], values: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    """Returns the hypervolume of each front as a share of that of the front of all networks, float64 [seeds]."""
    reference = float(np.median(values)), float(np.percentile(latencies, WORST_LATENCY))
    whole = volume(values, latencies, reference)
    return np.array([volume(values[one], latencies[one], reference) for one in found]) / whole


def _limits_text(
    gaps: Mapping[str, Mapping[str, float]], searcher: str, worths: Mapping[str, float], evaluations: int, seeds: int
) -> str:
    columns = [
        "device",
        f"search, {searcher}",
        "most parameters",
        "all networks, preset's first",
        "random search",
        "at least as good",
    ]
    rows = [
        [
            name,
            *(f"{one[key]:.2f}" for key in ("search", "params", "first", "random")),
            "yes" if one["search"] <= one["params"] else "no",
        ]
        for name, one in gaps.items()
    ]
    means = [f"{np.mean([one[key] for one in gaps.values()]):.2f}" for key in ("search", "params", "first", "random")]
    good = sum(one["search"] <= one["params"] for one in gaps.values())
    said = (
        f"Search by {PRESET} is at least as good as the most parameters within the limit on {good} of {len(gaps)} devices. "
        f"{evaluations} unique evaluations, {seeds} seeds, limits at the {', '.join(map(str, PERCENTILES))}th percentile. "
        f"The strategy is that of the highest mean worth: {_listed(worths)}."
    )
    table = markdown(columns, [*rows, ["mean", *means, f"{good} of {len(gaps)}"]])
    return f"## (a) Points below the best network within the limit\n\n{table}\n\n{said}"


def _fronts_text(
    shares: Mapping[str, Mapping[str, np.ndarray]],
    evaluated: Mapping[str, float],
    whole: Mapping[str, float],
    fronter: str,
    ranks: Mapping[str, float],
    evaluations: int,
    seeds: int,
) -> str:
    labels = list(next(iter(shares.values())))
    columns = ["device", *labels, "all that it evaluated", "preset's front of all networks"]
    values = {name: [*(each[label].mean() for label in labels), evaluated[name], whole[name]] for name, each in shares.items()}
    values["mean"] = list(np.mean(list(values.values()), axis=0))
    rows = [[name, *(f"{100 * value:.1f}" for value in each)] for name, each in values.items()]
    said = (
        f"Percent of the hypervolume of the true front, mean of {seeds} seeds, {evaluations} unique evaluations. The strategy that "
        f"is judged is that of the highest hypervolume of ranks and latency, {fronter}: {_listed(ranks)}. All that it evaluated "
        "would be its front if the accuracies of these networks were known."
    )
    return f"## (b) Hypervolume of accuracy and latency\n\n{markdown(columns, rows)}\n\n{said}"


def _listed(means: Mapping[str, float]) -> str:
    return ", ".join(f"{label} {value:.4f}" for label, value in means.items())


def _draw(
    folder: Path,
    latencies: Mapping[str, np.ndarray],
    networks: Networks,
    params: np.ndarray,
    accuracies: np.ndarray,
    own: Mapping[str, np.ndarray],
    fronts: Mapping[str, np.ndarray],
) -> None:
    size = Choice("params", ("params",))
    panels = {}
    for name in latencies:
        limits = limits_of(own[name], LIMITS)
        taken = {
            PRESET: sweep(networks.choice, networks.members, own[name], limits),
            "most parameters": sweep(size, params[None], own[name], limits),
            "front of one search": fronts.get(name, np.empty(0, dtype=np.int64)),
        }
        lines = {label: _points(own[name], accuracies, found) for label, found in taken.items()}
        panels[name] = ((own[name], accuracies), staircase(accuracies, own[name]), lines)
    title = "nats_tss: accuracy on CIFAR-10 of what is taken within latency limits, each device (survey's Figs. 18 and 19)"
    draw_device_fronts(panels, folder / "device_searches.png", title, "latency, ms", "accuracy, %")


def _points(latencies: np.ndarray, accuracies: np.ndarray, found: np.ndarray) -> list[tuple[float, float]]:
    return [(float(latencies[i]), float(accuracies[i])) for i in dict.fromkeys(found.tolist()) if i >= 0]


def main(options: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, SPACE)
    parser.add_argument("--devices", nargs="+", help="only these devices; one of each chip without it, ten at most")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="unique evaluations of a search")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each search")
    run(parser, command, options)


if __name__ == "__main__":
    main()
