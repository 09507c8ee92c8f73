"""``export``: the found networks, ready to be trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rbflex_evo.engine.terminal.wording import columns, counted

from .options import AsJson, RunPath

if TYPE_CHECKING:
    from rbflex_evo.engine.export.export import Exported


def export(
    run: RunPath,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="How many networks; by default the best one, or the whole front.")
    ] = None,
    family: Annotated[
        int | None, typer.Option("--family", min=1, help="How many sizes, each the best of its part of the range of a cost.")
    ] = None,
    over: Annotated[
        str | None, typer.Option("--over", metavar="METRIC", help="Cost that a family is spread over, such as flops.")
    ] = None,
    into: Annotated[Path | None, typer.Option("--into", metavar="FOLDER", help="Where to; by default RUN/export.")] = None,
    classes: Annotated[int | None, typer.Option("--classes", help="Outputs of the classifier, if not those of the run.")] = None,
    program: Annotated[bool, typer.Option("--program", help="Also write a torch.export program, for evaluation.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also write ONNX, checked against torch; needs the extra onnx.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export the best networks of a run, ready to be trained.

    The run may be unfinished. A folder holds weights, genotype in the benchmark's notation, costs and a drawing.
    """
    from rbflex_evo.engine.export.export import export_run

    done = export_run(
        run, top=top, family=family, over=over, into=into, classes=classes, program=program, onnx=onnx, replace=replace
    )
    if as_json:
        documents = [{"folder": str(one.folder), **one.architecture.model_dump(mode="json")} for one in done]
        print(json.dumps(documents, ensure_ascii=False))
    else:
        print("\n".join(columns(summary(done))))


def summary(done: list[Exported]) -> list[tuple[str, str]]:
    """Returns what is printed of an export, as (label, text)."""
    first = done[0]
    run = first.architecture.run
    count = counted(len(done), "network")
    lines = [("exported", f"{count} of {run.evaluations:,} evaluated into {first.folder.parent}")]
    if not run.finished:
        lines.append(("so far", "the search is not finished; a better one may come"))
    for one in done:
        costs = one.architecture.costs
        lines.append((str(one.architecture.run.place), one.architecture.notation))
        lines.append(("", f"{costs.params:,.0f} parameters, {costs.flops:,.0f} multiply-accumulates"))
        scored = one.architecture.scored_costs()
        if scored is not None:
            lines.append(("", scored))
    lines.append(("load", f'rbflex_evo.engine.load_network("{first.folder}")'))
    return lines
