"""How well a score orders architectures by their known accuracy, with bootstrap intervals.

    kendall, spearman      over all: tau-b and rho, ties counted; a failed score ranks last, all of them tied
    pearson                over the candidates whose score is finite
    kendall_top_10, _5     tau-b among the candidates of the best 10 % and 5 % by accuracy
    ndcg                   gain 2^accuracy - 1 (a point of accuracy doubles it), discount 1 / log2(1 + place), over the whole order
    accuracy_of_n          accuracy of the candidate ranked first among n random ones, without replacement
    spread_of_n            its standard deviation from draw to draw
    regret_of_n            how far it is below the best of those n

First of n is the exact mean over all draws of n, without sampling them: with N candidates in ascending order of score, the
first of n lies among the lowest c with probability C(c, n) / C(N, n). Where scores tie, any of the tied is taken.

The bootstrap draws N candidates with replacement and takes percentiles. A resample is a vector of weights: how often each
candidate was drawn. Correlations are scipy's, of one resample after the other; the other statistics are computed for many weight
vectors at once, so that candidates are ordered only once. The point estimate has all weights 1. All scores use the same resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats
from scipy.special import gammaln

from rbflex_evo.engine.agreement.kendall import Statistic, kendall, ranked, resample, varied, with_interval

TOPS = (10, 5)
DRAWS = (10, 100, 1000)
# Number of weights held at once; several arrays of that size exist.
ELEMENTS = 1_000_000


def judge(scores: np.ndarray, accuracies: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> dict[str, Statistic]:
    """Returns every statistic of one score by its name.

    Args:
        scores: float64 [N], higher is better; NaN where a candidate failed.
        accuracies: float64 [N], in percent.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """
    count = len(scores)
    values = statistics(scores, accuracies, np.ones((1, count)))
    rng = np.random.Generator(np.random.PCG64(seed))
    size = max(1, ELEMENTS // max(1, count))
    batches = [min(size, resamples - start) for start in range(0, resamples, size)]
    found = [statistics(scores, accuracies, resample(count, batch, rng)) for batch in batches]
    return {name: with_interval(float(value[0]), np.concatenate([one[name] for one in found])) for name, value in values.items()}


def statistics(scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Returns every statistic [B] of one score for the weights [B, N], whole numbers as float64; NaN where undefined."""
    ranks = ranked(scores)
    drawn = [np.repeat(np.arange(len(scores)), row) for row in weights.astype(np.intp)]
    found = {
        "kendall": np.array([kendall(ranks[at], accuracies[at]) for at in drawn]),
        "spearman": np.array([spearman(ranks[at], accuracies[at]) for at in drawn]),
        "pearson": np.array([pearson(scores[at], accuracies[at]) for at in drawn]),
        **{f"kendall_top_{top}": np.array([kendall_top(ranks[at], accuracies[at], top) for at in drawn]) for top in TOPS},
        "ndcg": ndcg(ranks, accuracies, weights),
    }
    for draw, (accuracy, spread, regret) in first_of(ranks, accuracies, DRAWS, weights).items():
        found |= {f"accuracy_of_{draw}": accuracy, f"spread_of_{draw}": spread, f"regret_of_{draw}": regret}
    return found


def kendall_top(ranks: np.ndarray, accuracies: np.ndarray, percent: int) -> float:
    """Returns tau-b among the best `percent` % by accuracy, rounded up; the first ones of equal accuracies."""
    count = math.ceil(len(ranks) * percent / 100 - 1e-9)
    best = np.argsort(-accuracies, kind="stable")[:count]
    return kendall(ranks[best], accuracies[best])


def spearman(ranks: np.ndarray, accuracies: np.ndarray) -> float:
    """Returns Spearman's rho, ties averaged; NaN where one side is constant."""
    return float(stats.spearmanr(ranks, accuracies).statistic) if varied(ranks, accuracies) else math.nan


def pearson(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Returns Pearson's r over the finite scores, NaN where one side is constant."""
    finite = np.isfinite(scores)
    sides = scores[finite], accuracies[finite]
    if not varied(*sides):
        return math.nan
    # Scaled to [0, 1], which changes no correlation: squares of large values would overflow.
    return float(stats.pearsonr(*((values - values.min()) / np.ptp(values) for values in sides)).statistic)


class Groups:
    """Candidates of equal value, in ascending order of value."""

    def __init__(self, values: np.ndarray) -> None:
        of = np.unique(values, return_inverse=True)[1]
        self.order = np.argsort(of, kind="stable")
        self.starts = np.flatnonzero(np.diff(of[self.order], prepend=-1))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Returns [B, groups], the sums of weights [B, N] over each group."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)


def ndcg(ranks: np.ndarray, accuracies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the normalised discounted cumulative gain [B]; tied candidates share their places."""
    # Gains relative to the largest: 2^94 would swamp the rest.
    best = accuracies.max()
    gains = np.exp2(accuracies - best) - np.exp2(-best)
    ours, ideal = (_cumulative_gain(Groups(values), gains, weights) for values in (ranks, accuracies))
    found: np.ndarray = np.divide(ours, ideal, out=np.full(len(ours), np.nan), where=ideal > 0)
    return found


def _cumulative_gain(groups: Groups, gains: np.ndarray, weights: np.ndarray) -> np.ndarray:
    count = int(weights.sum(axis=1).max())
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, count + 2)))])
    sums, gained = groups.sums(weights)[:, ::-1], groups.sums(weights * gains)[:, ::-1]
    upto = np.cumsum(sums, axis=1).astype(np.intp)
    places = discounts[upto] - discounts[upto - sums.astype(np.intp)]
    mean = np.divide(gained, sums, out=np.zeros_like(gained), where=sums > 0)
    return np.asarray((mean * places).sum(axis=1))


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
