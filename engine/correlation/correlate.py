"""Scores against known accuracies: how well each orders a sample or a whole space, and what taking its first would give.

    tabulate what the configuration scores, the members of presets and the baselines    resumable, one file of scores
    combine by rank over the whole correlated set: the objective, and each preset
    only then read the accuracies, and judge every score by `ordering.judge` against every table

    runs/<name>-correlate/  config.yaml · correlate.json · correlate.html (+ png)      next to runs/<name>-table/

Every count of the registry and random scores are always judged too (`baselines`), and `judgement` says which scores are above all
counts. With several weight seeds, scores are tabulated once a seed, and their agreement is reported as well (`ceiling`):

    runs/<name>-seed<s>-table/      scores under each further weight seed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.agreement.kendall import LEVEL, Statistic
from rbflex_evo.engine.configuration.assembly import Assembly, open_table
from rbflex_evo.engine.configuration.config import Config, proxies_of
from rbflex_evo.engine.configuration.selection import Choice
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.folder import opened
from rbflex_evo.engine.tabulation.sample import architectures_of
from rbflex_evo.engine.tabulation.score_table import ScoreTable, read_scores
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupt
from rbflex_evo.engine.terminal.messages import attempt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective, ObjectiveParameters, create_objective
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, RunError, SearchSpace, TableError, near_name, parse
from rbflex_evo.spaces.isolation.settings import own_settings

from .baselines import RANDOM, baselines, counts_of, scoring
from .ceiling import ceiling, repeatability
from .columns import Accuracies, Column, Kind
from .document import Correlation, CorrelationDocument, Judged, JudgedTable, ScoreFacts, write_correlation
from .judgement import judge_scores, kendall_of
from .ordering import DRAWS, TOPS, judge

if TYPE_CHECKING:
    from rbflex_evo.spaces.tables.table import Table

FEWEST = 3


@own_settings()
def correlate(config: Config, scores: Path | None = None, *, quiet: bool = False, page: bool = True) -> Correlation:
    """Judges the configuration's scores against its tables and leaves the numbers, and a page, in a folder.

    Args:
        config: Configuration with scores, tables and a sample.
        scores: Table of scores that is judged instead of measuring; by default the configuration's ``scores``.
        quiet: Shows no progress.
        page: Writes correlate.html and its figures at the end.

    Raises:
        ConfigError: if there is no table of accuracies, the sample is larger than the space, or `scores` lacks something.
        TableError: if a table of accuracies is of another space, or knows too few of the architectures.
        RunError: if a folder is another's, or `scores` is no table of scores of this space.
        Interrupted, Stopped: after Ctrl-C or another stop signal; the same call resumes.
    """
    with Interrupt() as interrupt:
        try:
            return _correlate(config, scores, interrupt, quiet, page)
        except STOPS:
            raise interrupt.stop("stopped; what is scored is kept, the same command resumes") from None


def _correlate(config: Config, scores: Path | None, interrupt: Interrupt, quiet: bool, page: bool) -> Correlation:
    space = Assembly(config).space
    tables = _tables(config, space)
    counts = counts_of(space)
    wanted = _with_baselines(config, counts)
    if scores is None and config.scores is not None:
        scores = Path(config.scores).expanduser()
    _check_enough(config, space)
    _check_seeds(config, scores)
    if scores is None:
        from rbflex_evo.engine.tabulation.tabulate import tabulate

        found = read_scores(tabulate(wanted, quiet=quiet))
        names = [name for name in wanted.fitness.proxies if name not in counts]
        others = _reseeded(scoring(wanted, {name: wanted.fitness.proxies[name] for name in names})) if names else []
        reseeded = [read_scores(tabulate(one, quiet=quiet)) for one in others]
    else:
        found = _given(scores, config, space)
        names = [name for name in found.scores if name not in (*counts, RANDOM)]
        reseeded = []
    judged = _columns(config, found, names, reseeded)
    columns = [*judged, *baselines(config, found, space, counts, interrupt, quiet)]
    with opened(config.folder.with_name(f"{config.folder.name}-correlate")) as folder:
        if not folder.config.exists():
            folder.check_owner(config)
        folder.write_config(config)
        # Only now, with nothing left to score, are accuracies read.
        known = [_known(table, source, found.architectures, interrupt, quiet) for source, table in tables]
        document = _document(config, space, found, columns, known, interrupt, quiet)
        if scores is not None and config.sample is None:
            document = document.model_copy(update={"sample": {"file": str(scores)}})
        write_correlation(folder.path, document)
        result = Correlation(folder.path, columns, known, document)
        if page:
            from .page import write_page

            config_text = folder.config.read_text(encoding="utf-8")
            attempt("page was written", "the same command", lambda: write_page(result, config_text))
    return result


def _tables(config: Config, space: SearchSpace) -> list[tuple[str, Table]]:
    """Opens every table, which makes sure that it is of this space, and returns it with its source's name."""
    choices: list[Choice] = [*([] if config.table is None else [config.table]), *config.correlate.tables]
    if not choices:
        raise ConfigError(
            "correlate compares scores with known accuracies, but no table is set; "
            "set table: {source: ...} (rbflex-evo list tables)"
        )
    tables = []
    for choice in choices:
        tables.append((choice.name, open_table(choice, space)))
    datasets = [table.dataset for _, table in tables]
    twice = next((name for name in datasets if datasets.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two tables are both called {twice!r}; set 'dataset' of one of them")
    return tables


def _check_enough(config: Config, space: SearchSpace) -> None:
    """Checks before anything is scored that the sample is large enough."""
    count = FEWEST if config.sample is None else len(architectures_of(config, space))
    if count < FEWEST:
        raise ConfigError(
            f"correlate needs at least {FEWEST} architectures, but the sample has {count}; "
            "set a larger one (sample: {size: ...}), or list more (sample: {file: ...})"
        )


def _check_seeds(config: Config, scores: Path | None) -> None:
    if scores is not None and config.correlate.seeds > 1:
        raise ConfigError(
            f"correlate.seeds is {config.correlate.seeds}, but the table of scores {str(scores)!r} has one seed of weights; "
            "set correlate.seeds=1, or measure without a table of scores"
        )


def weight_seeds(config: Config) -> list[int]:
    """Returns the weight seeds of a correlation, the configured one first."""
    first = config.fitness.weights.seed
    return list(range(first, first + config.correlate.seeds))


def _reseeded(config: Config) -> list[Config]:
    """Returns the configuration of each further weight seed, in a folder of its own."""
    found = []
    for seed in weight_seeds(config)[1:]:
        weights = config.fitness.weights.model_copy(update={"seed": seed})
        fitness = config.fitness.model_copy(update={"weights": weights})
        found.append(config.model_copy(update={"name": f"{config.name}-seed{seed}", "fitness": fitness}))
    return found


def _with_baselines(config: Config, counts: Sequence[str]) -> Config:
    """Adds what is judged but not in the configuration: the members of presets, and what can be counted."""
    proxies = dict(config.fitness.proxies)
    for added in (*(PRESETS.get(name).proxies for name in config.correlate.presets), {name: {} for name in counts}):
        proxies = {**proxies, **proxies_of({name: values for name, values in added.items() if name not in proxies})}
    return scoring(config, proxies)


def _given(path: Path, config: Config, space: SearchSpace) -> ScoreTable:
    """Reads a table of scores and takes the configuration's sample out of it, if there is one."""
    table = read_scores(path)
    if table.space != space.name:
        raise RunError(f"{str(path)!r} holds scores of the space {table.space!r}, but the configuration's is {space.name!r}")
    wanted = [*config.fitness.proxies, *(name for preset in config.correlate.presets for name in PRESETS.get(preset).members)]
    for name in wanted:
        if name not in table.scores:
            raise ConfigError(f"{str(path)!r} has no score {name!r}{near_name(name, table.scores)}")
    if config.sample is None:
        return table
    rows = {notation: row for row, notation in enumerate(table.architectures)}
    chosen = [space.notation(genotype) for genotype in architectures_of(config, space)]
    missing = [notation for notation in chosen if notation not in rows]
    if missing:
        raise ConfigError(
            f"{str(path)!r} lacks {len(missing):,} of the sample's {len(chosen):,} architectures, such as {missing[0]!r}; "
            "drop 'sample' to take those that it has"
        )
    at = [rows[notation] for notation in chosen]
    return ScoreTable(table.space, chosen, [table.keys[i] for i in at], {name: values[at] for name, values in table.scores.items()})


def _columns(config: Config, table: ScoreTable, names: Sequence[str], reseeded: Sequence[ScoreTable]) -> list[Column]:
    """Returns the single scores and their combinations; ranks are taken against all architectures of the table."""
    # Counts are the same for every weight seed.
    scores = [table.scores, *({**table.scores, **one.scores} for one in reseeded)]
    columns = [_column(name, "score", [one[name] for one in scores]) for name in names]
    combined = {}
    objective = Assembly(config).objective
    if objective.rule in ("linear", "log"):
        combined[config.fitness.preset or "objective"] = objective
    for name in config.correlate.presets:
        preset = PRESETS.get(name)
        parameters = parse(ObjectiveParameters, preset.objective, f"presets.{name}")
        combined.setdefault(name, create_objective(parameters, preset.proxies))
    for name, objective in combined.items():
        about = f"{objective.rule}: {', '.join(objective.members)}"
        columns.append(_column(name, "combination", [combine(objective, one) for one in scores], about))
    return columns


def _column(name: str, kind: Kind, values: Sequence[np.ndarray], about: str = "") -> Column:
    return Column(name, kind, values[0], about, tuple(values[1:]))


def combine(objective: Objective, scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the utilities [A] of a combination by rank, taken against all A candidates; NaN where a member failed.

    Args:
        objective: Combination by rank.
        scores: Scores of each member, float64 [A], NaN where it failed.
    """
    rows = np.stack([scores[member] for member in objective.members], axis=1)
    evaluations = []
    for i, row in enumerate(rows):
        values = dict(zip(objective.members, row.tolist(), strict=True))
        there = {name: value for name, value in values.items() if np.isfinite(value)}
        evaluations.append(Evaluation((), str(i), there, {name: "failed" for name in values if name not in there}))
    view = ArchiveView.of(replace(objective, reference="archive"), evaluations)
    utilities = view.utility([str(i) for i in range(len(rows))])
    return np.where(np.isneginf(utilities), np.nan, utilities)


def _known(table: Table, source: str, architectures: Sequence[str], interrupt: Interrupt, quiet: bool) -> Accuracies:
    accuracies = np.full(len(architectures), np.nan)
    runs = []
    with Progress(f"accuracies of {table.dataset}", len(architectures), unit="architecture", shown=not quiet) as progress:
        for i, notation in enumerate(architectures):
            accuracy = table.accuracy(notation)
            accuracies[i] = np.nan if accuracy is None else accuracy
            runs.append(table.runs(notation))
            progress.advance()
            interrupt.check()
    known = int(np.isfinite(accuracies).sum())
    if known < FEWEST:
        raise TableError(
            f"table {source!r} of {table.dataset} knows {known} of the {len(architectures):,} architectures, but correlate "
            f"needs at least {FEWEST} that it knows; enlarge the sample (sample: {{size: ...}}), or list some that it knows "
            "(sample: {file: ...})"
        )
    trained = np.full((len(architectures), max(map(len, runs))), np.nan)
    for i, values in enumerate(runs):
        trained[i, : len(values)] = values
    return Accuracies(table.dataset, source, accuracies, trained)


def _document(
    config: Config,
    space: SearchSpace,
    table: ScoreTable,
    columns: Sequence[Column],
    known: Sequence[Accuracies],
    interrupt: Interrupt,
    quiet: bool,
) -> CorrelationDocument:
    """Judges every score against every table."""
    with Progress("bootstrap", 2 * len(columns) * len(known), unit="score", shown=not quiet) as progress:

        def step() -> None:
            progress.advance()
            interrupt.check()

        tables = [_judged(config, columns, one, step) for one in known]
    return CorrelationDocument(
        name=config.name,
        space=space.name,
        architectures=len(table.architectures),
        networks=len(set(table.keys)),
        sample=None if config.sample is None else config.sample.model_dump(mode="json", exclude_none=True),
        resamples=config.correlate.resamples,
        seed=config.correlate.seed,
        weight_seeds=weight_seeds(config),
        level=LEVEL,
        tops=list(TOPS),
        draws=list(DRAWS),
        scores={
            column.name: ScoreFacts(kind=column.kind, about=column.about, failed=int(np.isnan(column.values).sum()))
            for column in columns
        },
        tables=tables,
        environment=environment(),
    )


def _judged(config: Config, columns: Sequence[Column], known: Accuracies, step: Callable[[], None]) -> JudgedTable:
    """Judges every score against one table."""
    there = np.isfinite(known.values)
    accuracies = known.values[there]
    values = {kind: {c.name: c.values[there] for c in columns if (c.kind == "count") == kind} for kind in (False, True)}
    resamples, seed = config.correlate.resamples, config.correlate.seed
    found = judge_scores(values[False], values[True], accuracies, step=step, resamples=resamples, seed=seed)
    scores: Judged = {}
    for column in columns:
        one = found.scores[column.name]
        statistics = judge(column.values[there], accuracies, resamples=resamples, seed=seed)
        scores[column.name] = {**statistics, "kendall_one_size": one.of_one_size, "kendall_given_size": one.given_size}
        if column.reseeded:
            seeds = np.array([column.values, *column.reseeded])[:, there]
            scores[column.name] |= {
                "kendall_of_mean": kendall_of(seeds.mean(axis=0), accuracies, resamples=resamples, seed=seed),
                "repeatability": Statistic(repeatability(seeds)),
            }
        step()
    return JudgedTable(
        dataset=known.dataset,
        source=known.source,
        known=int(there.sum()),
        best=float(accuracies.max()),
        mean=float(accuracies.mean()),
        best_count=found.best_count,
        pairs_of_one_size=found.pairs_of_one_size,
        ceiling=ceiling(known.runs[there]),
        verdicts={name: found.scores[name].verdict for name in values[False]},
        scores=scores,
    )
