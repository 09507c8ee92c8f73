"""What the runs of a comparison say: pure functions from incumbents, scores and accuracies to parts of the document.

The incumbent of a run is the candidate that it would have returned at that moment. All incumbents are valued by one common
reference: the raw score where the objective is one score; else the rank aggregate over the
whole table (or, where nothing was tabulated, over all that any run evaluated). Score regret is how far an incumbent's value is
below the best one there is. Accuracies play no part in any of this; they are looked up when all runs are over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .document import AccuracySpread, Anytime, ContenderRow, Curve, PairTest, PairTests, RunSpread, Times
from .paired_tests import band, holm, paired

POINTS = 100
RESAMPLES = 1000
PERCENTILE = 0.99


@dataclass(frozen=True)
class RunCurve:
    """One finished run of a contender.

    Attributes:
        evaluations: Number of unique evaluations.
        changed: int64 [c], the evaluation (from 1) at which each incumbent was found.
        values: float64 [c], values of the incumbents by the common reference.
        accuracies: by data set float64 [c], in percent, NaN where unknown.
        keys: [c], keys of the incumbents.
        facts: Further columns of the table of runs.
    """

    label: str
    seed: int
    evaluations: int
    changed: np.ndarray
    values: np.ndarray
    accuracies: Mapping[str, np.ndarray]
    keys: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """The common reference of all incumbents.

    Attributes:
        values: float64 [K], values of all known architectures, NaN where one failed.
        best_accuracy: Best accuracy of the whole table by data set, in percent.
    """

    values: np.ndarray
    best_accuracy: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The best value."""
        return float(np.nanmax(self.values))

    @property
    def threshold(self) -> float:
        """The 99th percentile of the values."""
        return float(np.nanquantile(self.values, PERCENTILE))


def grid(budget: int) -> np.ndarray:
    """Returns the evaluations at which curves are drawn: 1 to the budget, equally far apart, at most `POINTS`."""
    return np.unique(np.linspace(1, budget, min(budget, POINTS)).round().astype(np.int64))


def at(curve: RunCurve, column: np.ndarray, evaluations: np.ndarray) -> np.ndarray:
    """Returns a column of the incumbents after those evaluations; NaN before the first one. A run that ended stays as it was."""
    positions = np.searchsorted(curve.changed, evaluations, side="right") - 1
    known = np.full(len(evaluations), np.nan)
    known[positions >= 0] = column[positions[positions >= 0]]
    return known


def anytime(curves: Mapping[str, Sequence[RunCurve]], reference: Reference, budget: int) -> Anytime:
    """Returns for every contender the inter-quartile means over its runs, with their bands, of value, regret and accuracies."""
    points = grid(budget)
    datasets = list(reference.best_accuracy)
    found = Anytime(
        evaluations=points.tolist(),
        score={},
        regret={},
        accuracy={dataset: {} for dataset in datasets},
        accuracy_regret={dataset: {} for dataset in datasets},
    )
    for label, runs in curves.items():
        if not runs:
            continue
        values = _band([at(run, run.values, points) for run in runs])
        found.score[label] = values
        found.regret[label] = _below(reference.best, values)
        for dataset in datasets:
            known = _band([at(run, run.accuracies[dataset], points) for run in runs])
            found.accuracy[dataset][label] = known
            found.accuracy_regret[dataset][label] = _below(reference.best_accuracy[dataset], known)
    return found


def _band(rows: Sequence[np.ndarray]) -> Curve:
    # Every contender has the same seed, so that equal runs have equal bands.
    found = band(np.array(rows), np.random.default_rng(0), RESAMPLES)
    mean, low, high = ([plain(value) for value in column] for column in (found.mean, found.low, found.high))
    return Curve(mean=mean, low=low, high=high)


def _below(best: float, values: Curve) -> Curve:
    mean, low, high = ([None if v is None else best - v for v in column] for column in (values.mean, values.high, values.low))
    return Curve(mean=mean, low=low, high=high)


