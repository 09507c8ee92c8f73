"""A whole space, measured once: subtree by subtree, so that what is done can be kept and the rest resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from rbflex_evo.fitness.passes.device import find_device
from rbflex_evo.fitness.passes.observer import Statistics
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import Genotype, SearchSpace

from .measurer import Measured
from .workers import Workers, default_workers, result_of


@dataclass(frozen=True)
class Subtree:
    """All networks whose genotypes begin alike.

    Attributes:
        prefix: the genes that they share.
        genotypes: int64 [M, genes], representatives of M keys.
        statistics: by proxy and name, [M, ...]; zeros where a candidate failed.
        failures: by proxy, the reason by position.
    """

    prefix: Genotype
    genotypes: np.ndarray
    statistics: Mapping[str, Statistics]
    failures: Mapping[str, Mapping[int, str]]

    def scores(self, name: str, proxy: Proxy) -> np.ndarray:
        """Returns the scores [M] by the proxy of that name; NaN where there is none."""
        if not self.statistics[name]:
            return np.full(len(self.genotypes), np.nan)
        scores = proxy.score_many(self.statistics[name])
        scores[list(self.failures[name])] = np.nan
        return scores


def subtrees(space: SearchSpace, genes: int = 2) -> dict[Genotype, list[Genotype]]:
    """Returns the distinct representatives of all keys of an enumerable space by their first genes, neighbours side by side."""
    found: dict[Genotype, list[Genotype]] = {}
    for genotype in sorted({space.representative(key) for key in space.keys()}):  # noqa: SIM118 (a method, not a dict's)
        found.setdefault(genotype[:genes], []).append(genotype)
    return found


def score_all(
    space: SearchSpace,
    images: np.ndarray,
    proxies: Mapping[str, Proxy],
    *,
    weights: WeightParameters | None = None,
    device: str = "cpu",
    precision: str = "float32",
    backend: str = "auto",
    workers: int | None = None,
    done: Collection[Genotype] = (),
    genes: int = 2,
) -> Iterator[Subtree]:
    """Yields the statistics of every network of the space, a subtree at a time, in order.

    Args:
        images: float32 [N, C, H, W].
        workers: processes; None for one a core.
        done: prefixes of subtrees that are not measured again.
        genes: length of a prefix.

    Raises:
        ConfigError: if the space plans no forward, or a proxy needs more than a planned forward.
    """
    found = find_device(device)
    count = workers or default_workers(found)
    waiting = deque((prefix, group) for prefix, group in subtrees(space, genes).items() if prefix not in done)
    pool = Workers(space, images, weights or WeightParameters(), found, precision, count, backend)
    running: deque[tuple[Genotype, list[Genotype], Future[list[Measured]]]] = deque()
    try:
        while waiting or running:
            while waiting and len(running) < (2 * count if count > 1 else 1):
                prefix, group = waiting.popleft()
                running.append((prefix, group, pool.submit_walk(group, proxies)))
            prefix, group, future = running.popleft()
            yield _subtree(prefix, group, result_of(future), proxies)
    finally:
        pool.close()


def _subtree(prefix: Genotype, group: list[Genotype], measured: list[Measured], proxies: Mapping[str, Proxy]) -> Subtree:
    failures = {name: {i: one.failures[name] for i, one in enumerate(measured) if name in one.failures} for name in proxies}
    statistics = {name: _stack([one.statistics.get(name) for one in measured]) for name in proxies}
    return Subtree(prefix, np.array(group), statistics, failures)


def _stack(found: list[Statistics | None]) -> Statistics:
    example = next((one for one in found if one is not None), None)
    if example is None:
        return {}
    return {
        name: np.stack([np.zeros_like(array) if one is None else one[name] for one in found]) for name, array in example.items()
    }
