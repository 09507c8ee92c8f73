"""``latency fit|predict|check``: predictors of the latency of a space's networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rbflex_evo.engine.configuration.config import override
from rbflex_evo.engine.terminal.wording import columns
from rbflex_evo.spaces import SearchSpace, create_space

from .options import AsJson, Overrides

app = typer.Typer(no_args_is_help=True, help="Fit, use and check predictors of latency.")

PredictorPath = Annotated[Path, typer.Argument(metavar="FILE", help="A predictor's file, as latency fit wrote it.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random architectures.")]
TablePath = Annotated[Path | None, typer.Option("--path", metavar="FILE", help="For table:NAME: the table's file.")]


@app.command("fit")
def fit(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A space's name, such as nats_tss.")],
    device: Annotated[
        str,
        typer.Option("--device", help="cpu or another device of torch; onnx for ONNX Runtime; table:NAME for a table of devices."),
    ] = "cpu",
    kind: Annotated[str, typer.Option("--kind", help="lookup, layers, kernels, gcn, transfer, ridge or forest.")] = "lookup",
    count: Annotated[int, typer.Option("--count", min=2, help="Architectures to fit to.")] = 100,
    held_out: Annotated[int, typer.Option("--held-out", min=0, help="Further architectures to judge it on.")] = 30,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; by default SPACE-DEVICE-KIND.npz.")] = None,
    path: TablePath = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="For table:NAME: one of its data sets.")] = None,
    known: Annotated[Path | None, typer.Option("--known", metavar="FILE", help="For transfer: a table of known devices.")] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="DEVICE", help="For transfer: leave out this chip. Repeatable.")
    ] = None,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Forwards before the first one that is timed.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Timed forwards; their median is the latency.")] = 31,
    clock: Annotated[
        str, typer.Option("--clock", help="wall, or processor: the time of the processor, for machines that others use.")
    ] = "wall",
    set_: Overrides = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure random networks of a space and fit a predictor to them.

    Measurements are kept beside the file, so that a stopped command goes on. --set sets parameters of the space (space.size=64).
    """
    from rbflex_evo.engine.latency import fit as fitting
    from rbflex_evo.engine.latency.costs import TABLE, cost_source, known_devices
    from rbflex_evo.engine.terminal.progress import Progress

    built = _space_of(space, set_ or [])
    table = None if path is None else str(path)
    source = cost_source(built, device, table, dataset, warm_up, repeats, clock, operations=kind == fitting.LAYERS)
    others = [*(without or []), *([source.device] if device.startswith(TABLE) else [])]
    devices = None if known is None else known_devices(built, str(known), others)
    target = out or Path(f"{built.name}-{source.device}-{kind}.npz".replace(":", "_"))
    with Progress("measured", count + held_out, unit="network", shown=not device.startswith(TABLE)) as progress:
        found = fitting.fit(
            built, source, kind, count, held_out, target, known=devices, seed=seed, progress=lambda: progress.advance()
        )
    if as_json:
        print(json.dumps({"file": str(target), "kind": kind, "device": source.device, **_provenance(found.provenance)}))
        return
    rows = [
        ("predictor", f"{kind} of {source.quantity} ({source.unit}) on {source.device}, for {built.name}"),
        ("fitted to", f"{count} architectures; 5 folds: {found.cross_validated}"),
    ]
    rows += [("held out", str(found.held_out))] if found.held_out is not None else []
    rows += [("measured", f"to {100 * found.spread:.2g} % (width of the median's 95 % interval)")] if found.spread >= 0 else []
    print("\n".join(columns([*rows, ("file", str(target))])))


@app.command("predict")
def predict(
    file: PredictorPath,
    architectures: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Architectures in the space's notation.")],
    as_json: AsJson = False,
) -> None:
    """Predict the cost of architectures."""
    from rbflex_evo.fitness.costs.predictors.saved import load_predictor

    predictor, provenance = load_predictor(file)
    space = predictor.space
    genotypes = [space.genotype_of(text) for text in architectures]
    scored = [space.representative(space.key(genotype)) for genotype in genotypes]
    values = predictor.predict(scored).tolist()
    notations = [space.notation(genotype) for genotype in genotypes]
    if as_json:
        print(
            json.dumps(
                [{"notation": name, "value": value, "unit": provenance.unit} for name, value in zip(notations, values, strict=True)]
            )
        )
        return
    print("\n".join(f"{value:.5g} {provenance.unit}  {name}" for name, value in zip(notations, values, strict=True)))


@app.command("check")
def check(
    file: PredictorPath,
    count: Annotated[int, typer.Option("--count", min=2, help="Architectures to measure.")] = 20,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Measure other random networks anew and compare them with their predictions."""
    from rbflex_evo.engine.latency.costs import cost_source
    from rbflex_evo.engine.latency.fit import check as checked
    from rbflex_evo.engine.terminal.progress import Progress
    from rbflex_evo.fitness.costs.predictors.saved import load_predictor

    predictor, provenance = load_predictor(file)
    facts = provenance.source
    source = cost_source(predictor.space, **facts)
    with Progress("measured", count, unit="network", shown="path" not in facts) as progress:
        errors = checked(predictor, source, count, file.with_suffix(f".check{seed}.jsonl"), seed, lambda: progress.advance())
    before: dict[str, Any] = dict(provenance.errors.get("held_out") or provenance.errors["cross_validated"])
    if as_json:
        print(json.dumps({"now": errors.as_values(), "when_fitted": before}))
        return
    rows = [
        ("now", str(errors)),
        ("when fitted", f"median error {100 * before['median']:.2g} %, Spearman {before['spearman']:.3f}"),
    ]
    print("\n".join(columns(rows)))


def _space_of(name: str, overrides: list[str]) -> SearchSpace:
    values: dict[str, Any] = {"space": name}
    for text in overrides:
        override(values, text)
    section = values["space"]
    return create_space(section) if isinstance(section, str) else create_space(**section)


def _provenance(provenance: Any) -> dict[str, Any]:
    return {"rows": provenance.rows, "unit": provenance.unit, "errors": dict(provenance.errors)}
