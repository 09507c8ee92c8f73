"""Comparison of search by score with taking the largest network, on nats_sss under a limit on multiply-accumulates.

    python -m benchmarks size_baseline --sss-scores SSS/scores.npz --benchdata FOLDER

On the whole space the largest network alone is better than the results that searches publish. Here the limit is half of the
largest network's multiply-accumulates, and the baselines are the networks within the limit with the most multiply-accumulates and
with the most parameters. Every strategy searches with the engine's own constraint (a network that breaks it costs no evaluation)
by each score and preset, with 1,000 unique evaluations and the same seeds. Scores are read from a table. The strategy that
represents a score is selected by the scores it finds, not by accuracy. Test accuracies on CIFAR-10 are read after all runs are
finished.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from benchmarks.figures import search_plots
from benchmarks.shared import replays
from benchmarks.shared.comparison import pair, spread
from benchmarks.shared.output import markdown, write
from benchmarks.shared.score_tables import Choice, Scores, accuracies_of, arguments, run, tables_of, worth
from rbflex_evo.spaces import ConfigError

SPACE = "nats_sss"
SHARE = 0.5
# The preset for searching if the table has its members, else the preset with the fewest members.
ASKED = ("rbflex_search", "rbflex_synflow", "rbflex")
SEARCHED = ("rbflex", "naswot", "synflow", "rbflex_naswot", "rbflex_synflow", "rbflex_rank", "rbflex_search")
LEVEL = 0.01


@dataclass(frozen=True)
class Searched:
    """Results of the searches by one choice.

    Attributes:
        networks: by strategy int64 [seeds].
        values: by strategy float64 [seeds], what they are worth among all networks within the limit.
        exhaustive: the network of the highest worth within the limit.
    """

    choice: Choice
    networks: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    exhaustive: int

    @property
    def strategy(self) -> str:
        """Name of the strategy with the highest mean worth, without random search."""
        return max((name for name in self.values if name != "random"), key=lambda name: float(self.values[name].mean()))


@dataclass(frozen=True)
class Baseline:
    """The largest networks within the limit by one count; several if they tie."""

    name: str
    networks: np.ndarray


def baselines_of(costs: Mapping[str, np.ndarray], inside: np.ndarray) -> list[Baseline]:
    """Returns for each count the largest networks within the limit."""
    names = {"flops": "most multiply-accumulates", "params": "most parameters"}
    return [Baseline(title, np.flatnonzero(inside & (costs[name] == costs[name][inside].max()))) for name, title in names.items()]


def choices_of(scores: Scores, wanted: Sequence[str] | None) -> list[Choice]:
    """Returns the choices to search by: the given labels, or those of `SEARCHED` that the table can make.

    Raises:
        ConfigError: if the table cannot make one that was asked for, or any.
    """
    known = {choice.label: choice for choice in scores.choices}
    for label in wanted or ():
        if label not in known:
            raise ConfigError(f"{str(scores.path)!r} has no scores for {label!r}; it can make {', '.join(known)}")
    found = [known[label] for label in wanted or SEARCHED if label in known]
    if not found:
        raise ConfigError(f"{str(scores.path)!r} has none of {', '.join(SEARCHED)}; name what to search by with --by")
    return found


def search(options: argparse.Namespace, scores: Scores, choice: Choice, limit: float, size: tuple[int, int]) -> Searched:
    """Replays every strategy with the constraint; `size` is (evaluations, seeds)."""
    inside = scores.costs["flops"] <= limit
    members = scores.members(choice)
    values = np.full(len(inside), -np.inf)
    values[inside] = worth(choice, members[:, inside])
    strategies = ["random", "genetic"] if options.quick else replays.all_strategies()
    with tempfile.TemporaryDirectory() as folder:
        config = replays.config_of(
            scores, choice, strategies, name=choice.label, folder=Path(folder), evaluations=size[0], seeds=size[1],
            workers=options.workers, constraints={"flops": {"max": limit}},
        )  # fmt: skip
        runs = replays.replay(config)
        networks = {one.label: replays.finals(runs, scores, one.label) for one in runs.plan.contenders}
    return Searched(choice, networks, {name: values[found] for name, found in networks.items()}, int(np.argmax(values)))


def verdict(one: Searched, baseline: Baseline, accuracies: np.ndarray) -> str:
    """Returns whether the runs of the search's strategy are better than a size baseline, by Wilcoxon's test over the seeds."""
    largest = float(accuracies[baseline.networks].mean())
    differences = accuracies[one.networks[one.strategy]] - largest
    unequal = differences[differences != 0]
    p = float(wilcoxon(unequal).pvalue) if len(unequal) else 1.0
    word = "not told apart from" if p >= LEVEL else "better than" if differences.mean() > 0 else "worse than"
    counts = f"{differences.mean():+.2f} points, above in {int((differences > 0).sum())} of {len(differences)} runs, p = {p:.2g}"
    return f"{word} the network with the {baseline.name} within the limit, {largest:.2f} % ({counts})"


def sentence(one: Searched, baselines: Sequence[Baseline], accuracies: np.ndarray) -> str:
    """Returns a sentence that says for each count whether search or the largest network is better."""
    mean = accuracies[one.networks[one.strategy]].mean()
    verdicts = " and ".join(verdict(one, baseline, accuracies) for baseline in baselines)
    return f"Search by {one.choice.label} ({one.strategy}), {mean:.2f} % on average, is {verdicts}."


def asked(searches: Sequence[Searched]) -> Searched:
    """Returns the search that represents the comparison: the first available of `ASKED`, else the first of all."""
    by_label = {one.choice.label: one for one in searches}
    return next((by_label[name] for name in ASKED if name in by_label), searches[0])


def table(searches: Sequence[Searched], baselines: Sequence[Baseline], costs: np.ndarray, accuracies: np.ndarray) -> str:
    """Returns the Markdown table."""
    strategies = list(searches[0].networks)
    lines = []
    for one in searches:
        means = [pair(spread(accuracies[one.networks[name]])) for name in strategies]
        lines.append([one.choice.label, f"{accuracies[one.exhaustive]:.2f}", one.strategy, *means])
    for baseline in baselines:
        tied = "" if len(baseline.networks) == 1 else f" ({len(baseline.networks)} tie)"
        cost = f"{costs[baseline.networks[0]] / 1e6:.1f} M"
        lines.append(
            [f"{baseline.name}{tied}, {cost}", f"{accuracies[baseline.networks].mean():.2f}", *[""] * (len(strategies) + 1)]
        )
    return markdown(["search by", "its best network", "best searcher", *strategies], lines)


def document(searches: Sequence[Searched], baselines: Sequence[Baseline], accuracies: np.ndarray) -> dict[str, Any]:
    return {
        "searches": {
            one.choice.label: {
                "strategy": one.strategy,
                "exhaustive": {"network": one.exhaustive, "accuracy": float(accuracies[one.exhaustive])},
                "runs": {
                    name: {"networks": found.tolist(), "worth": one.values[name].tolist(), "accuracies": accuracies[found].tolist()}
                    for name, found in one.networks.items()
                },
            }
            for one in searches
        },
        "baselines": {
            one.name: {"networks": one.networks.tolist(), "accuracies": accuracies[one.networks].tolist()} for one in baselines
        },
    }


def command(options: argparse.Namespace) -> None:
    scores = tables_of(options)[SPACE]
    size = (40, 2) if options.quick else (options.evaluations, options.seeds)
    flops = scores.costs["flops"]
    limit = SHARE * float(flops.max())
    inside = flops <= limit
    choices = choices_of(scores, options.by)[: 2 if options.quick else None]
    searches = [search(options, scores, choice, limit, size) for choice in choices]
    baselines = baselines_of(scores.costs, inside)
    # All runs are finished; accuracies are read from here on.
    accuracies = accuracies_of(options.benchdata, SPACE)["cifar10", "test"]
    answer = sentence(asked(searches), baselines, accuracies)
    others = [f"- {sentence(one, baselines, accuracies)}" for one in searches if one is not asked(searches)]
    share = f"{SHARE:.0%} of the largest network's"
    title = f"nats_sss within {limit / 1e6:.1f} million multiply-accumulates, {share}: test accuracy on CIFAR-10"
    known = (
        f"{int(inside.sum()):,} of {len(inside):,} networks are within the limit, with accuracies of "
        f"{accuracies[inside].mean():.2f} on average and {accuracies[inside].max():.2f} at best. {size[0]:,} unique evaluations, "
        f'{size[1]} seeds; "its best network" is what the score puts first among all within the limit; the best searcher is the '
        "strategy that finds the highest scores."
    )
    texts = [answer, table(searches, baselines, flops, accuracies), known, "\n".join(others)]
    drawn = {f"{one.choice.label} ({one.strategy})": points(one, flops, accuracies) for one in picked(searches)}
    marks = {one.name: (float(flops[one.networks[0]]) / 1e6, float(accuracies[one.networks].mean())) for one in baselines}
    search_plots.draw_size_baseline(
        (flops / 1e6, accuracies),
        limit / 1e6,
        drawn,
        marks,
        options.folder / "size_baseline.png",
        "Searching or taking the largest",
    )
    write(options.folder, "size_baseline", title, "\n\n".join(texts),
          {"limit": limit, "answer": answer, **document(searches, baselines, accuracies)})  # fmt: skip


def picked(searches: Sequence[Searched]) -> list[Searched]:
    """Returns the searches in the figure: those by RBFleX and its presets, else the first ones."""
    ours = [one for one in searches if one.choice.label.startswith("rbflex")]
    return (ours or list(searches))[:5]


def points(one: Searched, flops: np.ndarray, accuracies: np.ndarray) -> list[tuple[float, float]]:
    return [(float(flops[i]) / 1e6, float(accuracies[i])) for i in one.networks[one.strategy]]


def main(options: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, SPACE)
    parser.add_argument("--evaluations", type=int, default=1000, help="unique evaluations of a search")
    parser.add_argument("--seeds", type=int, default=10, help="runs of each strategy by each score")
    parser.add_argument("--by", nargs="+", help="scores and presets; RBFleX, NASWOT, synaptic flow and RBFleX's presets without it")
    run(parser, command, options)


if __name__ == "__main__":
    main()
