"""Every strategy with its defaults, and samplers of other libraries, on six spaces by three scores each.

    python -m benchmarks strategies --benchdata FOLDER --tables FOLDER --minutes 60

Spaces and scores are those of `landscapes`, strategies those of `contenders`. Every search of a space, score and seed has one
budget, and its strategy the defaults for that budget. Rows are appended to strategies.jsonl, so the same command resumes. Searches
go on, seed by seed, until the minutes are over; then the seeds that every strategy has are compared. Samplers of other libraries
search with few seeds and at small budgets, and the others are compared with them on the same.

    regret      (best - found) / (best - typical): 0 is the best network, 1 a typical random one. Best is the highest score of the
                whole space, or, where that is not known, of any search here. Typical is the median of random networks.
    mean rank   of a strategy among all, over spaces, scores and seeds, with a 95 % interval; equal scores share their ranks
    auto        what the table of winners chooses. On a space, the table is made without that space.

Writes strategies.json, strategies.md and strategies.png; with --write-winners, also the table of winners that `strategy: auto`
reads.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.figures import rank_plot
from benchmarks.searches import ranking
from benchmarks.searches.contenders import Contender, contenders, search
from benchmarks.searches.landscapes import Landscape, Source, sources
from benchmarks.shared.output import markdown, write
from rbflex_evo.spaces import ConfigError
from rbflex_evo.strategies.auto import Auto

BUDGETS = (100, 200, 500, 1000)
SEEDS, SLOW_SEEDS, SLOW_BUDGETS = 30, 5, (100, 200)
# Seeds of searches with two objectives.
FRONT_SEEDS = 10


def rows_of(path: Path) -> list[ranking.Row]:
    """Returns the rows of a file; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [ranking.Row(**json.loads(line)) for line in lines]


@lru_cache(1)
def _sources(benchdata: Path | None, tables: Path | None) -> dict[str, Source]:
    return sources(benchdata, tables)


@lru_cache(None)
def landscape(benchdata: Path | None, tables: Path | None, space: str, score: str | None) -> Landscape:
    """Returns the landscape of a score, or that of two objectives if there is none; each process makes it once."""
    source = _sources(benchdata, tables)[space]
    return source.front() if score is None else source.landscape(score)


def searched(
    where: tuple[Path | None, Path | None], space: str, score: str | None, seed: int, jobs: Sequence[tuple[Contender, int]]
) -> list[ranking.Row]:
    """Returns the rows of searches of one landscape with one seed."""
    found = landscape(*where, space, score)
    rows = []
    for contender, budget in jobs:
        started = time.perf_counter()
        value = search(found, contender, budget, seed)
        seconds = time.perf_counter() - started
        objectives = 1 if score is not None else 2
        rows.append(ranking.Row(space, found.name, objectives, contender.label, budget, seed, value, round(seconds, 3)))
    return rows


def scale_of(options: argparse.Namespace, space: str, name: str) -> ranking.Scale:
    """Returns what values of a landscape are worth."""
    source = _sources(options.benchdata, options.tables)[space]
    for score in (*source.names, None):
        found = landscape(options.benchdata, options.tables, space, score)
        if found.name == name:
            return ranking.Scale(found.typical, found.best)
    raise ConfigError(f"the rows are of {name!r}, which the tables that are given do not have; give another --folder")


def jobs_of(who: Sequence[Contender], budgets: Sequence[int], seed: int, objectives: int) -> list[tuple[Contender, int]]:
    """Returns who searches at which budget with a seed."""
    if objectives > 1 and seed >= FRONT_SEEDS:
        return []
    return [
        (contender, budget)
        for budget in budgets
        for contender in who
        if (contender.own or objectives == 1) and not (contender.slow and (seed >= SLOW_SEEDS or budget not in SLOW_BUDGETS))
    ]


def missing(
    options: argparse.Namespace, who: Sequence[Contender], known: Sequence[ranking.Row]
) -> Iterator[tuple[str, str | None, int, list[tuple[Contender, int]]]]:
    """Yields space, score, seed and the searches that are not done, seed by seed."""
    done = {(row.landscape, row.strategy, row.budget, row.seed) for row in known}
    where = (options.benchdata, options.tables)
    spaces = {space: [*source.names, None] for space, source in _sources(*where).items() if space in options.spaces}
    for seed in range(options.seeds):
        for space, scores in spaces.items():
            for score in scores:
                name = f"{space} / {score}" if score is not None else landscape(*where, space, None).name
                objectives = 1 if score is not None else 2
                jobs = jobs_of(who, options.budgets, seed, objectives)
                left = [(c, budget) for c, budget in jobs if (name, c.label, budget, seed) not in done]
                if left:
                    yield space, score, seed, left


