"""Whether a score tells more than counting does: Kendall at equal size, given size, on the top, and a verdict.

    kendall       tau-b over all networks
    of_one_size   tau-b over the pairs whose parameters differ by less than 10 % of the larger number
    given_size    partial tau given params and FLOPs
    top           tau-b among the 10 % of the networks that are best by accuracy
    verdict       Kendall of the score minus that of the best count, in the same resamples (a paired bootstrap over networks):
                  above if its 95 % interval lies above 0, below if it lies below 0, within noise otherwise

The best count is the one with the highest Kendall over all networks. If no count orders these networks, because all have one
size, a score is compared with 0. A failed score ranks below all others, all failed ones tied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rbflex_evo.engine.agreement.kendall import Statistic, ranked, resample, with_interval

from .ordering import kendall_top
from .pairs import pairs_of_one_size, partial, taus, taus_of_one_size

TOP = 10
SIZES = ("params", "flops")


@dataclass(frozen=True)
class Verdict:
    """A score beside the best count.

    Attributes:
        kind: Above the best count, and so above all; below it; or within noise of it.
        count: Name of the best count; None if no count orders the networks, and the score is compared with 0.
        difference: Kendall of the score minus that of the count, with its paired interval.
    """

    kind: Literal["above", "below", "within"]
    count: str | None
    difference: Statistic

    @property
    def text(self) -> str:
        """The verdict as a line, with the difference and its interval."""
        one = self.difference
        interval = "" if one.low is None or one.high is None else f" [{one.low:+.3f}, {one.high:+.3f}]"
        size = f"{one.value:+.3f}{interval}"
        if self.count is None:
            what = {"above": "above chance", "below": "below chance", "within": "within noise of chance"}[self.kind]
            return f"{what}, {size}; no count orders these networks"
        if self.kind == "above":
            return f"above all counts, {size} over {self.count}"
        return f"{'below' if self.kind == 'below' else 'within noise of'} {self.count}, {size}"


@dataclass(frozen=True)
class ScoreJudgement:
    """What one score, or one count, tells; a statistic that is undefined has the value None.

    Attributes:
        kendall: Kendall over all networks.
        of_one_size: Kendall over the pairs of networks of one size.
        given_size: Partial Kendall given params and FLOPs.
        top: Kendall on the top 10 %, without an interval.
        verdict: The score beside the best count; None for a count, and for a score whose Kendall is undefined.
    """

    kendall: Statistic
    of_one_size: Statistic
    given_size: Statistic
    top: Statistic
    verdict: Verdict | None


@dataclass(frozen=True)
class Judgement:
    """All scores and counts on one set of networks.

    Attributes:
        scores: Judgement of every score, then of every count, by name.
        best_count: Name of the count with the highest Kendall; None if no count orders the networks.
        pairs_of_one_size: Number of pairs of networks of one size; None if the parameters are unknown.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """

    scores: dict[str, ScoreJudgement]
    best_count: str | None
    pairs_of_one_size: int | None
    resamples: int
    seed: int


def judge_scores(
    scores: Mapping[str, np.ndarray],
    counts: Mapping[str, np.ndarray],
    accuracies: np.ndarray,
    *,
    params: np.ndarray | None = None,
    flops: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Judgement:
    """Judges every score beside every count; the same arguments always give the same judgement.

    Args:
        scores: Float64 [N] by name, higher is better, NaN where a network failed.
        counts: Float64 [N] by name, such as params, flops and depth; no name is also that of a score.
        accuracies: Float64 [N], finite.
        params: Numbers of parameters [N]; by default the count ``params``. Without one, nothing is judged at equal size.
        flops: FLOPs [N]; by default the count ``flops``.
        resamples: Number of bootstrap resamples of the networks.
        seed: Seed of the bootstrap.
        step: Called when a score or count is done.

    Raises:
        ValueError: If an array has another length than `accuracies`, an accuracy is not finite, or a name is given twice.
    """
    _check(scores, counts, accuracies)
    sizes = {"params": counts.get("params") if params is None else params, "flops": counts.get("flops") if flops is None else flops}
    known = {name: np.asarray(values, dtype=np.float64) for name, values in sizes.items() if values is not None}
    judge = _Judge(accuracies, known, resamples, seed)
    measured = {}
    for name, values in {**scores, **counts}.items():
        measured[name] = judge.measured(np.asarray(values, dtype=np.float64))
        step()
    ordered = {name: value for name in counts if math.isfinite(value := measured[name]["kendall"][0])}
    best = max(ordered, key=ordered.__getitem__) if ordered else None
    compared = np.zeros(resamples + 1) if best is None else measured[best]["kendall"]
    judged = {}
    for name, found in measured.items():
        verdict = _verdict(found["kendall"] - compared, best) if name in scores else None
        judged[name] = ScoreJudgement(
            **{part: with_interval(float(values[0]), values[1:]) for part, values in found.items()}, verdict=verdict
        )
    pairs = pairs_of_one_size(known["params"]) if "params" in known else None
    return Judgement(judged, best, pairs, resamples, seed)


def kendall_of(scores: np.ndarray, accuracies: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Statistic:
    """Returns Kendall of one score, float64 [N], with the interval that `judge_scores` gives it."""
    found = _Judge(accuracies, {}, resamples, seed).measured(scores)["kendall"]
    return with_interval(float(found[0]), found[1:])


class _Judge:
    """Statistics of any score by one set of accuracies and resamples; the first value is that of all networks, each once."""

    def __init__(self, accuracies: np.ndarray, sizes: Mapping[str, np.ndarray], resamples: int, seed: int) -> None:
        count = len(accuracies)
        rng = np.random.Generator(np.random.PCG64(seed))
        self.weights = np.concatenate([np.ones((1, count)), resample(count, resamples, rng)])
        self.accuracies = accuracies
        self.ranks = ranked(accuracies)
        self.params = sizes.get("params")
        self.controls = [ranked(values) for values in sizes.values()]
        rows = [taus(control, [*self.controls, self.ranks], self.weights) for control in self.controls]
        self.between = np.array([row[:-1] for row in rows]).transpose(2, 0, 1) if rows else np.zeros((len(self.weights), 0, 0))
        self.of_accuracies = np.array([row[-1] for row in rows]).T

    def measured(self, scores: np.ndarray) -> dict[str, np.ndarray]:
        """Returns each statistic [1 + B] of one score; undefined ones are NaN."""
        ranks = ranked(scores)
        unknown = np.full(len(self.weights), np.nan)
        both, *controls = taus(ranks, [self.ranks, *self.controls], self.weights)
        close = unknown if self.params is None else taus_of_one_size(ranks, self.ranks, self.params, self.weights)
        # Without both sizes there is no figure given size.
        given = unknown
        if len(controls) == len(SIZES):
            given = partial(both, np.array(controls).T, self.of_accuracies, self.between)
        top = np.array([kendall_top(ranks, self.accuracies, TOP)])
        return {"kendall": both, "of_one_size": close, "given_size": given, "top": top}


def _verdict(difference: np.ndarray, count: str | None) -> Verdict | None:
    found = with_interval(float(difference[0]), difference[1:])
    if found.value is None:
        return None
    if found.low is not None and found.low > 0:
        return Verdict("above", count, found)
    if found.high is not None and found.high < 0:
        return Verdict("below", count, found)
    return Verdict("within", count, found)


def _check(scores: Mapping[str, np.ndarray], counts: Mapping[str, np.ndarray], accuracies: np.ndarray) -> None:
    twice = scores.keys() & counts.keys()
    if twice:
        raise ValueError(f"{min(twice)!r} is given as a score and as a count; leave one of them out")
    if accuracies.ndim != 1 or not np.isfinite(accuracies).all():
        raise ValueError(f"expected finite accuracies [N], but they have shape {accuracies.shape} or hold NaN")
    for name, values in {**scores, **counts}.items():
        if values.shape != accuracies.shape:
            raise ValueError(f"{name!r} has shape {values.shape}, but there are {len(accuracies)} accuracies")
