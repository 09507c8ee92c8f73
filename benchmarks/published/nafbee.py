"""RBFleX-NAS's Tables IV and V: correlation of scores with the accuracies of NAFBee's activation functions.

    python -m benchmarks nafbee --table nafbee.csv --images foolbox_samples.npz [--network vgg19] [--seeds 5]      Table IV
    python -m benchmarks nafbee --table nafbee.csv --sentences sst2.tsv --network bert                             Table V
    python -m benchmarks nafbee --network vgg11 --images foolbox_samples.npz                                       Fig. 2

As in the paper: eleven networks, N = 16 inputs, HDA over M = 1 network. Every score is computed for several seeds of weights and
reported as mean and standard deviation. If the table is a csv with the scores that the paper prints, their correlations are
computed, too.

Fig. 2 ranks five activations of VGG-11. The paper does not name them, and their accuracies are not published, so this prints the
places that each score gives to all ten activations other than ReLU. Without a file of inputs, noise images or random words are
used. Statistics are kept in the user's cache, so that an interrupted run can be resumed. Accuracies are read after everything is
scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.stats import rankdata

from benchmarks.shared import samples
from benchmarks.shared.comparison import number
from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import Score
from rbflex_evo.fitness import WeightParameters, create_batch
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.passes.weights import Distribution
from rbflex_evo.spaces import ConfigError, DataError, SearchSpace, create_space
from rbflex_evo.spaces.families.nafbee.activations import ACTIVATIONS
from rbflex_evo.spaces.families.nafbee.table import NETWORKS
from rbflex_evo.spaces.tables.files import read_csv
from rbflex_evo.spaces.tables.table import create_table

from . import printed_scores as published

SPACES = {"vgg19": "nafbee_vgg19", "vgg11": "nafbee_vgg11", "bert": "nafbee_bert"}
TITLES = {"vgg19": "Table IV, NAFBee (VGG-19)", "bert": "Table V, NAFBee (BERT)", "vgg11": "Fig. 2, VGG-11"}
ROWS = [
    Score("rbflex", ("rbflex",), {"networks": 1}),
    # RBFleX's script for BERT detects gamma over all networks, of which ten differ.
    Score("rbflex, gamma of all", ("rbflex",), {"networks": 10}),
    Score("naswot", ("naswot",)),
    Score("te_nas", ("ntk_cond", "linear_regions")),
    *(Score(name, (name,)) for name in ("grad_norm", "snip", "synflow", "zico")),
    # Not in the tables.
    *(Score(name, (name,)) for name in ("fisher", "grasp", "jacob_cov", "logsynflow", "ntk_cond", "das")),
]
PRINTED_AS = {"rbflex, gamma of all": "rbflex"}
# Scores that take most of an hour for one network run only when named.
EXPENSIVE = {"bert": ("ntk_cond",)}
STATISTICS = ("Pearson", "Kendall")
NOTES = (
    "Mean and standard deviation over the seeds. Pearson leaves failed networks out, Kendall ranks them last. From its scores: the "
    "same figure from the scores that the paper prints. Place of the best: where the most accurate network ranks, mean.",
    "CELU with alpha = 1 is ELU: one network with one score. In the tables their accuracies differ by training, their scores by "
    "weights.",
    "All networks have the same parameters and multiply-accumulates, so neither is a baseline here.",
    "naswot's codes, output > 0, are the signs of what goes into the activation, whichever of the eleven it is.",
    "synflow is the logarithm of the flow: another Pearson's r than that of the flow itself, the same Kendall's tau.",
)
BERT_NOTE = (
    "Weights are drawn. RBFleX's script starts from a BERT fine-tuned on SST-2 and draws the matrices of its linear layers by "
    "xavier_uniform, but keeps its word vectors, biases and normalisations; `nafbee_bert` does so with `weights` and `pretrained: "
    "published`. As published that script stops at its first indexing, so the settings of Table V are the text's."
)


def space_of(options: argparse.Namespace) -> SearchSpace:
    """Returns the space at the benchmark's size, or a small one with `--quick`."""
    size: dict[str, Any] = {}
    if options.quick:
        size = {"channels": 4} if options.network != "bert" else {"layers": 2, "hidden": 16, "heads": 2, "length": 12}
    return create_space(SPACES[options.network], **size)


