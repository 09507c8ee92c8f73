"""Scores against known accuracies: how well each orders a sample or a whole space, and what taking its first would give.

    tabulate what the configuration scores, the members of presets and the baselines    resumable, one file of scores
    combine by rank over the whole correlated set: the objective, and each preset
    only then read the accuracies, and judge every score by `ordering.judge` against every table

    runs/<name>-correlate/  config.yaml · correlate.json · correlate.html (+ png)      next to runs/<name>-table/

Parameters, FLOPs, depth and random scores are always judged too, as baselines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly, open_table
from rbflex_evo.engine.configuration.config import Config, proxies_of
from rbflex_evo.engine.configuration.selection import Choice, read_choice
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.folder import opened
from rbflex_evo.engine.tabulation.sample import architectures_of
from rbflex_evo.engine.tabulation.score_table import ScoreTable, read_scores
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupt
from rbflex_evo.engine.terminal.messages import attempt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.data.batch import sources
from rbflex_evo.fitness.evaluation import Evaluation, keyed
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective, ObjectiveParameters, create_objective
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, Parameters, RunError, SearchSpace, TableError, near_name, parse
from rbflex_evo.spaces.isolation.settings import own_settings

from .columns import Accuracies, Column
from .document import Correlation, CorrelationDocument, Judged, JudgedTable, ScoreFacts, write_correlation
from .ordering import DRAWS, LEVEL, TOPS, judge

if TYPE_CHECKING:
    from rbflex_evo.spaces.tables.table import Table

# Baselines of every correlation: counted quantities and random scores.
COUNTS = ("params", "flops", "depth")
BASELINES = (*COUNTS, "random")
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
    wanted = _with_baselines(config)
    if scores is None and config.scores is not None:
        scores = Path(config.scores).expanduser()
    _check_enough(config, space)
    if scores is None:
        from rbflex_evo.engine.tabulation.tabulate import tabulate

        found = read_scores(tabulate(wanted, quiet=quiet))
        names = list(wanted.fitness.proxies)
    else:
        found = _given(scores, config, space)
        names = list(found.scores)
    columns = [*_columns(config, found, names), *_baselines(config, found, space, interrupt, quiet)]
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


def _with_baselines(config: Config) -> Config:
    """Adds what is judged but not in the configuration: the members of presets, and what can be counted."""
    proxies = dict(config.fitness.proxies)
    for added in (*(PRESETS.get(name).proxies for name in config.correlate.presets), {name: {} for name in COUNTS}):
        proxies = {**proxies, **proxies_of({name: values for name, values in added.items() if name not in proxies})}
    return _scoring(config, proxies)


def _scoring(config: Config, proxies: dict[str, Parameters]) -> Config:
    return config.model_copy(update={"fitness": config.fitness.model_copy(update={"proxies": proxies})})


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


def _columns(config: Config, table: ScoreTable, names: Sequence[str]) -> list[Column]:
    """Returns the single scores and their combinations; ranks are taken against all architectures of the table."""
    columns = [Column(name, "score", table.scores[name]) for name in names if name not in BASELINES]
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
        columns.append(Column(name, "combination", combine(objective, table.scores), about))
    return columns


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


def _baselines(config: Config, table: ScoreTable, space: SearchSpace, interrupt: Interrupt, quiet: bool) -> list[Column]:
    scores = dict(table.scores)
    missing = [name for name in COUNTS if name not in scores]
    if missing:
        counting = _scoring(config, proxies_of({name: {} for name in missing}))
        scores |= _counted(counting, table.architectures, space, interrupt, quiet)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.correlate.seed, spawn_key=(1,))))
    scores["random"] = rng.random(len(table.architectures))
    return [Column(name, "baseline", scores[name]) for name in BASELINES]


def _counted(
    config: Config, architectures: Sequence[str], space: SearchSpace, interrupt: Interrupt, quiet: bool
) -> dict[str, np.ndarray]:
    """Returns scores that read no image, of a table that lacks them."""
    from rbflex_evo.fitness.data.inputs import default_data

    data = read_choice({**default_data(space), "n": 2, "seed": 0}, "data", "source", sources)
    parts = Assembly(config.model_copy(update={"workers": 1, "data": data}))
    genotypes = [space.parse(notation) for notation in architectures]
    evaluations = []
    with (
        parts.evaluator() as evaluator,
        Progress("baselines", len(genotypes), unit="network", shown=not quiet) as progress,
    ):
        for evaluation in evaluator.evaluate(keyed(evaluator, genotypes)):
            evaluations.append(evaluation)
            progress.advance()
            interrupt.check()
    return {name: np.array([one.scores.get(name, np.nan) for one in evaluations]) for name in config.fitness.proxies}


def _known(table: Table, source: str, architectures: Sequence[str], interrupt: Interrupt, quiet: bool) -> Accuracies:
    accuracies = np.full(len(architectures), np.nan)
    with Progress(f"accuracies of {table.dataset}", len(architectures), unit="architecture", shown=not quiet) as progress:
        for i, notation in enumerate(architectures):
            accuracy = table.accuracy(notation)
            accuracies[i] = np.nan if accuracy is None else accuracy
            progress.advance()
            interrupt.check()
    known = int(np.isfinite(accuracies).sum())
    if known < FEWEST:
        raise TableError(
            f"table {source!r} of {table.dataset} knows {known} of the {len(architectures):,} architectures, but correlate "
            f"needs at least {FEWEST} that it knows; enlarge the sample (sample: {{size: ...}}), or list some that it knows "
            "(sample: {file: ...})"
        )
    return Accuracies(table.dataset, source, accuracies)


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
    tables = []
    with Progress("bootstrap", len(columns) * len(known), unit="score", shown=not quiet) as progress:
        for one in known:
            there = np.isfinite(one.values)
            accuracies = one.values[there]
            judged: Judged = {}
            for column in columns:
                judged[column.name] = judge(
                    column.values[there],
                    accuracies,
                    resamples=config.correlate.resamples,
                    seed=config.correlate.seed,
                )
                progress.advance()
                interrupt.check()
            tables.append(
                JudgedTable(
                    dataset=one.dataset,
                    source=one.source,
                    known=int(there.sum()),
                    best=float(accuracies.max()),
                    mean=float(accuracies.mean()),
                    scores=judged,
                )
            )
    return CorrelationDocument(
        name=config.name,
        space=space.name,
        architectures=len(table.architectures),
        networks=len(set(table.keys)),
        sample=None if config.sample is None else config.sample.model_dump(mode="json", exclude_none=True),
        resamples=config.correlate.resamples,
        seed=config.correlate.seed,
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
