"""The survey's Figs. 6 and 8 and Table IV: correlation of scores over a space and among its best 5 %.

    python -m benchmarks survey_top --benchdata FOLDER [--networks 300] [--own-passes 100]

Each row of the figure joins Kendall's tau over a whole space (dot) with tau among the networks whose accuracy is in the top 5 %
(diamond): the longer the line to the left, the less a score helps among the best networks. Spaces are nats_tss (Fig. 6) and
nats_sss (Fig. 8), on CIFAR-100. The survey ranks whole spaces and averages five seeds. This scores a random sample of the space
and another of its top 5 %, each with a bootstrap interval. The second sample is selected by accuracy, as in the survey; no score
reads accuracies.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.figures import small_multiples
from benchmarks.shared import samples
from benchmarks.shared.comparison import interval, number
from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import Score
from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.correlation import ordering

from . import printed_scores as published

DATASET, TOP = "cifar100", 0.05
FIGURES = {"nats_tss": "Fig. 6", "nats_sss": "Fig. 8"}
SURVEYED = ("grad_norm", "snip", "grasp", "gradsign", "fisher", "jacob_cov", "synflow", "zen", "params", "flops")
ROWS = [*(Score(name, (name,)) for name in (*SURVEYED, "naswot")), Score("rbflex", ("rbflex",), {"networks": 10})]


@dataclass(frozen=True)
class Row:
    """One score on one space: correlations over all networks and among the top 5 %, and the accuracy of its first network."""

    score: str
    kendall: Statistic
    kendall_top: Statistic
    spearman: Statistic
    spearman_top: Statistic
    first: float

    @property
    def change(self) -> float | None:
        """How much larger Kendall's tau is among the top 5 %."""
        return None if self.kendall.value is None or self.kendall_top.value is None else self.kendall_top.value - self.kendall.value