def contender_rows(curves: Mapping[str, Sequence[RunCurve]], reference: Reference) -> list[ContenderRow]:
    """Returns one row a contender: its final values, accuracies, and how soon it reached the 99th percentile."""
    rows = []
    for label, runs in curves.items():
        finals = np.array([final(run, run.values) for run in runs])
        reached = [evaluations_to(run, reference.threshold) for run in runs]
        known = [number for number in reached if number is not None]
        rows.append(
            ContenderRow(
                label=label,
                runs=len(runs),
                score=spread(finals),
                regret=spread(reference.best - finals),
                reached=len(known),
                # A run that did not reach it took longer than any number; the median may still be finite.
                evaluations_to_99th_percentile=plain(np.median([np.inf if n is None else n for n in reached])) if runs else None,
                at_best=int(np.sum(finals == reference.best)),
                accuracy={name: _accuracy_row(runs, name, best) for name, best in reference.best_accuracy.items()},
                time=_times(runs),
            )
        )
    return rows


def _accuracy_row(runs: Sequence[RunCurve], dataset: str, best: float) -> AccuracySpread:
    row = spread(np.array([final(run, run.accuracies[dataset]) for run in runs]))
    return AccuracySpread(**dict(row), regret=None if row.mean is None else best - row.mean)


def final(run: RunCurve, column: np.ndarray) -> float:
    """Returns the last incumbent's entry of a column, NaN where every candidate of the run failed."""
    return float(column[-1]) if len(column) else float("nan")


def evaluations_to(run: RunCurve, threshold: float) -> int | None:
    """Returns the first evaluation after which the incumbent was worth at least the threshold; None where it never was."""
    there = np.flatnonzero(run.values >= threshold)
    return int(run.changed[there[0]]) if len(there) else None


def spread(values: np.ndarray) -> RunSpread:
    """Returns mean, deviation (of a sample), best, median and worst over the values that are not NaN."""
    there = values[np.isfinite(values)]
    if not len(there):
        return RunSpread(known=0)
    return RunSpread(
        mean=float(there.mean()),
        # The deviation of equal values is 0, not round-off.
        deviation=None if len(there) == 1 else float(there.std(ddof=1)) if np.ptp(there) else 0.0,
        best=float(there.max()),
        median=float(np.median(there)),
        worst=float(there.min()),
        known=len(there),
    )


def _times(runs: Sequence[RunCurve]) -> Times:
    """Returns milliseconds per evaluation, over the evaluations that were timed."""
    timed = sum(run.facts["time_evaluations"] for run in runs)
    if not timed:
        return Times()
    return Times(**{f"{part}_ms": 1e3 * sum(run.facts[f"time_{part}"] for run in runs) / timed for part in ("scoring", "strategy")})


def pairs(curves: Mapping[str, Sequence[RunCurve]], baselines: Sequence[str]) -> PairTests:
    """Returns the paired tests on score regret, runs of one seed being a pair.

    Args:
        curves: Runs of each contender, by label.
        baselines: Labels of random search. Every other contender is also tested against the first of them, as a separate family.
    """
    labels = list(curves)
    finals = {label: {run.seed: final(run, run.values) for run in runs} for label, runs in curves.items()}
    rows = [_pair(finals, first, second) for i, first in enumerate(labels) for second in labels[i + 1 :]]
    against = [_pair(finals, label, baselines[0]) for label in labels if label != baselines[0]] if baselines else []
    return PairTests(all=_corrected(rows), against_random=_corrected(against))


def _pair(finals: Mapping[str, Mapping[int, float]], first: str, second: str) -> PairTest:
    seeds = sorted(finals[first].keys() & finals[second].keys())
    # Regret is the best value minus the value, so that differences of values are those of regrets with the sign changed.
    one, two = (np.array([finals[label][seed] for seed in seeds]) for label in (first, second))
    both = np.isfinite(one) & np.isfinite(two)
    found = paired(one[both], two[both])
    return PairTest(first=first, second=second, seeds=int(both.sum()), **asdict(found))


def _corrected(rows: Sequence[PairTest]) -> list[PairTest]:
    corrected = iter(holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else row.model_copy(update={"p_holm": next(corrected)}) for row in rows]


def plain(value: float) -> float | None:
    """Returns a number as JSON holds it, None where it is none."""
    return float(value) if np.isfinite(value) else None
