"""``find``: from limits on costs to an exported network, without a configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rbflex_evo.engine.terminal.wording import columns, counted, duration, named, sized

from .options import AsJson

if TYPE_CHECKING:
    from rbflex_evo.engine.configuration.config import Config
    from rbflex_evo.engine.export.export import Exported
    from rbflex_evo.engine.search.estimate import Estimate
    from rbflex_evo.engine.search.result import Result
    from rbflex_evo.spaces import SearchSpace


def find(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="Name of a search space, such as nats_tss.")],
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="METRIC=NUMBER", help="Largest allowed cost, such as params=1e6. Repeatable."),
    ] = None,
    evaluations: Annotated[int | None, typer.Option("--evaluations", min=1, help="Architectures to evaluate.")] = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="Costs on devices, for a limit such as latency:pixel3=8.")
    ] = None,
    predictor: Annotated[
        Path | None, typer.Option("--predictor", metavar="FILE", help="Predictor of a cost, for a limit such as predicted:board=8.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FOLDER", help="Where to export; by default the run's folder.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run; by default the space and the limits.")] = None,
    runs: Annotated[str | None, typer.Option("--runs", metavar="FOLDER", help="Folder of runs; runs by default.")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what the search will take.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find a network within limits on costs and export it.

    The search needs no configuration file. The same command resumes it, or prints its result again.
    """
    from rbflex_evo.engine.search.find import export_found, find_config, read_limits

    limits = read_limits(limit or [])
    config, built = find_config(space, limits, evaluations=evaluations, name=name, runs=runs, table=table, predictor=predictor)
    foreseen = None
    if estimate or not (config.folder / "journal.jsonl").exists():
        from rbflex_evo.engine.search.estimate import estimate as measure

        foreseen = measure(config)
    if estimate and foreseen is not None:
        print(json.dumps(foreseen.as_values()) if as_json else "\n".join(columns(_plan(config, built, foreseen))))
        return
    if not as_json:
        # Before the progress bar, so that a search of hours can be stopped at once.
        print("\n".join(columns(_plan(config, built, foreseen))), flush=True)
    from rbflex_evo.engine.search.one_call import worded
    from rbflex_evo.engine.search.search import Search

    with worded(r"--set (name|runs)=\.\.\.", r"--\1 ..."):
        result = Search(config, space=built).run()
    exported = export_found(result, export)
    if as_json:
        print(json.dumps(_document(result, exported, limits), ensure_ascii=False))
    else:
        print("\n".join(columns(summary(result, exported, limits))))


def _plan(config: Config, space: SearchSpace, foreseen: Estimate | None) -> list[tuple[str, str]]:
    """Returns what is printed before the search, as (label, text)."""
    from rbflex_evo.fitness.objective.constraints import read_constraints

    limits = str(read_constraints(config.fitness.constraints)) or "none"
    by = ", ".join(config.fitness.proxies)
    budget, size = config.budget.evaluations or 0, space.encoding.size
    of = "" if size is None else f" of {sized(size)} genotypes"
    lines = [("limits", limits), ("search", f"{counted(budget, 'evaluation')}{of}, {config.strategy.name}, by {by}")]
    if foreseen is None:
        return [*lines, ("run", f"{config.folder} goes on")]
    each = f"{1000 * foreseen.candidate_seconds:.0f} ms each on {foreseen.device}, {counted(foreseen.workers, 'worker')}"
    lines.append(("takes", f"about {duration(foreseen.seconds or 0.0)} ({each})"))
    if foreseen.memory is not None:
        lines.append(("memory", f"about {foreseen.memory / 2**20:.0f} MiB"))
    return [*lines, ("run", f"{config.folder}; the same command goes on if it is stopped")]


def summary(result: Result, exported: Exported, limits: dict[str, float]) -> list[tuple[str, str]]:
    """Returns what is printed at the end, as (label, text)."""
    from rbflex_evo.fitness.costs.metric import metric_type
    from rbflex_evo.fitness.objective.constraints import written

    best, network = result.best, exported.architecture
    assert best is not None
    lines = [("found", best.notation), ("scores", named(best.scores))]
    for name, most in limits.items():
        unit = f" {metric_type(name).unit}".rstrip()
        lines.append((name, f"{written(best.costs[name])}{unit} (limit {written(most)}{unit})"))
    lines.append(("network", f"{network.costs.params:,.0f} parameters, {network.costs.flops:,.0f} multiply-accumulates"))
    scored = network.scored_costs()
    if scored is not None:
        lines.append(("", scored))
    page = result.folder / "report.html"
    lines.append(("report", str(page) if page.is_file() else f"not written; write it with: rbflex-evo report {result.folder}"))
    lines.append(("export", str(exported.folder)))
    lines.append(("build", f'rbflex_evo.load_network("{exported.folder}")'))
    return lines


def _document(result: Result, exported: Exported, limits: dict[str, float]) -> dict[str, Any]:
    best = result.best
    assert best is not None
    return {
        "found": best.model_dump(mode="json"),
        "limits": limits,
        "network": exported.architecture.costs.model_dump(mode="json"),
        "folder": str(result.folder),
        "export": str(exported.folder),
        "stop_reason": result.stop_reason,
        "time_seconds": result.found.time_seconds,
    }
