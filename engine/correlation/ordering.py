"""How well a score orders architectures by their known accuracy, with bootstrap intervals.

    kendall, spearman      over all: tau-b and rho, ties counted; a failed score ranks last, all of them tied
    pearson                over the candidates whose score is finite
    kendall_top_10, _5     tau-b among the candidates of the best 10 % and 5 % by accuracy
    ndcg                   gain 2^accuracy - 1 (a point of accuracy doubles it), discount 1 / log2(1 + place), over the whole order
    accuracy_of_n          accuracy of the candidate ranked first among n random ones, without replacement
    spread_of_n            its standard deviation from draw to draw
    regret_of_n            how far it is below the best of those n

First of n is the exact mean over all draws of n, not over a number of them: with N candidates in ascending order of score, the
first of n lies among the lowest c with probability C(c, n) / C(N, n). Where scores tie, any of the tied is taken.

The bootstrap draws N candidates with replacement and takes percentiles. A resample is a vector of weights, how often each
candidate was drawn, and every statistic here is one of weighted candidates, for many weight vectors at once: candidates are
ordered once, not once a resample. The estimate itself has all weights 1. The same resamples judge every score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

TOPS = (10, 5)
DRAWS = (10, 100, 1000)
LEVEL = 0.95
# Weights that are held at once, a few times over.
ELEMENTS = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A statistic and its bootstrap interval; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def judge(scores: np.ndarray, accuracies: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Returns every statistic of one score by its name.

    Args:
        scores: float64 [N], higher is better; NaN where a candidate failed.
        accuracies: float64 [N], in percent.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    count = len(scores)
    values = statistics(scores, accuracies, np.ones((1, count)))
    rng = np.random.Generator(np.random.PCG64(seed))
    size = max(1, ELEMENTS // max(1, count))
    batches = [min(size, resamples - start) for start in range(0, resamples, size)]
    found = [statistics(scores, accuracies, resample(count, batch, rng)) for batch in batches]
    return {name: _estimate(float(value[0]), np.concatenate([one[name] for one in found])) for name, value in values.items()}


def resample(count: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Returns float64 [times, count], how often each of `count` candidates was drawn in `count` draws with replacement."""
    return np.array([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(times)], dtype=np.float64)


def _estimate(value: float, found: np.ndarray) -> Estimate:
    if not math.isfinite(value):
        return Estimate(None)
    # A resample may leave a statistic undefined, such as Kendall's of candidates that all tie.
    known = found[np.isfinite(found)]
    if not len(known):
        return Estimate(value)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def statistics(scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Returns every statistic [B] of one score for the weights [B, N], whole numbers as float64; NaN where undefined."""
    ranks = ranked(scores)
    found = {
        "kendall": kendall(ranks, accuracies, weights),
        "spearman": spearman(ranks, accuracies, weights),
        "pearson": pearson(scores, accuracies, weights),
        **{f"kendall_top_{percent}": kendall_top(ranks, accuracies, percent, weights) for percent in TOPS},
        "ndcg": ndcg(ranks, accuracies, weights),
    }
    for draw, (accuracy, spread, regret) in first_of(ranks, accuracies, DRAWS, weights).items():
        found |= {f"accuracy_of_{draw}": accuracy, f"spread_of_{draw}": spread, f"regret_of_{draw}": regret}
    return found


def ranked(scores: np.ndarray) -> np.ndarray:
    """Returns int64 [N], equal for equal scores and ascending with them; failed scores tie below all others."""
    return np.unique(np.where(np.isnan(scores), -np.inf, scores), return_inverse=True)[1]


class Groups:
    """Candidates of equal value, in ascending order of value."""

    def __init__(self, values: np.ndarray) -> None:
        self.of = np.unique(values, return_inverse=True)[1]
        self.order = np.argsort(self.of, kind="stable")
        self.starts = np.flatnonzero(np.diff(self.of[self.order], prepend=-1))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Returns [B, groups], the sums of weights [B, N] over each group."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)


def kendall(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b [B] by Knight's merge sort (JASA 61, 1966), its inversions counted in weights [B, N]."""
    order = np.lexsort((second, first))
    both = np.unique(np.stack([first, second]), axis=1, return_inverse=True)[1].reshape(-1)
    total = _pairs(weights.sum(axis=1))
    tied, tied_second, tied_both = (_pairs(Groups(v).sums(weights)).sum(axis=1) for v in (first, second, both))
    unlike = _discordant(second[order], weights[:, order])
    # Pairs that tie in neither are concordant or discordant.
    difference = total - tied - tied_second + tied_both - 2 * unlike
    return _ratio(difference, np.sqrt((total - tied) * (total - tied_second)))


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) / 2


