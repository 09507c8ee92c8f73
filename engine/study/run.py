"""The runs of a comparison over several settings. Each setting is an ordinary comparison in a folder of its own.

    runs/<name>-compare/  config.yaml · <setting>-compare/ (an ordinary comparison) · study.md, .json, .html, .csv, runs.csv

Settings that differ in the budget alone begin with the smallest one, and runs that measure go on from there to the next budget, so
that nothing is measured twice. Their incumbents are valued by one reference: the table of scores, or all that any of their runs
evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from rbflex_evo.engine.comparison.compare import Runs, jobs_of, run_all
from rbflex_evo.engine.comparison.plan import folder_of, open_tables, run_config
from rbflex_evo.engine.comparison.run import trace_path
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.compare_settings import Setting, settings_of
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.run.folder import RunFolder, opened
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import RbflexEvoError, RunError


@dataclass(frozen=True)
class StudyRuns:
    """All runs of a comparison over several settings.

    Attributes:
        folder: Folder of the whole comparison.
        settings: The settings, each with a configuration whose runs are in `folder`.
        runs: Runs of each setting, in the same order.
    """

    folder: Path
    settings: list[Setting]
    runs: list[Runs]


def run_settings(config: Config, *, quiet: bool = False) -> StudyRuns:
    """Runs the missing runs of all settings and returns all runs.

    Raises:
        RunError: If a folder holds runs of another configuration.
        Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        RbflexEvoError: If a space, a table, the images or the device are not as they should be.
    """
    settings = [_placed(setting, folder_of(config)) for setting in settings_of(config)]
    problems = list(_problems(settings))
    for first, *_ in problems:
        _check(first)
    with opened(folder_of(config)) as folder, Interrupt() as interrupt:
        _check_owner(folder)
        folder.write_config(config)
        found: dict[str, Runs] = {}
        total = sum(len(jobs_of(setting.config.plan())) for setting in settings)
        with Progress("compare", total, initial=_finished(settings), unit="run", shown=not quiet) as progress:
            try:
                for problem in problems:
                    found |= _run_problem(problem, progress)
            except STOPS:
                done = _finished(settings)
                raise interrupt.stop(f"stopped after {done} of {total} runs, all saved; the same command resumes") from None
        return StudyRuns(folder.path, settings, [found[setting.label] for setting in settings])


def _placed(setting: Setting, folder: Path) -> Setting:
    return replace(setting, config=setting.config.model_copy(update={"runs": str(folder)}))


def _check(setting: Setting) -> None:
    """Checks that the parts of a setting exist and belong together, before the first run of any setting.

    Raises:
        RbflexEvoError: If they do not; the message names the setting.
    """
    try:
        parts = Assembly(setting.config)
        open_tables(setting.config.plan(), parts.space)
        if setting.config.scores is not None:
            parts.tabulated()
        else:
            parts.batch  # noqa: B018 (made to be checked)
    except RbflexEvoError as error:
        error.args = (f"{setting.problem}: {error}",)
        raise


def _check_owner(folder: RunFolder) -> None:
    strangers = [path for path in folder.path.iterdir() if not path.name.startswith(".")]
    alone = any(path.is_dir() and not path.name.endswith("-compare") for path in strangers)
    if folder.journal.exists() or (strangers and (alone or not folder.config.exists())):
        raise RunError(f"{folder.path} holds no comparison of several settings; give this one another name (--set name=...)")


def _problems(settings: Sequence[Setting]) -> Iterator[list[Setting]]:
    """Yields the settings that differ in the budget alone, the smallest budget first."""
    for _, group in groupby(settings, key=lambda setting: setting.problem):
        yield sorted(group, key=lambda setting: setting.budget)


def _run_problem(problem: Sequence[Setting], progress: Progress) -> dict[str, Runs]:
    found: dict[str, Runs] = {}
    for i, setting in enumerate(problem):
        found[setting.label] = run_all(setting.config, shorter=[other.config for other in problem[:i]], progress=progress)
    pools = [runs.pool for runs in found.values()]
    pool = _merged([pool for pool in pools if pool is not None]) if None not in pools else None
    return {label: replace(runs, pool=pool) for label, runs in found.items()}


def _merged(pools: Sequence[Sequence[Evaluation]]) -> list[Evaluation]:
    first: dict[str, Evaluation] = {}
    for evaluation in (evaluation for pool in pools for evaluation in pool):
        first.setdefault(evaluation.key, evaluation)
    return list(first.values())


def _finished(settings: Sequence[Setting]) -> int:
    """Returns the number of runs that have a trace."""
    return sum(
        trace_path(run_config(setting.config, job.contender, job.seed)).exists()
        for setting in settings
        for job in jobs_of(setting.config.plan())
    )
