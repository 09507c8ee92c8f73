"""Measurement of a whole space, subtree by subtree, so that it can be interrupted and resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from rbflex_evo.fitness.passes.observer import Statistics
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import Genotype, SearchSpace

from .conditions import Conditions
from .evaluator import score_block
from .measurer import Measured
from .workers import Workers


@dataclass(frozen=True)
class Subtree:
    """Statistics of the networks whose genotypes share their first genes.

    Attributes:
        prefix: Genes that the genotypes share.
        genotypes: Representatives of M keys, int64 [M, genes].
        statistics: Statistics of each candidate by proxy, None where it failed.
        failures: Reasons by proxy and position.
    """

    prefix: Genotype
    genotypes: np.ndarray
    statistics: Mapping[str, Sequence[Statistics | None]]
    failures: Mapping[str, Mapping[int, str]]

    def values(self, name: str, proxy: Proxy) -> list[float | str]:
        """Returns the score of each candidate by a proxy, given with its name, or the reason of its failure."""
        values: list[float | str] = [self.failures[name].get(i, "") for i in range(len(self.genotypes))]
        there = [(i, one) for i, one in enumerate(self.statistics[name]) if one is not None]
        for (i, _), value in zip(there, score_block(proxy, [one for _, one in there]), strict=True):
            values[i] = value
        return values

    def scores(self, name: str, proxy: Proxy) -> np.ndarray:
        """Returns the scores [M] of a proxy, given with its name; NaN where a candidate failed."""
        return np.array([np.nan if isinstance(value, str) else value for value in self.values(name, proxy)])

    def stacked(self, name: str) -> Statistics:
        """Returns the arrays [M, ...] of a proxy whose statistics have one shape for all networks; zeros where one failed."""
        found = self.statistics[name]
        example = next((one for one in found if one is not None), {})
        return {
            part: np.stack([np.zeros_like(array) if one is None else one[part] for one in found]) for part, array in example.items()
        }


def subtrees(space: SearchSpace, genes: int = 2) -> dict[Genotype, list[Genotype]]:
    """Returns the distinct representatives of all keys of an enumerable space, sorted and grouped by their first genes."""
    found: dict[Genotype, list[Genotype]] = {}
    for genotype in sorted({space.representative(key) for key in space.keys()}):  # noqa: SIM118 (a method, not a dict's)
        found.setdefault(genotype[:genes], []).append(genotype)
    return found


def score_all(
    conditions: Conditions,
    proxies: Mapping[str, Proxy],
    *,
    workers: int | None = None,
    done: Collection[Genotype] = (),
    genes: int = 2,
    timeout: float | None = None,
) -> Iterator[Subtree]:
    """Yields the statistics of all networks of a space in order, one subtree at a time.

    Args:
        conditions: Conditions of the measurements; their space is enumerated.
        proxies: Scores by name, all of which a planned forward serves.
        workers: Number of worker processes; None for one per core on a CPU and one for each accelerator.
        done: Prefixes of the subtrees to leave out.
        genes: Length of a prefix.
        timeout: Seconds after which a candidate fails; candidates then share no computation. None for no limit.

    Raises:
        ConfigError: If the space plans no forward, or a proxy needs more than a planned forward.
    """
    with closing(Workers(conditions, workers, proxies=list(proxies.values()), timeout=timeout)) as pool:
        yield from score_with(pool, conditions.space, proxies, done=done, genes=genes)


def score_with(
    pool: Workers, space: SearchSpace, proxies: Mapping[str, Proxy], *, done: Collection[Genotype] = (), genes: int = 2
) -> Iterator[Subtree]:
    """Does the same as `score_all` with given workers, which the caller closes."""
    waiting = deque((prefix, group) for prefix, group in subtrees(space, genes).items() if prefix not in done)
    running: deque[tuple[Genotype, list[Genotype], Future[list[Measured]]]] = deque()
    if waiting:
        # From now on the number of workers is known.
        pool.begin()
    while waiting or running:
        while waiting and len(running) < (2 * pool.count if pool.count > 1 else 1):
            prefix, group = waiting.popleft()
            running.append((prefix, group, pool.submit_walk(group, proxies)))
        prefix, group, future = running.popleft()
        yield _subtree(prefix, group, future.result(), proxies)


def _subtree(prefix: Genotype, group: list[Genotype], measured: list[Measured], proxies: Mapping[str, Proxy]) -> Subtree:
    failures = {name: {i: one.failures[name] for i, one in enumerate(measured) if name in one.failures} for name in proxies}
    statistics = {name: [one.statistics.get(name) for one in measured] for name in proxies}
    return Subtree(prefix, np.array(group), statistics, failures)
