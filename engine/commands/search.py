"""``search`` and ``resume``: a run from its configuration or its folder to its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rbflex_evo.engine.terminal.wording import columns, counted, named, percent

from .options import AsJson, ConfigPath, MachineSettings, Overrides, RunPath

if TYPE_CHECKING:
    from rbflex_evo.engine.run.result_document import RescoringFacts, TableFacts
    from rbflex_evo.engine.search.estimate import Fleet
    from rbflex_evo.engine.search.result import Result
    from rbflex_evo.engine.search.search import Search


def search(
    config: ConfigPath,
    set_: Overrides = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only measure three candidates and predict time and memory.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a search, resume it, or print its result.

    A search that was stopped continues where it was; the result of a finished one is printed again.
    """
    if estimate:
        _print_estimate(config, set_ or [], as_json)
        return
    from rbflex_evo.engine.configuration.config import load_config

    settings = load_config(config, set_ or [])
    from rbflex_evo.engine.search.search import Search

    _run(Search(settings), as_json)


def resume(
    run: RunPath,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="LIMIT=VALUE", help="Go on with another budget, such as evaluations=2000. Repeatable."),
    ] = None,
    set_: MachineSettings = None,
    as_json: AsJson = False,
) -> None:
    """Resume a run that was stopped, or go on with another budget.

    With --budget, the run goes on exactly as if it had had that budget from the start.
    """
    from rbflex_evo.engine.configuration.budget import read_limits
    from rbflex_evo.engine.configuration.config import BudgetConfig

    limits = read_limits(budget or [])
    from rbflex_evo.engine.search.search import Search

    search = Search.from_folder(run, budget=limits, overrides=set_ or [])
    result = _run(search, as_json)
    if not as_json and result.stop_reason.startswith("the budget of "):
        spent = next(limit for limit in BudgetConfig.model_fields if limit.removesuffix("s") in result.stop_reason)
        print(f"go on      rbflex-evo resume {run} --budget {spent}=N (more than {getattr(search.config.budget, spent):,g})")


def _run(search: Search, as_json: bool) -> Result:
    result = search.run()
    if as_json:
        print(json.dumps({**result.document, "folder": str(result.folder)}, ensure_ascii=False))
    else:
        print("\n".join(columns(summary(result))))
    return result


def summary(result: Result) -> list[tuple[str, str]]:
    """Returns what is printed at the end of a search, as (label, text)."""
    lines = []
    best = result.best
    if best is None:
        lines.append(("found", _nothing(result)))
    else:
        lines.append(("found", best.notation))
        lines.append(("scores", named(best.scores)))
        if best.costs:
            lines.append(("costs", named(best.costs)))
    front = result.found.front
    if front is not None:
        share = f"{100 * front.hypervolume_share:.1f} %"
        lines.append(("front", f"{len(front.candidates):,} not dominated, hypervolume {share} of the box; found is the knee"))
    rescoring = result.found.rescoring
    if rescoring is not None:
        lines.append(("rescored", rescored_text(rescoring)))
    table = result.table
    if table is not None:
        if best is not None:
            lines.append(("accuracy", _accuracy(table)))
        lines.append(("table", f"best {percent(table.best)} ({table.best_notation}), mean {percent(table.mean)}"))
    counts = result.counts
    seconds = result.found.time_seconds
    rejected = f"{counts['rejected']:,} rejected, " if counts.get("rejected") else ""
    done = f"{counts['unique']:,} evaluated, {counts['failed']:,} failed, {rejected}{seconds:.1f} s"
    lines.append(("stopped", f"{result.stop_reason} ({done})"))
    page = result.folder / "report.html"
    lines.append(("report", str(page) if page.is_file() else f"not written; write it with: rbflex-evo report {result.folder}"))
    return lines


def rescored_text(rescoring: RescoringFacts) -> str:
    """Returns what is said of the candidates that were scored again in full."""
    agreements = [
        f"{name} {one.kendall:.3f} [{one.low:.3f}, {one.high:.3f}]"
        for name, one in rescoring.agreement.items()
        if one.kendall is not None and one.low is not None and one.high is not None
    ]
    failed = f", {rescoring.failed:,} failed" if rescoring.failed else ""
    kept = f"; Kendall with the cheaper form: {', '.join(agreements)}" if agreements else ""
    return f"{counted(rescoring.count, 'candidate')} in full ({rescoring.time_seconds:.1f} s{failed}){kept}"


def _nothing(result: Result) -> str:
    if result.found.rescoring is not None and result.found.rescoring.count:
        return "nothing: every candidate that was scored again failed in full, the journal says why"
    if result.counts["failed"] == result.counts["unique"] > 0:
        return "nothing: every candidate failed, the report says why"
    return "nothing: no candidate is within the limits"


def _accuracy(table: TableFacts) -> str:
    if table.accuracy is None:
        return f"not known to {table.name}"
    return f"{percent(table.accuracy)} on {table.dataset} ({table.name}), at least as good as {table.percentile:.1f} % of the table"


def _print_estimate(path: Path, overrides: list[str], as_json: bool) -> None:
    from rbflex_evo.engine.configuration.config import load_config

    settings = load_config(path, overrides)
    from rbflex_evo.engine.search.estimate import CANDIDATES, estimate

    found = estimate(settings)
    if as_json:
        print(json.dumps(found.as_values()))
        return
    workers = counted(found.workers, "worker")
    print(f"candidate  {1000 * found.candidate_seconds:.0f} ms on {found.device} (median of {CANDIDATES}), {workers}")
    print(f"gammas     {found.preparation_seconds:.1f} s, once")
    if found.fleet is not None:
        print("\n".join(_fleet_lines(found.fleet, found.workers)))
    if found.seconds is None:
        print("search     not known: the budget limits generations only")
    else:
        print(f"search     about {found.seconds:.0f} s")
    again = found.rescoring
    if again is not None:
        each = f"{counted(again.candidates, 'candidate')} at {1000 * again.candidate_seconds:.0f} ms in full"
        print(f"rescoring  about {again.seconds:.0f} s on top of the budget: {each} (gammas {again.preparation_seconds:.1f} s)")
    if found.memory is not None:
        print(f"memory     about {found.memory / 2**20:.0f} MiB")


def _fleet_lines(fleet: Fleet, workers: int) -> list[str]:
    idle = f"; {workers - fleet.offered:,} of {workers:,} workers are of no use" if fleet.offered < workers else ""
    own, rate = 1000 * fleet.own_seconds, fleet.per_second * (fleet.sent + fleet.returned)
    return [
        f"strategy   offers at most {counted(fleet.offered, 'candidate')} at a time{idle}",
        f"workers    {fleet.busy:,.3g} of {workers:,} busy on average, {fleet.per_second:.3g} evaluations a second; "
        f"strategy and loop work {own:.2f} ms for each",
        f"network    {fleet.sent:,} bytes to a worker and {fleet.returned:,} back for each candidate, {rate / 1e6:.2g} MB a second",
    ]
