"""The command line and its exit codes, of which docs/guide/commands.md has the table.

0 done, 2 the user must change something, 1 failed and may be tried again, 128 + signal stopped after saving
(130 Ctrl-C, 143 SIGTERM, 138 SIGUSR1, 129 SIGHUP).
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from rbflex_evo.engine.terminal.interrupt import STOPS
from rbflex_evo.engine.terminal.messages import say
from rbflex_evo.spaces import RbflexEvoError, file_error

from . import (
    cache,
    check,
    compare,
    correlate,
    example,
    explain,
    export,
    fidelity,
    find,
    latency,
    optimum,
    report,
    score,
    search,
    tabulate,
    watch,
)
from . import list as listing


class InOrder(TyperGroup):
    """Lists groups of commands after the commands, and answers what typer would answer without a message."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a stop is told with its message, and an error of the operating system with the file's name."""
        try:
            return super().invoke(ctx)
        except STOPS as stopped:
            say(stopped)
            raise typer.Exit(stopped.code) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except OSError as error:
            if not _is_of_output(error):
                raise file_error(error) from error
            _write_nowhere()
            # The reader of the output went away (| head -1), and nothing else broke.
            if isinstance(error, BrokenPipeError):
                raise typer.Exit(0) from None
            raise file_error(error, "standard output") from error

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
app.command("find")(find.find)
app.command("search")(search.search)
app.command("resume")(search.resume)
app.command("report")(report.report)
app.command("watch")(watch.watch)
app.command("score")(score.score)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("optimum")(optimum.optimum)
app.command("compare")(compare.compare)
app.command("tabulate")(tabulate.tabulate)
app.command("correlate")(correlate.correlate)
app.command("gammas")(score.gammas)
app.command("fidelity")(fidelity.fidelity)
app.command("example")(example.example)
app.command("list")(listing.list_known)
app.command("check")(check.check)
app.add_typer(latency.app, name="latency")
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
        code = finished.code if isinstance(finished.code, int) else 0 if finished.code is None else 1
    except RbflexEvoError as error:
        if debug:
            raise
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        say(f"failed: {type(error).__name__}: {text}\n(--debug shows where)")
        return 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _write_nowhere()
    except OSError as error:
        _write_nowhere()
        say(f"error: {file_error(error, 'standard output')}")
        return code or 1
    return code


def _is_of_output(error: OSError) -> bool:
    """True if the error came from a command's own `print`; every other file that is written has its name in the error."""
    places = [Path(frame.f_code.co_filename).parent for frame, _ in traceback.walk_tb(error.__traceback__)]
    return error.filename is None and places[-1] == Path(__file__).parent


def _write_nowhere() -> None:
    """Sends the rest of standard output to the null device, so that the interpreter does not fail on it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


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
        say(f"warning: {message}")
    else:
        _show_warning(message, category, filename, lineno, file, line)


def main() -> None:
    """Runs the command line and exits with its code."""
    sys.exit(run(sys.argv[1:]))
