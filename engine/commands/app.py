"""The command line. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted after saving."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from rbflex_evo.engine.terminal.wording import columns, counted
from rbflex_evo.fitness.objective.constraints import written
from rbflex_evo.spaces import RbflexEvoError

from . import cache, check, compare, correlate, example, explain, export, score, tabulate
from . import list as listing
from .options import AsJson, ConfigPath, Overrides, RunPath

if TYPE_CHECKING:
    from rbflex_evo.engine.search.result import Result
    from rbflex_evo.engine.search.search import Search

app = typer.Typer(
    help="Training-free neural architecture search with the RBFleX score.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cache.app, name="cache")
app.command("example")(example.example)
app.command("score")(score.score)
app.command("gammas")(score.gammas)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("tabulate")(tabulate.tabulate)
app.command("correlate")(correlate.correlate)
app.command("list")(listing.list_known)
app.command("check")(check.check)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"rbflex-evo {version('rbflex-evo')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Training-free neural architecture search with the RBFleX score."""


@app.command()
def search(
    config: ConfigPath,
    set_: Overrides = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only measure three candidates and print what the search will cost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search, or go on with the same search where it was stopped, or print its result if it is done."""
    if estimate:
        _print_estimate(config, set_ or [], as_json)
        return
    from rbflex_evo.engine.configuration.config import load_config

    settings = load_config(config, set_ or [])
    from rbflex_evo.engine.search.search import Search

    _run(Search(settings), as_json)


@app.command()
def resume(run: RunPath, as_json: AsJson = False) -> None:
    """Go on with a run that was stopped."""
    from rbflex_evo.engine.search.search import Search

    _run(Search.from_folder(run), as_json)


@app.command()
def report(run: RunPath) -> None:
    """Write the report of a run, finished or not, and print its path."""
    from rbflex_evo.engine.report.report import write_report

    print(write_report(run))


def _run(search: Search, as_json: bool) -> None:
    from rbflex_evo.engine.terminal.interrupt import Interrupted

    try:
        result = search.run()
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps({**result.document, "folder": str(result.folder)}, ensure_ascii=False))
    else:
        print("\n".join(columns(summary(result))))


def summary(result: Result) -> list[tuple[str, str]]:
    """Returns what is printed at the end of a search, as (label, text)."""
    lines = []
    best = result.best
    if best is None:
        lines.append(("found", _nothing(result)))
    else:
        lines.append(("found", best.notation))
        lines.append(("scores", ", ".join(f"{name} {written(score)}" for name, score in best.scores.items())))
        if best.costs:
            lines.append(("costs", ", ".join(f"{name} {written(cost)}" for name, cost in best.costs.items())))
    front = result.document.get("front")
    if front is not None:
        share = f"{100 * front['hypervolume_share']:.1f} %"
        lines.append(("front", f"{len(front['candidates']):,} not dominated, hypervolume {share} of the box; found is the knee"))
    table = result.table
    if table is not None:
        if best is not None:
            lines.append(("accuracy", _accuracy(table)))
        lines.append(("table", f"best {table['best']:.2f} % ({table['best_notation']}), mean {table['mean']:.2f} %"))
    counts = result.counts
    seconds = result.document["time_seconds"]
    rejected = f"{counts['rejected']:,} rejected, " if counts.get("rejected") else ""
    done = f"{counts['unique']:,} evaluated, {counts['failed']:,} failed, {rejected}{seconds:.1f} s"
    lines.append(("stopped", f"{result.stop_reason} ({done})"))
    lines.append(("report", str(result.folder / "report.html")))
    return lines


def _nothing(result: Result) -> str:
    if result.counts["failed"] == result.counts["unique"] > 0:
        return "nothing: every candidate failed, the report says why"
    return "nothing: no candidate is within the limits"


def _accuracy(table: Any) -> str:
    if table["accuracy"] is None:
        return f"not known to {table['name']}"
    return (
        f"{table['accuracy']:.2f} % on {table['dataset']} ({table['name']}), "
        f"at least as good as {table['percentile']:.1f} % of the table"
    )


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
    if found.seconds is None:
        print("search     not known: the budget limits generations only")
    else:
        print(f"search     about {found.seconds:.0f} s")
    if found.memory is not None:
        print(f"memory     about {found.memory / 2**20:.0f} MiB")


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; errors are printed as one or two lines."""
    debug = "--debug" in arguments
    warnings.showwarning = _print_warning
    try:
        # --debug may stand anywhere, also behind the command.
        app([argument for argument in arguments if argument != "--debug"], prog_name="rbflex-evo")
    except SystemExit as finished:
        return finished.code if isinstance(finished.code, int) else 0 if finished.code is None else 1
    except RbflexEvoError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        print(f"failed: {type(error).__name__}: {text}\n(--debug shows where)", file=sys.stderr)
        return 1
    return 0


_show_warning = warnings.showwarning


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints this package's own warnings as one line; others look as ever."""
    if category.__module__.partition(".")[0] == "rbflex_evo":
        print(f"warning: {message}", file=sys.stderr)
    else:
        _show_warning(message, category, filename, lineno, file, line)


def main() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(run(sys.argv[1:]))
