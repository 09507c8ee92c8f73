"""``cache info|prune|verify``: the file of measured statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rbflex_evo.engine.terminal.wording import columns, counted
from rbflex_evo.spaces import RunError

from .options import AsJson

if TYPE_CHECKING:
    from rbflex_evo.fitness.measuring.cache import StatisticsCache

app = typer.Typer(help="Inspect, shrink or verify the cache of statistics.", no_args_is_help=True)

CachePath = Annotated[Path | None, typer.Option("--path", help="The cache's file; by default the user's own.")]


@app.command()
def info(path: CachePath = None, as_json: AsJson = False) -> None:
    """Print what the cache holds."""
    with _existing(path) as cache:
        facts = cache.info()
    if as_json:
        print(json.dumps(facts, default=str))
    else:
        print("\n".join(columns([(name, _written(value)) for name, value in facts.items()])))


@app.command()
def prune(
    path: CachePath = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Keep what is younger; by default nothing.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remove statistics, all of them or the old ones."""
    with _existing(path) as cache:
        removed = cache.prune(days)
    print(json.dumps({"removed": removed}) if as_json else f"removed {counted(removed, 'row')}")


@app.command()
def verify(path: CachePath = None, as_json: AsJson = False) -> None:
    """Read every row, remove the damaged ones, and exit with code 1 if there were any."""
    with _existing(path) as cache:
        good, bad = cache.verify()
    if as_json:
        print(json.dumps({"good": good, "damaged": bad}))
    else:
        damaged = f"{bad:,} {'was' if bad == 1 else 'were'} damaged{' and removed' if bad else ''}"
        print(f"{counted(good, 'row')} {'is' if good == 1 else 'are'} good, {damaged}")
    if bad:
        raise typer.Exit(1)


def _written(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return "–" if value is None else str(value)


@contextmanager
def _existing(path: Path | None) -> Iterator[StatisticsCache]:
    from rbflex_evo.fitness.measuring.cache import StatisticsCache, default_path

    path = path or default_path()
    if not path.exists():
        raise RunError(f"there is no cache at {path}; a search with 'cache: auto' makes one")
    cache = StatisticsCache(path)
    try:
        yield cache
    finally:
        cache.close()