def inputs_of(options: argparse.Namespace, space: SearchSpace) -> Batch:
    """Returns the inputs that the options name, or noise or random words."""
    n = 4 if options.quick else 16
    if space.inputs == "words":
        if options.sentences is None:
            return create_batch("words", length=space.input_shape[0], vocabulary=space.vocabulary, n=n)
        return create_batch("sst2", path=str(options.sentences), length=space.input_shape[0], vocabulary=space.vocabulary, n=n)
    if options.images is None:
        return create_batch("noise", shape=list(space.input_shape), n=n)
    return samples.images_of(options.images.parent, "cifar10", n, file=options.images.name)


def rows_of(options: argparse.Namespace, space: SearchSpace) -> tuple[list[Score], list[str]]:
    """Returns the rows that are measured, and a sentence for each row that is left out."""
    rows, left_out = samples.served(samples.wanted(ROWS, options.scores), space)
    expensive = [row for row in rows if set(row.proxies) & set(EXPENSIVE.get(options.network, ())) and not options.scores]
    left_out += [f"- {row.label}, left out for its time; name it with --scores." for row in expensive]
    return [row for row in rows if row not in expensive], left_out


def measured(options: argparse.Namespace, space: SearchSpace, rows: Sequence[Score]) -> dict[str, np.ndarray]:
    """Returns each row's scores float64 [seeds, 11] in the benchmark's order, NaN where a network failed."""
    batch = inputs_of(options, space)
    genotypes = [space.parse(name) for name in ACTIVATIONS]
    found: dict[str, list[np.ndarray]] = {row.label: [] for row in rows}
    for seed in range(options.seeds):
        weights = WeightParameters(seed=seed, distribution=options.distribution)
        scores = samples.scored(space, genotypes, rows, batch, weights=weights, workers=options.workers, title=f"seed {seed}")
        for label, values in scores.items():
            found[label].append(values)
    return {label: np.array(values) for label, values in found.items()}


def accuracies_of(path: Path, space: SearchSpace) -> np.ndarray:
    """Returns the known accuracies float64 [11] in the benchmark's order."""
    known = create_table("nafbee", space, path=str(path)).accuracies()
    missing = [name for name in ACTIVATIONS if name not in known]
    if missing:
        raise DataError(f"{str(path)!r} has no accuracy of {', '.join(missing)}; expected all eleven activations")
    return np.array([known[name] for name in ACTIVATIONS])


def correlations(scores: np.ndarray, accuracies: np.ndarray) -> dict[str, np.ndarray]:
    """Returns each statistic of scores [seeds, networks] as float64 [seeds], NaN where it is undefined."""
    return {what: np.array([samples.correlation(what.lower(), values, accuracies) for values in scores]) for what in STATISTICS}


