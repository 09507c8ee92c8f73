"""The command line. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted after saving."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from rbflex_evo.spaces import RbflexEvoError

from . import cache, check, compare, correlate, example, explain, export, report, score, search, tabulate
from . import list as listing


class InOrder(TyperGroup):
    """Lists groups of commands after the commands; otherwise in the order of registration."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names in the order of the help text."""
        return sorted(self.commands, key=lambda name: isinstance(self.commands[name], TyperGroup))


app = typer.Typer(
    cls=InOrder,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("search")(search.search)
app.command("resume")(search.resume)
app.command("report")(report.report)
app.command("score")(score.score)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("compare")(compare.compare)
app.command("tabulate")(tabulate.tabulate)
app.command("correlate")(correlate.correlate)
app.command("gammas")(score.gammas)
app.command("example")(example.example)
app.command("list")(listing.list_known)
app.command("check")(check.check)
app.add_typer(cache.app, name="cache")


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


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; errors are printed as one or two lines."""
    debug = "--debug" in arguments
    warnings.showwarning = _print_warning
    try:
        # --debug is allowed anywhere, also after the command.
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
    """Prints this package's own warnings as one line, and other warnings as Python does."""
    if category.__module__.partition(".")[0] == "rbflex_evo":
        print(f"warning: {message}", file=sys.stderr)
    else:
        _show_warning(message, category, filename, lineno, file, line)


def main() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(run(sys.argv[1:]))
