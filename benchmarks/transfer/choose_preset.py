"""Chooses a preset on all families but one and judges it on that one, for every family in turn; then on all.

    python -m benchmarks choose_preset --folder FOLDER [--members 5] [--weights 1] [--worst 1] [--no-gradients] [--candidates a b c]

Reads transfer.npz of `python -m benchmarks transfer`, measures nothing. Beside each choice are the best single score and the best
count under the same protocol. The criterion and the figures are those of `protocol` and `judged`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import run
from benchmarks.shared.score_tables import Choice
from rbflex_evo.fitness import create_proxy
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.errors import listed, near_name

from . import stored
from .judged import Figures, choices, families, figures, is_count
from .protocol import Bench, Candidate, Held, choose, every_set, leave_one_out

# Scores of the default choice, as far as the file has them.
CANDIDATES = (
    "rbflex", "layered", "naswot", "swap", "az_expressivity", "az_progressivity", "az_trainability", "synflow", "zico", "zen",
    "nsc", "near", "intrain", "l_swag", "dextr", "params", "flops", "depth", "n_conv", "log_channels", "depth_width",
)  # fmt: skip
# Takes a backward although it reads no data.
FLOWS = ("synflow", "logsynflow")
# Sets of five of more scores than this take hours.
LARGEST = 24


def candidates_of(transfer: stored.Transfer, names: Sequence[str] | None, gradients: bool) -> list[str]:
    """Returns the scores that a preset may have as members.

    Raises:
        ConfigError: If a name is not in the file, or there are none or too many.
    """
    for name in names or ():
        if name not in transfer.scores:
            raise ConfigError(f"no score {name!r} in the file{near_name(name, transfer.scores)}; it has {listed(transfer.scores)}")
    found = list(dict.fromkeys(names)) if names else [name for name in transfer.scores if name in CANDIDATES]
    if not gradients:
        found = [label for label in found if not needs_gradient(transfer, label)]
    if not 1 <= len(found) <= LARGEST:
        raise ConfigError(f"{len(found)} candidates; name 1 .. {LARGEST} of {listed(transfer.scores)} with --candidates")
    return found


def needs_gradient(transfer: stored.Transfer, label: str) -> bool:
    """Returns True if a score takes a backward pass."""
    name, parameters = transfer.document["scores"][label]
    return name in FLOWS or create_proxy(name, **parameters).cost == "backward"


def as_choice(candidate: Candidate) -> Choice:
    """Returns the candidate as `judged` takes it."""
    if len(candidate.members) == 1:
        return Choice(candidate.label, candidate.members)
    return Choice(candidate.label, candidate.members, candidate.rule, tuple(map(float, candidate.weights)))


def command(options: argparse.Namespace) -> None:
    transfer = stored.read(options.folder / "transfer.npz")
    labels = candidates_of(transfer, options.candidates, not options.no_gradients)
    groups = families(transfer)
    if len(groups) < 3:
        raise ConfigError(f"leaving one family out needs at least 3 of them, but the file has {len(groups)}")
    # The best single score and count are those of all that were measured, whichever may be members.
    bench = Bench(transfer, groups, transfer.scores, options.networks)
    sets = every_set(labels, options.members, options.rules)
    print(f"{len(sets):,} sets of up to {options.members} of {', '.join(labels)}", flush=True)
    protocol = {"worst": options.worst, "weights": options.weights, "refined": options.refined}
    singles = [Candidate((label,)) for label in transfer.scores]
    counts = [one for one in singles if is_count(transfer.document["scores"][one.members[0]][0])]
    held = {"preset": leave_one_out(bench, sets, **protocol)}
    held |= {
        what: leave_one_out(bench, of, worst=options.worst) for what, of in (("single score", singles), ("count", counts)) if of
    }
    first = choose(bench, sets, bench.families, **protocol)[: options.top]
    best = {candidate.label: figures(transfer, as_choice(candidate)) for candidate, _ in first}
    others = {f"preset {one.label}" if one.preset else one.label: figures(transfer, one) for one in choices(transfer)}
    title = (
        f"Presets of up to {options.members} scores by mean + {options.worst:g} * worst of {len(groups)} families, "
        f"{options.networks} networks of each setting"
    )
    text = "\n\n".join(
        (
            f"Candidates: {', '.join(labels)}. Rules: {', '.join(options.rules)}. Largest weight: {options.weights}.",
            f"Chosen without a family, judged on it:\n\n{left_out(held)}",
            f"Chosen on all families, figures of all measured networks: **{first[0][0].label}**\n\n{top(best, list(groups))}",
            f"Others, the best criterion first:\n\n{top(_by_criterion(others, options.worst), list(groups))}",
        )
    )
    content = {
        "candidates": labels,
        "chosen": _document(first[0][0]),
        "top": [{**_document(candidate), "criterion": value} for candidate, value in first],
        "held_out": {
            what: [{"family": one.family, **_document(one.candidate), "figure": one.figure} for one in rows]
            for what, rows in held.items()
        },
    }
    write(options.folder, options.name, title, text, content)


def left_out(held: Mapping[str, Sequence[Held]]) -> str:
    """Returns the table of the families that were left out, with mean and worst of the figures on them."""
    columns = ["family left out", *(part for what in held for part in (what, "figure"))]
    rows: list[list[Any]] = [
        [found[0].family, *(part for one in found for part in (one.candidate.label, f"{one.figure:.3f}"))]
        for found in zip(*held.values(), strict=True)
    ]
    for what, of in (("mean", np.mean), ("worst", np.min)):
        rows.append([what, *(part for one in held.values() for part in ("", f"{of([each.figure for each in one]):.3f}"))])
    return markdown(columns, rows)


def top(found: Mapping[str, Figures], groups: Sequence[str]) -> str:
    """Returns the table of figures by family."""
    rows = [
        [label, f"{one.mean:.3f}", f"{one.worst:.3f}", *(f"{one.by_family[group]:.3f}" for group in groups)]
        for label, one in found.items()
    ]
    return markdown(["Kendall", "mean", "worst", *groups], rows)


def _by_criterion(found: Mapping[str, Figures], worst: float) -> dict[str, Figures]:
    return dict(sorted(found.items(), key=lambda item: -(item[1].mean + worst * item[1].worst)))


def _document(candidate: Candidate) -> dict[str, Any]:
    return {"members": candidate.members, "rule": candidate.rule, "weights": candidate.factors}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where transfer.npz is and tables go")
    parser.add_argument("--name", default="choose_preset", help="name of the files that are written")
    parser.add_argument("--candidates", nargs="+", help="scores that a preset may have")
    parser.add_argument("--no-gradients", action="store_true", help="without scores that take a backward pass")
    parser.add_argument("--members", type=int, default=5, help="most scores of a preset")
    parser.add_argument("--rules", nargs="+", choices=("linear", "log"), default=("linear", "log"))
    parser.add_argument("--weights", type=int, default=1, help="largest whole weight of a member; 1 for equal weights")
    parser.add_argument("--refined", type=int, default=50, help="best sets whose weights are tried")
    parser.add_argument("--worst", type=float, default=1.0, help="weight of the worst family in the criterion")
    parser.add_argument("--networks", type=int, default=300, help="networks of each setting that choose, the first of the sample")
    parser.add_argument("--top", type=int, default=20, help="sets in the list of the best")
    run(parser, command, arguments)


if __name__ == "__main__":
    main()
