"""Forms of layered RBFleX: which of them holds on spaces of known accuracies, and on a space that is left out.

    python -m benchmarks layered_forms --benchdata FOLDER [--networks 150] [--sample 0] [--seeds 0] [--images 16]
                                       [--settings nats_tss darts] [--workers 2]

Settings, sample, inputs and cache are those of `python -m benchmarks transfer`, so that statistics that it has measured are read,
not measured. The criterion is that of `choose_preset`, mean and worst family together, of each form on all families, and of
the form that is chosen without a family on that one. Scores of all forms are kept in NAME.npz, a file as transfer.npz.

Differences from the default are given with half their 95 % interval over resampled networks, the same for all forms.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata
from tqdm import tqdm

from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import run
from rbflex_evo.engine.agreement.kendall import resample

from .choose_preset import left_out
from .forms import DEFAULT, NAMES, layers_of, scores_of
from .judged import complete, families, finished
from .measuring import Chunk, Plan, Scored, Session, chunks, measured
from .protocol import Bench, Candidate, criterion, leave_one_out
from .settings import SETTINGS
from .stored import Transfer
from .transfer import Matrix, settings_of

STATISTICS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "layered": ("layered", {}),
    # What rbflex keeps of a network does not depend on gamma, and this one needs no calibration.
    "rbflex": ("rbflex", {"gamma": "flat"}),
}


def measure(options: argparse.Namespace) -> Transfer:
    """Returns the scores of all forms; statistics that are not in the cache are measured."""
    names = options.settings or [name for name, setting in SETTINGS.items() if setting.choosing]
    matrix = Matrix(options, {name: (name, {}) for name in NAMES}, settings_of(names))
    plan = Plan(options.benchdata, STATISTICS, options.quick, images=options.images, noise=options.noise)
    total = len(options.seeds) * sum(map(len, matrix.samples.values()))
    with (
        tqdm(total=total, desc="networks", disable=None) as shown,
        closing(measured(plan, chunks(matrix.samples, options.seeds), options.workers)) as arriving,
    ):
        for chunk, _ in arriving:
            shown.update(len(chunk.genotypes))
    with closing(Session(plan)) as session:
        for chunk in chunks(matrix.samples, options.seeds, max(map(len, matrix.samples.values()))):
            matrix.take(chunk, _scored(session, chunk))
    return matrix.write(options.folder / f"{options.name}.npz")


def _scored(session: Session, chunk: Chunk) -> Scored:
    """Returns the scores of all forms of the whole sample of a setting, from statistics in the cache."""
    found = zip(*(session.statistics(chunk, label) for label in STATISTICS), strict=True)
    networks = [None if layered is None or rbflex is None else layers_of(layered, rbflex) for layered, rbflex in found]
    columns = scores_of(networks)
    values = [{name: float(column[i]) for name, column in columns.items()} for i in range(len(networks))]
    return Scored(values, [{} if one else {"every form": "failed"} for one in networks], [0.0] * len(networks))


def weighted_taus(scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b [resamples] of networks that count `weights` times, 0 where it is undefined.

    Args:
        scores: float64 [networks], NaN where a network failed: it ranks last.
        accuracies: float64 [networks].
        weights: float64 [resamples, networks].
    """
    ranks = rankdata(np.where(np.isfinite(scores), scores, -np.inf))
    by_score, by_accuracy = (np.sign(each[:, None] - each) for each in (ranks, accuracies))
    agreed, untied, known = (
        ((weights @ pairs) * weights).sum(axis=1) for pairs in (by_score * by_accuracy, abs(by_score), abs(by_accuracy))
    )
    product = np.sqrt(untied * known)
    found: np.ndarray = np.divide(agreed, product, out=np.zeros_like(product), where=product > 0)
    return found


@dataclass(frozen=True)
class Drawn:
    """Figures of all measured networks, and of resamples of them.

    Attributes:
        tasks: Tau of every (setting, task), float64 [1 + resamples, forms], the first one of all networks.
        families: Figures of families, float64 [1 + resamples, forms, families].
    """

    tasks: Mapping[tuple[str, str], np.ndarray]
    families: np.ndarray


