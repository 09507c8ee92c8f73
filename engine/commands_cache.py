"""``cache info|prune|verify``: the file of measured statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spaces import RunError

from .options import AsJson

if TYPE_CHECKING:
    from fitness.cache import StatisticsCache

app = typer.Typer(help="Look at, shrink or check the cache of statistics.", no_args_is_help=True)

CachePath = Annotated[Path | None, typer.Option("--path", help="The cache's file; by default the user's own.")]


@app.command()
def info(path: CachePath = None, as_json: AsJson = False) -> None:
    """Print what the cache holds."""
    with _existing(path) as cache:
        facts = cache.info()
    if as_json:
        print(json.dumps(facts, default=str))
    else:
        print("\n".join(f"{name:<12} {value}" for name, value in facts.items()))


@app.command()
def prune(
    path: CachePath = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Keep what is younger; by default nothing.")] = None,
) -> None:
    """Remove statistics, all of them or the old ones."""
    with _existing(path) as cache:
        print(f"removed {cache.prune(days)} rows")


@app.command()
def verify(path: CachePath = None) -> None:
    """Read every row, remove the damaged ones, and exit with code 1 if there were any."""
    with _existing(path) as cache:
        good, bad = cache.verify()
    print(f"{good} rows are good, {bad} were damaged{' and are removed' if bad else ''}")
    if bad:
        raise typer.Exit(1)


@contextmanager
def _existing(path: Path | None) -> Iterator[StatisticsCache]:
    from fitness.cache import StatisticsCache, default_path

    path = path or default_path()
    if not path.exists():
        raise RunError(f"there is no cache at {path}; a search with 'cache: auto' makes one")
    cache = StatisticsCache(path)
    try:
        yield cache
    finally:
        cache.close()