def top_sample(accuracies: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Returns indices of at most `count` random networks whose accuracy is in the top 5 % of the whole space; nested."""
    top = np.flatnonzero(accuracies >= np.quantile(accuracies, 1 - TOP))
    return np.random.default_rng(seed).permutation(top)[:count]


def judge(score: str, everywhere: tuple[np.ndarray, np.ndarray], top: tuple[np.ndarray, np.ndarray], resamples: int) -> Row:
    """Returns a row from (scores, accuracies) of the random sample and of the top's; there may be fewer scores than accuracies.

    The accuracy of the first network is the mean over all draws of half the sample.
    """
    found, best = (samples.judged(*pair, resamples) for pair in (everywhere, top))
    values, accuracies = everywhere
    half, ones = max(1, len(values) // 2), np.ones((1, len(values)))
    first = ordering.first_of(ordering.ranked(values), accuracies[: len(values)], [half], ones)[half][0]
    return Row(score, found["kendall"], best["kendall"], found["spearman"], best["spearman"], float(first[0]))


def claims(name: str, rows: Sequence[Row]) -> list[str]:
    """Returns the survey's claims about this space's figure, and whether they hold here."""
    surveyed = [row for row in rows if row.score in SURVEYED]
    ordered = [row.score for row in sorted(surveyed, key=lambda row: -(row.kendall.value or 0.0))]
    kept = [row.score for row in surveyed if row.change is not None and row.change >= 0]
    says = published.SURVEY_SAYS[name]
    # "Generally works best": first, or together with one other score in front.
    leads = set(says["best"]) <= set(ordered[: len(says["best"]) + 1])
    drops = set(kept) == set(says["kept"]) if says["kept"] else 2 * len(kept) < len(surveyed)
    whose = f"all but {', '.join(says['kept'])} drop" if says["kept"] else "most drop"
    return [
        f"- {FIGURES[name]}: {', '.join(says['best'])} generally work best, it says; {yes_or_no(leads)}. "
        f"By KT: {', '.join(ordered)}.",
        f"- {FIGURES[name]}: {whose} among the top 5 %, it says; {yes_or_no(drops)}. Not dropping: {', '.join(kept) or 'none'}.",
    ]


def yes_or_no(holds: bool) -> str:
    return "so it is here" if holds else "not so here"


def table(name: str, rows: Sequence[Row], best: float) -> str:
    """Returns one space's Markdown table, and the sentences below it."""
    printed = published.SURVEY_TABLE_4[name]
    lines = []
    for row in rows:
        value = printed.get(row.score)
        estimates = [interval(one) for one in (row.kendall, row.kendall_top)]
        spearmans = [number(one.value) for one in (row.spearman, row.spearman_top)]
        difference = number(None if value is None else row.first - value, "+.2f")
        lines.append([row.score, *estimates, number(row.change, "+.3f"), *spearmans, number(row.first, ".2f"), number(value, ".2f"),
                      difference])  # fmt: skip
    columns = ["score", "KT, all", "KT, top 5 %", "change", "SPR, all", "SPR, top 5 %", "first", "Table IV", "difference"]
    texts = [markdown(columns, lines), "", *claims(name, rows)]
    texts.append(
        f"- Table IV: the best network of the table is {best:.2f} here, {printed['best']:.2f} published. A score's first is the "
        "accuracy of what it puts first, here of half the sample (mean over all draws), in the paper of the whole space; where a "
        "score's largest values belong to poor networks, the paper's is the lower one, because the whole space holds its extremes."
    )
    return "\n".join(texts)


def scored(
    options: argparse.Namespace, name: str, rows: Sequence[Score], indices: np.ndarray, size: samples.Size, title: str
) -> Mapping[str, np.ndarray]:
    space, batch = samples.space_of(name, DATASET), samples.images_of(options.benchdata, DATASET, size.images)
    return samples.measure(space, indices, rows, batch, own_passes=size.own_passes, workers=options.workers, title=title)


def command(options: argparse.Namespace) -> None:
    size = samples.size_of(options)
    chosen = samples.wanted(ROWS, options.scores)
    texts, content, panels = [], {}, {}
    for name, figure in FIGURES.items():
        known = samples.accuracies_of(options.benchdata, name, DATASET)
        everywhere, top = samples.sample(name, size.networks), top_sample(known, size.networks)
        first = scored(options, name, chosen, everywhere, size, f"{name}, all")
        second = scored(options, name, chosen, top, size, f"{name}, top")
        rows = [
            judge(row.label, (first[row.label], known[everywhere]), (second[row.label], known[top]), size.resamples)
            for row in chosen
        ]
        quantity = samples.TABLES[name, DATASET][1].replace("_", " ")
        texts.append(f"## {figure}, {name}, {quantity}\n\n{table(name, rows, known.max())}")
        content[name] = [asdict(row) for row in rows]
        taus = [(row.score, row.kendall.value, row.kendall_top.value) for row in rows]
        panels[f"{name}, CIFAR-100"] = [(score, tau, top_tau) for score, tau, top_tau in taus if tau is not None]
    title = f"The survey's Figs. 6 and 8: {size.networks} random networks and as many of the top 5 % (seed 0), {size.own_passes} " \
            f"for scores with passes of their own, N = {size.images}"  # fmt: skip
    path = options.folder / "survey_top.png"
    small_multiples.draw_dumbbells(panels, ("all networks", "top 5 %"), path, "The survey's Figs. 6 and 8", "Kendall's tau")
    texts += ["Brackets: 95 % interval of resampled networks. Failed networks rank last.", published.NOT_REBUILT["survey"]]
    write(options.folder, "survey_top", title, "\n\n".join(texts), {"sample": size.document(), "spaces": content})


def main(options: Sequence[str] | None = None) -> None:
    parser = samples.arguments(__doc__)
    samples.add_sizes(parser, networks=300, own_passes=100)
    samples.run(parser, command, options)


if __name__ == "__main__":
    main()