def run_searches(options: argparse.Namespace, who: Sequence[Contender], path: Path) -> list[ranking.Row]:
    """Runs the missing searches until the minutes are over; returns all rows."""
    rows = rows_of(path)
    # A line that was cut short goes.
    path.write_text("".join(row.line() for row in rows), encoding="utf-8")
    end = time.monotonic() + 60 * options.minutes
    waiting = missing(options, who, rows)
    with ProcessPoolExecutor(options.workers) as pool, path.open("a", encoding="utf-8") as file:
        running = set()
        more = True
        while running or more:
            while more and len(running) < 2 * options.workers:
                task = next(waiting, None) if time.monotonic() < end else None
                if task is None:
                    more = False
                    break
                running.add(pool.submit(searched, (options.benchdata, options.tables), *task))
            for future in as_completed(running):
                running.discard(future)
                for row in future.result():
                    rows.append(row)
                    file.write(row.line())
                file.flush()
                break
    return rows


def table(found: ranking.Comparison) -> str:
    """Returns the Markdown table of a comparison: mean rank with its interval, and regret by budget."""
    budgets = found.budgets
    columns = ["strategy", "mean rank (95 %)", *(f"rank at {b:,}" for b in budgets), *(f"regret at {b:,}, %" for b in budgets)]
    lines = []
    for standing in found.standings:
        ranks = [f"{standing.ranks[b]:.2f}" for b in budgets]
        regrets = [f"{100 * standing.regrets[b]:.2f}" for b in budgets]
        low, high = standing.interval
        lines.append([standing.strategy, f"{standing.rank:.2f} ({low:.2f} to {high:.2f})", *ranks, *regrets])
    return markdown(columns, lines)


def sentences(found: ranking.Comparison) -> str:
    """Returns how `auto` compares with the best single strategies."""
    lines = []
    for standing in found.standings:
        if standing.strategy == Auto.name or standing.behind is None:
            continue
        difference, low, high = standing.behind
        verdict = "behind auto" if low > 0 else "before auto" if high < 0 else "not told apart from auto"
        lines.append(f"- {standing.strategy}: {difference:+.2f} ({low:+.2f} to {high:+.2f}) ranks, {verdict}")
    return "\n".join(["Difference of the mean rank from that of `auto`, paired, with a 95 % interval:", "", *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, help="folder of published scores; without, nats_tss needs a table")
    parser.add_argument("--tables", type=Path, help="folder of SPACE-table/scores.npz, from rbflex-evo tabulate")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where rows, tables and pictures go")
    parser.add_argument("--minutes", type=float, default=60.0, help="time after which no search begins")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="most seeds of each space and score")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="unique evaluations of a search")
    parser.add_argument("--spaces", nargs="+", default=list(sources(None, None)), choices=list(sources(None, None)))
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--write-winners", type=Path, metavar="FILE", help="also write the table of winners, strategies/auto.json")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    who = contenders()
    rows = run_searches(options, who, options.folder / "strategies.jsonl")
    own = [contender.label for contender in who if contender.own]
    slow = {contender.label for contender in who if contender.slow}
    sizes = {space: source.searched.encoding.size for space, source in _sources(options.benchdata, options.tables).items()}
    parts: list[tuple[str, ranking.Comparison]] = []
    names = {(row.space, row.landscape) for row in rows}
    scales = {name: scale_of(options, space, name) for space, name in names}
    single = [row for row in rows if row.objectives == 1]
    fast = [row for row in single if row.strategy not in slow]
    parts.append(("One objective", ranking.compare(fast, own, sizes, scales)))
    few = [row for row in single if row.budget in SLOW_BUDGETS and row.seed < SLOW_SEEDS]
    if slow and few:
        parts.append(("Beside samplers of other libraries", ranking.compare(few, own, sizes, scales)))
    fronts = [row for row in rows if row.objectives == 2]
    if fronts:
        parts.append(("Two objectives: hypervolume", ranking.compare(fronts, own, sizes, scales)))
    texts = []
    for title, found in parts:
        counted = f"{found.landscapes} landscapes, {found.seeds} seeds, {found.blocks:,} searches of each strategy"
        texts += [f"## {title}", f"{counted}.", table(found), sentences(found)]
    winners = ranking.winners([row for row in rows if row.strategy in own], sizes)
    content: dict[str, Any] = {title: found.document() for title, found in parts}
    content["winners"] = winners
    rank_plot.draw(dict(parts), options.folder / "strategies.png")
    write(options.folder, "strategies", "Strategies with their defaults", "\n\n".join(texts), content)
    if options.write_winners is not None:
        made = {"command": "python -m benchmarks strategies", "date": date.today().isoformat(), "winners": winners}
        options.write_winners.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
