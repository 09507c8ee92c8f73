"""From the runs of a comparison over several settings to its document: the documents of the settings, ranks, tests, profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rbflex_evo.engine.comparison.document import ComparisonDocument, ContenderRow
from rbflex_evo.engine.comparison.facts import judged
from rbflex_evo.engine.comparison.judgement import Reference, plain
from rbflex_evo.engine.comparison.paired_tests import holm, paired
from rbflex_evo.engine.comparison.plan import folder_of
from rbflex_evo.engine.configuration.compare_settings import Setting
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.run.environment import environment

from .document import (
    FailedSettingRun,
    FriedmanTest,
    MeanRank,
    Profiles,
    SettingPair,
    SettingRow,
    Staircase,
    Standing,
    StudyDocument,
)
from .profiles import distances, profile, ratios
from .ranks import LEVEL, critical_difference, friedman, groups_of, ranks_of, rounded
from .run import StudyRuns


def documents_of(runs: StudyRuns) -> Iterator[tuple[Path, ComparisonDocument, Reference]]:
    """Yields the folder, the document and the common reference of each setting, in the order of the settings.

    Raises:
        RunError: If no run of a setting has finished, or every candidate of it failed.
    """
    for setting, found in zip(runs.settings, runs.runs, strict=True):
        document, reference = judged(setting.config, found)
        yield folder_of(setting.config), document, reference


def study_of(
    config: Config, settings: Sequence[Setting], documents: Sequence[tuple[ComparisonDocument, Reference]]
) -> StudyDocument:
    """Returns all that the files of a comparison over several settings say.

    Args:
        config: Configuration of the whole comparison.
        settings: The settings.
        documents: Document and reference of each setting, in the same order.
    """
    regrets = rounded(_matrix(documents, lambda row: row.regret.mean))
    ranks = ranks_of(regrets)
    scales = np.array([scale_of(reference) for _, reference in documents])
    relative = regrets / scales[:, None]
    labels = [row.label for row in documents[0][0].contenders]
    difference = critical_difference(len(labels), len(settings))
    test = friedman(ranks)
    means = ranks.mean(axis=0)
    groups = [] if difference is None else groups_of(means.tolist(), difference)
    rows = [
        _setting(*given, float(scale), of.tolist())
        for given, scale, of in zip(zip(settings, documents, strict=True), scales, ranks, strict=True)
    ]
    return StudyDocument(
        name=config.name,
        seeds=documents[0][0].seeds,
        level=LEVEL,
        settings=rows,
        ranks=_mean_ranks(documents[0][0].contenders, settings, ranks, relative),
        friedman=None if test is None else FriedmanTest(**asdict(test)),
        critical_difference=difference,
        groups=[[labels[position] for position in group] for group in groups],
        pairs=_pairs(labels, relative, means),
        profiles=_profiles(labels, relative, _matrix(documents, lambda row: row.evaluations_to_99th_percentile)),
        runs=[
            {"setting": setting.label, **run}
            for setting, (document, _) in zip(settings, documents, strict=True)
            for run in document.runs
        ],
        failures=[
            FailedSettingRun(setting=setting.label, label=failure.label, seed=failure.seed, reason=failure.reason)
            for setting, (document, _) in zip(settings, documents, strict=True)
            for failure in document.failures
        ],
        environment=environment(),
    )


def scale_of(reference: Reference) -> float:
    """Returns the best value minus the median of the architectures; the whole range where half of them have the best value."""
    known = reference.values[np.isfinite(reference.values)]
    return float(known.max() - np.median(known)) or float(np.ptp(known)) or 1.0


def _matrix(
    documents: Sequence[tuple[ComparisonDocument, Reference]], number: Callable[[ContenderRow], float | None]
) -> np.ndarray:
    """Returns a number of every contender in every setting, float64 [settings, contenders], NaN where there is none."""
    return np.array([[number(row) for row in document.contenders] for document, _ in documents], dtype=np.float64)


def _setting(setting: Setting, judgement: tuple[ComparisonDocument, Reference], scale: float, ranks: Sequence[float]) -> SettingRow:
    document, _ = judgement
    return SettingRow(
        label=setting.label,
        space=setting.space,
        objective=setting.objective,
        budget=setting.budget,
        folder=folder_of(setting.config).name,
        best=document.reference.best,
        best_of=document.reference.of,
        architectures=document.reference.architectures,
        scale=scale,
        contenders=[
            Standing(
                label=row.label,
                rank=rank,
                regret=row.regret.mean,
                relative_regret=None if row.regret.mean is None else row.regret.mean / scale,
                evaluations_to_99th_percentile=row.evaluations_to_99th_percentile,
                at_best=row.at_best,
                runs=row.runs,
                failed=row.failed,
            )
            for row, rank in zip(document.contenders, ranks, strict=True)
        ],
    )


def _mean_ranks(
    contenders: Sequence[ContenderRow], settings: Sequence[Setting], ranks: np.ndarray, relative: np.ndarray
) -> list[MeanRank]:
    first = ranks.min(axis=1)
    parts = list(_parts(settings))
    rows = []
    for i, row in enumerate(contenders):
        known = relative[:, i][np.isfinite(relative[:, i])]
        rows.append(
            MeanRank(
                label=row.label,
                mean_rank=float(ranks[:, i].mean()),
                parts={name: float(ranks[of, i].mean()) for name, of in parts},
                first=int(np.sum(ranks[:, i] == first)),
                relative_regret=plain(known.mean()) if len(known) else None,
                strategy=row.strategy,
                parameters=row.parameters,
            )
        )
    return rows


def _parts(settings: Sequence[Setting]) -> Iterator[tuple[str, list[int]]]:
    """Yields the settings of each budget, space and objective, where there are several, by its name."""
    for axis in ("budget", "space", "objective"):
        values = list(dict.fromkeys(getattr(setting, axis) for setting in settings))
        if len(values) > 1:
            for value in values:
                yield f"{axis} {value}", [i for i, setting in enumerate(settings) if getattr(setting, axis) == value]


def _pairs(labels: Sequence[str], relative: np.ndarray, means: np.ndarray) -> list[SettingPair]:
    """Returns the tests of all pairs over the settings in which both have a value."""
    rows = []
    for i, first in enumerate(labels):
        for j in range(i + 1, len(labels)):
            both = np.isfinite(relative[:, i]) & np.isfinite(relative[:, j])
            # Less regret is better, and `paired` takes more as better.
            found = paired(-relative[both, i], -relative[both, j])
            row = SettingPair(
                first=first,
                second=labels[j],
                settings=int(both.sum()),
                mean_rank_difference=float(means[i] - means[j]),
                **asdict(found),
            )
            rows.append(row)
    corrected = iter(holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else row.model_copy(update={"p_holm": next(corrected)}) for row in rows]


def _profiles(labels: Sequence[str], relative: np.ndarray, evaluations: np.ndarray) -> Profiles:
    evaluations = np.where(np.isinf(evaluations), np.nan, evaluations)
    return Profiles(relative_regret=_staircases(labels, distances(relative)), evaluations=_staircases(labels, ratios(evaluations)))


def _staircases(labels: Sequence[str], measures: np.ndarray) -> dict[str, Staircase]:
    found = {label: profile(measures[:, i]) for i, label in enumerate(labels)}
    return {label: Staircase(bounds=one.bounds.tolist(), shares=one.shares.tolist()) for label, one in found.items()}