def _discordant(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns [B], the sum of w_i w_j over i < j with values_i > values_j."""
    position = np.arange(len(values))
    found = np.zeros(len(weights))
    size = 1
    while size < len(values):
        block = position // (2 * size)
        right = position // size % 2
        # As a merge would leave it: each block by value, of equals the left one first.
        order = np.lexsort((right, values, block))
        is_right = right[order] == 1
        of = weights[:, order]
        left = np.cumsum(np.where(is_right, 0.0, of), axis=1)
        last = np.searchsorted(block[order], block[order][is_right], side="right") - 1
        found += ((left[:, last] - left[:, is_right]) * of[:, is_right]).sum(axis=1)
        size *= 2
    return found


def kendall_top(ranks: np.ndarray, accuracies: np.ndarray, percent: int, weights: np.ndarray) -> np.ndarray:
    """Returns tau-b [B] among the best `percent` % by accuracy, rounded up; of equal accuracies the first ones."""
    order = np.argsort(-accuracies, kind="stable")
    of = weights[:, order]
    before = np.cumsum(of, axis=1) - of
    wanted = np.ceil(weights.sum(axis=1, keepdims=True) * percent / 100 - 1e-9)
    inside = np.clip(wanted - before, 0, of)
    needed = np.flatnonzero(inside.any(axis=0))
    return kendall(ranks[order][needed], accuracies[order][needed], inside[:, needed])


def spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns Spearman's rho [B]: Pearson's r of ranks, ties averaged."""
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    one, two = (_average_ranks(Groups(values), weights) - middle for values in (first, second))
    return _ratio((weights * one * two).sum(axis=1), _length(weights, one) * _length(weights, two))


def _average_ranks(groups: Groups, weights: np.ndarray) -> np.ndarray:
    sums = groups.sums(weights)
    return (np.cumsum(sums, axis=1) - (sums - 1) / 2)[:, groups.of]


def pearson(scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns Pearson's r [B] over the finite scores."""
    finite = np.isfinite(scores)
    of = weights[:, finite]
    if not of.any():
        return np.full(len(weights), np.nan)
    total = of.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        one, two = (v - (of * v).sum(axis=1, keepdims=True) / total for v in (_scaled(scores[finite]), _scaled(accuracies[finite])))
    lengths = [_length(of, v) for v in (one, two)]
    # Equal values differ from their mean by round-off.
    constant = np.min(lengths, axis=0) <= 1e-12 * np.sqrt(total[:, 0])
    return _ratio((of * one * two).sum(axis=1), np.where(constant, 0.0, lengths[0] * lengths[1]))


def _scaled(values: np.ndarray) -> np.ndarray:
    """Returns the values within [0, 1], which changes no correlation: squares of large ones would overflow."""
    span = np.ptp(values)
    return (values - values.min()) / (span if span > 0 else 1.0)


def _length(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.sqrt((weights * values**2).sum(axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Returns above / below, NaN where there is nothing below: one side is constant."""
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def ndcg(ranks: np.ndarray, accuracies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the normalised discounted cumulative gain [B]; tied candidates share their places."""
    # Gains as parts of the largest: 2^94 is nobody's number.
    best = accuracies.max()
    gains = np.exp2(accuracies - best) - np.exp2(-best)
    return _ratio(_cumulative_gain(Groups(ranks), gains, weights), _cumulative_gain(Groups(accuracies), gains, weights))


def _cumulative_gain(groups: Groups, gains: np.ndarray, weights: np.ndarray) -> np.ndarray:
    count = int(weights.sum(axis=1).max())
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, count + 2)))])
    sums, gained = groups.sums(weights)[:, ::-1], groups.sums(weights * gains)[:, ::-1]
    upto = np.cumsum(sums, axis=1).astype(np.intp)
    places = discounts[upto] - discounts[upto - sums.astype(np.intp)]
    mean = np.divide(gained, sums, out=np.zeros_like(gained), where=sums > 0)
    return (mean * places).sum(axis=1)


def first_of(
    ranks: np.ndarray, accuracies: np.ndarray, draws: Sequence[int], weights: np.ndarray
) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns by n the expected accuracy of the first among n random candidates, its spread and its regret, each [B].

    NaN where there are fewer than n.
    """
    middle = accuracies.mean()
    # About the mean, so that little is lost where squares are subtracted.
    about = accuracies - middle
    firsts = _expected_firsts(ranks, [about, about**2], draws, weights)
    bests = _expected_firsts(accuracies, [about], draws, weights)
    return {
        draw: (middle + first, np.sqrt(np.maximum(square - first**2, 0.0)), best - first)
        for draw, (first, square), (best,) in zip(draws, firsts, bests, strict=True)
    }


def _expected_firsts(
    ranks: np.ndarray, values: Sequence[np.ndarray], draws: Sequence[int], weights: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """Yields for each n the expected values [B] of the candidate that ranks first among n random ones."""
    groups = Groups(ranks)
    sums = groups.sums(weights)
    means = [np.divide(groups.sums(weights * v), sums, out=np.zeros_like(sums), where=sums > 0) for v in values]
    upto = np.cumsum(sums, axis=1).astype(np.intp)
    total = upto[:, -1:]
    log_factorial = gammaln(np.arange(total.max() + 1) + 1.0)
    for draw in draws:
        log_all = log_factorial[total] - log_factorial[np.maximum(total - draw, 0)]
        log_lower = log_factorial[upto] - log_factorial[np.maximum(upto - draw, 0)]
        among = np.where(upto >= draw, np.exp(np.minimum(log_lower - log_all, 0.0)), 0.0)
        probability = np.diff(among, axis=1, prepend=0.0)
        yield [np.where(total[:, 0] >= draw, (probability * mean).sum(axis=1), np.nan) for mean in means]