def drawn(transfer: Transfer, groups: Mapping[str, Sequence[str]], resamples: int) -> Drawn:
    """Returns the figures of all forms, over the same resamples of each setting's networks."""
    rng = np.random.default_rng(0)
    tasks: dict[tuple[str, str], np.ndarray] = {}
    of_families = []
    for settings in groups.values():
        of_settings = []
        for name in settings:
            one = transfer.settings[name]
            kept = complete(one)
            count = int(kept.sum())
            weights = np.concatenate([np.ones((1, count)), resample(count, resamples, rng)])
            seeds = one.scores[finished(one)][:, kept]
            for task, accuracies in zip(one.tasks.tolist(), one.accuracies[:, kept], strict=True):
                of_seeds = [[weighted_taus(scores, accuracies, weights) for scores in values.T] for values in seeds]
                tasks[name, task] = np.mean(of_seeds, axis=0).T
            of_settings.append(np.mean([tasks[name, task] for task in one.tasks.tolist()], axis=0))
        of_families.append(np.mean(of_settings, axis=0))
    return Drawn(tasks, np.moveaxis(np.array(of_families), 0, -1))


def half_interval(values: np.ndarray) -> str:
    """Returns half of the 95 % interval of resampled values, of which the first is no resample."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{(high - low) / 2:.3f}"


def report(transfer: Transfer, options: argparse.Namespace) -> None:
    """Writes the tables of forms, the best first, of families left out, and of the default on every task."""
    groups = families(transfer)
    found = drawn(transfer, groups, options.resamples)
    figures, default = found.families[0], transfer.scores.index(DEFAULT)
    # Of all networks and of each resample.
    gains = criterion(found.families) - criterion(found.families[:, [default]])
    rows = [
        [
            transfer.scores[i],
            *(f"{value:.3f}" for value in (figures[i].mean(), figures[i].min())),
            f"{gains[0, i]:+.3f}",
            half_interval(gains[:, i]),
            *(f"{value:.3f}" for value in figures[i]),
        ]
        for i in np.argsort(-gains[0], kind="stable")
    ]
    parts = [markdown(["form", "mean", "worst", "mean + worst - default", "+-", *groups], rows)]
    if len(groups) > 2:
        bench = Bench(transfer, groups, transfer.scores, options.networks)
        parts.append(left_out({"form": leave_one_out(bench, [Candidate((name,)) for name in transfer.scores])}))
    tasks = [
        [name, task, int(complete(transfer.settings[name]).sum()), f"{values[0, default]:.3f}", half_interval(values[:, default])]
        for (name, task), values in found.tasks.items()
    ]
    parts.append(markdown(["setting", "task", "networks", DEFAULT, "+-"], tasks))
    inputs = f"{transfer.document['inputs']} {'noise inputs' if transfer.document['noise'] else 'images'}"
    title = (
        f"Forms of layered RBFleX, Kendall, up to {options.networks} networks of each setting, sample {options.sample}, "
        f"{inputs}, weight seeds {', '.join(map(str, transfer.seeds))}"
    )
    content = {"families": list(groups), "figures": dict(zip(transfer.scores, figures.tolist(), strict=True))}
    write(options.folder, options.name, title, "\n\n".join(parts), {**content, "conditions": transfer.document})


def command(options: argparse.Namespace) -> None:
    report(measure(options), options)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, required=True, help="folder of known accuracies and images")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where scores and tables go")
    parser.add_argument("--name", default="layered_forms", help="name of the files that are written")
    parser.add_argument("--settings", nargs="+", help="only these; every one that chooses presets by default")
    parser.add_argument("--networks", type=int, default=150, help="networks of each setting")
    parser.add_argument("--sample", type=int, default=0, help="seed of the sample of networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the weights")
    parser.add_argument("--images", type=int, choices=(16, 32, 64), default=16, help="number of inputs")
    parser.add_argument("--noise", action="store_true", help="N(0, 1) noise in place of images")
    parser.add_argument("--resamples", type=int, default=500, help="resamples of the intervals")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="smoke test with thin networks and four images")
    run(parser, command, arguments)


if __name__ == "__main__":
    main()
