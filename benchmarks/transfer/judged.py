"""Kendall's tau-b of scores and presets in every setting of a transfer matrix, and what it comes to over families.

    figure of a setting    mean over its tasks and the seeds of the weights
    figure of a family     mean over its settings
    mean, worst            over the families, of which each counts once

A failed network ranks last. Where tau is undefined, because a score is not served or is the same for all networks, it orders
nothing and counts as 0. A preset's ranks are those among the measured networks of the setting, its reference set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.shared.score_tables import Choice, worth
from rbflex_evo.engine.correlation import ordering
from rbflex_evo.engine.correlation.judgement import kendall_of
from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.objective.presets import PRESETS

from .stored import Measurements, Transfer

RESAMPLES = 300


@dataclass(frozen=True)
class Figures:
    """Figures of one score or preset.

    Attributes:
        by_task: Tau by (setting, task), mean over the seeds; NaN where it is undefined.
        by_family: Figure by family; undefined figures count as 0.
        mean: Mean over the families that are used to choose.
        worst: Smallest figure of these families.
    """

    by_task: Mapping[tuple[str, str], float]
    by_family: Mapping[str, float]
    mean: float
    worst: float


def families(transfer: Transfer, choosing: bool = True) -> dict[str, list[str]]:
    """Returns the settings of each family, by default without settings that are only shown."""
    found: dict[str, list[str]] = {}
    for name in transfer.settings:
        facts = transfer.document["settings"][name]
        if (facts["choosing"] or not choosing) and complete(transfer.settings[name]).sum() > 1:
            found.setdefault(facts["family"], []).append(name)
    return found


def finished(one: Measurements) -> np.ndarray:
    """Returns the positions of the first seed and of each seed with as many networks; a seed that was begun does not count."""
    counts = one.measured.sum(axis=1)
    return np.flatnonzero(counts == counts[0])


def complete(one: Measurements) -> np.ndarray:
    """Returns bool [networks], whether each was measured with every finished seed and has every accuracy."""
    found: np.ndarray = one.measured[finished(one)].all(axis=0) & np.isfinite(one.accuracies).all(axis=0)
    return found


def is_count(name: str) -> bool:
    """Returns True if a registered score counts something of the architecture, such as parameters."""
    found: bool = PROXIES.get(name).is_count
    return found


def choices(transfer: Transfer) -> list[Choice]:
    """Returns every score, and every preset whose members were measured with its parameters."""
    labels = {(name, str(parameters)): label for label, (name, parameters) in transfer.document["scores"].items()}
    found = [Choice(label, (label,)) for label in transfer.scores]
    for name in PRESETS.names():
        preset = PRESETS.get(name)
        members = [labels.get((member, str(dict(preset.parameters.get(member, {}))))) for member in preset.members]
        if None not in members:
            found.append(Choice(name, tuple(map(str, members)), preset.rule, preset.weights))
    return found


def taus(transfer: Transfer, choice: Choice) -> dict[tuple[str, str], float]:
    """Returns tau by (setting, task), the mean over the seeds, NaN where it is undefined."""
    columns = [transfer.scores.index(label) for label in choice.members]
    found = {}
    for name, one in transfer.settings.items():
        kept = complete(one)
        if kept.sum() < 2:
            continue
        values = [worth(choice, np.moveaxis(scores[kept][:, columns], 1, 0)) for scores in one.scores[finished(one)]]
        for task, accuracies in zip(one.tasks.tolist(), one.accuracies[:, kept], strict=True):
            found[name, task] = float(np.mean([ordering.kendall(ordering.ranked(each), accuracies) for each in values]))
    return found


def by_seed(transfer: Transfer, choice: Choice) -> dict[tuple[str, str], list[ordering.Statistic]]:
    """Returns tau with its 95 % interval by (setting, task): of each finished seed, and at the end of the mean over these seeds."""
    columns = [transfer.scores.index(label) for label in choice.members]
    found = {}
    for name, one in transfer.settings.items():
        kept = complete(one)
        if kept.sum() < 2:
            continue
        scores = one.scores[finished(one)][:, kept][:, :, columns]
        values = [worth(choice, np.moveaxis(each, 1, 0)) for each in (*scores, scores.mean(axis=0))]
        for task, accuracies in zip(one.tasks.tolist(), one.accuracies[:, kept], strict=True):
            found[name, task] = [kendall_of(each, accuracies, resamples=RESAMPLES) for each in values]
    return found


def figures(transfer: Transfer, choice: Choice) -> Figures:
    """Returns the figures of a score or preset."""
    by_task = taus(transfer, choice)
    by_setting = {
        name: float(np.nan_to_num([tau for (setting, _), tau in by_task.items() if setting == name]).mean())
        for name in {setting for setting, _ in by_task}
    }
    by_family = {family: float(np.mean([by_setting[name] for name in of])) for family, of in families(transfer, False).items()}
    counted = [by_family[family] for family in families(transfer)] or [float("nan")]
    return Figures(by_task, by_family, float(np.mean(counted)), float(np.min(counted)))
