"""Test case of the conformance tests of scores: a score on one space, with a few measured networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.cache import encode
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import MeasurementError, Measurer
from rbflex_evo.fitness.passes.observer import Statistics
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import Genotype, SearchSpace, VectorEncoding
from rbflex_evo.spaces.conformance.checking import called, require
from rbflex_evo.spaces.isolation.settings import own_settings

IMAGES = 8
# Number of architectures per space, and of random draws among which they are selected.
NETWORKS, DRAWS = 6, 50
# The order of float32 sums differs if several networks are computed together.
ROUNDING = 1e-3

StatisticsOrReason = Statistics | str
"""Statistics of one network, or the reason of its failure."""


class Case:
    """A score on one space, with a few measured networks.

    Args:
        proxy: Score under test.
        space: Search space of the networks.
    """

    def __init__(self, proxy: Proxy, space: SearchSpace) -> None:
        self.original = proxy
        self.proxy = proxy.for_space(space)
        self.space = space
        self.name = type(proxy).__name__
        self.genotypes: list[Genotype]
        self.networks: list[Genotype]
        self.found: list[StatisticsOrReason]
        self.images = space.example_inputs(IMAGES)
        measured = []
        for genotype in _genotypes(space):
            network = space.representative(space.key(genotype))
            measured.append((genotype, network, self.measure([network])[0]))
        # Failed networks come last, so that checks of the first networks use networks with statistics.
        measured.sort(key=lambda one: isinstance(one[2], str))
        self.genotypes, self.networks, self.found = (list(part) for part in zip(*measured, strict=True))

    def of(self, network: Genotype) -> str:
        """Returns the name of a network for messages."""
        return f"{self.name} of {self.space.notation(network)!r} ({self.space.name})"

    def measurer(self, images: torch.Tensor | None = None, labels: torch.Tensor | None = None) -> Measurer:
        """Returns a measurer as in a worker, on the CPU with the eager backend."""
        batch = Batch(self.images if images is None else images, labels)
        return Measurer(Conditions.of(self.space, batch, device="cpu", backend="eager"))

    def measure(
        self,
        networks: Sequence[Genotype],
        proxy: Proxy | None = None,
        images: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        gradients: bool = True,
    ) -> list[StatisticsOrReason]:
        """Measures networks in one call on one thread; without `gradients`, the computation of gradients raises an error."""
        what = self.of(networks[0]) + (f" and {len(networks) - 1} more" if len(networks) > 1 else "")
        requests = [(network, {self.name: proxy or self.proxy}) for network in networks]
        remedy = "raise CandidateFailed with a reason where a network has no score"
        # Not `as_in_a_worker`, which would restore a random state that the score has changed.
        with own_settings(), torch.inference_mode(not gradients), called(what, remedy):
            try:
                found = self.measurer(images, labels).measure(requests)
            except MeasurementError as failed:
                raise failed.__cause__ or failed from None
            return [measured.statistics.get(self.name, measured.failures.get(self.name, "")) for measured in found]


def _genotypes(space: SearchSpace) -> list[Genotype]:
    """Returns genotypes of distinct keys, for a vector encoding also its corners, whose networks may be dead or without weights."""
    rng = np.random.Generator(np.random.PCG64(0))
    drawn = [space.encoding.sample(rng) for _ in range(DRAWS)]
    corners = []
    if isinstance(space.encoding, VectorEncoding):
        corners = [tuple(min(gene, count - 1) for count in space.encoding.categories) for gene in (0, 1)]
    distinct = {space.key(genotype): genotype for genotype in [*drawn, *corners]}
    ends = list(dict.fromkeys(map(space.key, corners)))
    keys = [key for key in dict.fromkeys(map(space.key, drawn)) if key not in ends]
    return [distinct[key] for key in [*keys[: NETWORKS - len(ends)], *ends]]


def check_plain(found: Mapping[str, Any], what: str) -> None:
    """Checks that statistics are a mapping of names to arrays.

    Raises:
        CheckFailed: If they are not.
    """
    require(isinstance(found, Mapping), f"{what} gave {type(found).__name__}; return a dict of arrays by name")
    for name, array in found.items():
        require(
            isinstance(array, np.ndarray | np.generic),
            f"{what} gave the statistic {name!r} as {type(array).__name__}; return plain arrays, as tensor.cpu().numpy()",
        )


def same(first: Sequence[StatisticsOrReason], second: Sequence[StatisticsOrReason]) -> bool:
    """Returns True if both have equal reasons and bitwise equal arrays."""
    return all(
        (a == b) if isinstance(a, str) or isinstance(b, str) else encode(a) == encode(b) for a, b in zip(first, second, strict=True)
    )


def near(first: StatisticsOrReason, second: StatisticsOrReason) -> bool:
    """Returns True if both failed, or if the arrays of the first equal those of the second except for rounding."""
    if isinstance(first, str) or isinstance(second, str):
        return isinstance(first, str) == isinstance(second, str)
    pairs = [(np.asarray(array, float), np.asarray(second[name], float)) for name, array in first.items()]
    return all(np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING * np.abs(b).max(initial=0.0), equal_nan=True) for a, b in pairs)