def place_of_the_best(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Returns the mean place (1 is the highest) of the most accurate network under scores [seeds, networks]."""
    return float(places(scores)[:, int(np.argmax(accuracies))].mean())


def places(scores: np.ndarray) -> np.ndarray:
    """Returns the places of scores [seeds, networks]: 1 is the highest, ties are averaged, failed networks come last."""
    return rankdata(-np.where(np.isnan(scores), -np.inf, scores), axis=1)


def spread(values: np.ndarray) -> str:
    """Returns mean and standard deviation over the seeds where they are defined."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "undefined"
    return f"{known.mean():.3f}" if len(known) < 2 else f"{known.mean():.3f} ± {known.std(ddof=1):.3f}"


def printed_scores(path: Path, network: str) -> dict[str, np.ndarray]:
    """Returns the scores that the paper prints, float64 [11] by row in the benchmark's order, if the file has them."""
    if path.suffix == ".json":
        return {}
    columns = read_csv(path)
    rows = [i for i, name in enumerate(columns["network"]) if name == NETWORKS[SPACES[network]][0]]
    order = sorted(rows, key=lambda i: ACTIVATIONS.index(columns["activation"][i]))
    return {row: columns[row][order].astype(np.float64) for row in published.RBFLEX_NAFBEE[network] if row in columns}


def table(
    scores: Mapping[str, np.ndarray],
    accuracies: np.ndarray,
    printed: Mapping[str, tuple[float, float]],
    theirs: Mapping[str, np.ndarray],
) -> tuple[str, dict[str, Any]]:
    """Returns the Markdown table and its data.

    Args:
        scores: float64 [seeds, 11] by row.
        printed: the paper's correlations by row.
        theirs: the paper's scores float64 [11] by row.
    """
    rows, content = [], {}
    for label, values in scores.items():
        row = PRINTED_AS.get(label, label)
        ours = correlations(values, accuracies)
        recomputed = correlations(theirs[row][None], accuracies) if row in theirs else {}
        line = [label, str(int(np.isnan(values).any(axis=0).sum()))]
        for i, what in enumerate(STATISTICS):
            again = float(recomputed[what][0]) if recomputed else None
            line += [spread(ours[what]), number(printed[row][i]) if row in printed else "", number(again)]
        best = place_of_the_best(values, accuracies)
        rows.append([*line, f"{best:.1f}"])
        content[label] = {
            "scores": [[None if np.isnan(score) else float(score) for score in seed] for seed in values],
            **{what.lower(): [None if np.isnan(value) else float(value) for value in ours[what]] for what in STATISTICS},
            "place_of_the_best": best,
        }
    titles = [title for what in STATISTICS for title in (what, "published", "from its scores")]
    return markdown(["score", "failed", *titles, "place of the best"], rows), content


def figure(scores: Mapping[str, np.ndarray]) -> tuple[str, dict[str, Any]]:
    """Returns Fig. 2's Markdown table, the mean places of the activations other than ReLU by each score, and the places."""
    others = [i for i, name in enumerate(ACTIVATIONS) if name != "ReLU"]
    found = {label: places(values[:, others]) for label, values in scores.items()}
    rows = [[label, *(f"{place:.1f}" for place in values.mean(axis=0))] for label, values in found.items()]
    return markdown(["score", *(ACTIVATIONS[i] for i in others)], rows), {label: v.tolist() for label, v in found.items()}


def command(options: argparse.Namespace) -> None:
    if options.table is None and options.network != "vgg11":
        raise ConfigError("--table names the file of known accuracies: nafbee.csv, or the benchmark's JSON")
    space = space_of(options)
    rows, left_out = rows_of(options, space)
    if options.table is not None:
        accuracies_of(options.table, space)  # fails before measuring if the file is wrong
    scores = measured(options, space, rows)
    title = f"RBFleX-NAS, {TITLES[options.network]}: {options.seeds} seeds of weights ({options.distribution}), " \
            f"{inputs_of(options, space).description}"  # fmt: skip
    if options.table is None:
        text, content = figure(scores)
        notes: Sequence[str] = NOTES[1:2]
    else:
        accuracies = accuracies_of(options.table, space)
        theirs = printed_scores(options.table, options.network)
        text, content = table(scores, accuracies, published.RBFLEX_NAFBEE[options.network], theirs)
        notes = NOTES if options.network == "vgg19" else (*NOTES, BERT_NOTE)
    text = "\n".join([text, "", *left_out, *(f"- {note}" for note in notes)])
    write(options.folder, f"nafbee_{options.network}", title, text, {"seeds": options.seeds, "rows": content})


def main(options: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="known accuracies: nafbee.csv, or the benchmark's JSON")
    parser.add_argument("--network", choices=list(SPACES), default="vgg19")
    parser.add_argument("--images", type=Path, help="npz with cifar10_images and cifar10_labels; noise without it")
    parser.add_argument("--sentences", type=Path, help="tsv of label and sentence; random words without it")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds of the weights")
    parser.add_argument("--distribution", choices=get_args(Distribution), default="pytorch", help="distribution of the weights")
    parser.add_argument("--scores", nargs="+", help="only the rows that these proxies make")
    parser.add_argument("--workers", type=int, help="worker processes; one a core by default")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where the table goes")
    parser.add_argument("--quick", action="store_true", help="smoke test with small networks")
    samples.run(parser, command, options)


if __name__ == "__main__":
    main()
