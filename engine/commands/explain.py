"""``explain``: ranks, spread, ties and layers of one candidate of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rbflex_evo.engine.terminal.wording import columns

from .options import AsJson, MachineSettings, RunPath

if TYPE_CHECKING:
    from rbflex_evo.engine.explanation.document import Explanation

LAYERS_SHOWN = 5


def explain(
    run: RunPath,
    architecture: Annotated[
        str | None,
        typer.Argument(metavar="[ARCH]", help="In the space's notation, or an index; without it, the found architecture."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="How many other weight seeds to score it with.")] = 8,
    set_: MachineSettings = None,
    as_json: AsJson = False,
) -> None:
    """Explain a candidate: its ranks, spread, ties and layers.

    The run must be finished. The spread is that of the scores over other weight seeds.
    """
    from rbflex_evo.engine.explanation.explain import explain as explained
    from rbflex_evo.engine.report.report import write_report

    explanation = explained(run, architecture, seeds=seeds, overrides=set_ or [])
    page = write_report(run)
    if as_json:
        print(explanation.model_dump_json())
    else:
        print("\n".join([*summary(explanation), *columns([("report", str(page))])]))


def summary(explanation: Explanation) -> list[str]:
    """Returns the lines that are printed of an explanation."""
    from rbflex_evo.engine.explanation.document import account_of

    rows = [("found" if explanation.found else "candidate", explanation.notation)]
    if explanation.accuracy is not None:
        rows.append(("accuracy", f"{explanation.accuracy:.2f} % on {explanation.dataset}"))
    for name, score in explanation.scores.items():
        rank, spread = explanation.ranks[name], explanation.spread[name]
        text = f"{score:g}, rank {rank.place:g} of {rank.of}"
        if spread.deviation == 0:
            text += f"; the same with {len(spread.values)} other weight seeds"
        elif spread.deviation is not None:
            text += f"; with {len(spread.values)} other weight seeds {spread.mean:.6g} ± {spread.deviation:.3g}"
            text += f" ({spread.least:g} .. {spread.most:g})"
        rows.append((name, text))
    ties = explanation.ties
    if ties.count is None:
        rows.append(("tied", "not known: a score failed with all other weight seeds but one or less"))
    else:
        each = ", ".join(f"{name} {count}" for name, count in ties.members.items())
        within = f"{ties.count} of {ties.of} within one standard deviation"
        rows.append(("tied", f"{within} in every score of the objective ({each})"))
    for tied in ties.nearest:
        rows.append(("", tied.notation + ("" if tied.accuracy is None else f"  {tied.accuracy:.2f} %")))
    for found in explanation.layers:
        total = sum(layer.distance for layer in found.layers)
        largest = sorted(found.layers, key=lambda layer: -layer.distance)[:LAYERS_SHOWN]
        if found.calls:
            rows.append(("calls", account_of(found.calls)))
        rows.append(("layers", f"largest shares of {found.score}'s distances, {len(found.layers)} layers in all"))
        rows += [("", f"{layer.distance / total:6.1%}  {layer.name}") for layer in largest]
    if explanation.notice:
        rows.append(("table", explanation.notice))
    return list(columns(rows))
