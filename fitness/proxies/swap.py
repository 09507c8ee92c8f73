"""SWAP (Peng et al., ICLR 2024, arXiv 2403.04161): number of distinct responses of the units to the N images.

    pattern of a unit  = for each image, whether it makes the unit positive: N bits
    SWAP               = number of distinct patterns among all units of all activation layers
    regularised SWAP   = SWAP exp(-(P - mu)^2 / sigma),  P the parameters in thousands

NASWOT compares images over units; SWAP compares units over images, so its limit is 2^N and grows with the batch rather than with
the network. The paper normalises by the batch's statistics; the default here shares RBFleX's forward, in which each image is
normalised alone (``statistics: batch`` is the paper's choice).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from rbflex_evo.fitness.passes.observer import NO_ACTIVATION, CandidateFailed, Observer, Statistics, rows_of
from rbflex_evo.fitness.passes.repair import Repair, RepairParameters
from rbflex_evo.spaces import Genotype, SearchSpace

from .naswot import CHUNK, CPU_CHUNK
from .proxy import Proxy

if TYPE_CHECKING:
    import torch

# Up to this many images, the set of patterns is a table of 2^N bits; sums of 2^16 are exact in float32.
TABLE = 16
# Number of words of 16 bits in one int64.
WORDS = 3


class SwapParameters(RepairParameters):
    """Parameters of the score; `repair` and `masked` are NCD's.

    Attributes:
        statistics: Inputs that batch normalisation takes its statistics from: each ``image`` alone, or the whole ``batch``.
        mu: Target size in thousands of parameters; with `sigma` it selects the regularised form.
        sigma: Width of the range of sizes, in squared thousands of parameters.
    """

    statistics: Literal["image", "batch"] = "image"
    mu: float | None = Field(default=None, ge=0)
    sigma: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _both_or_none(self) -> SwapParameters:
        if (self.mu is None) != (self.sigma is None):
            raise ValueError("the regularised form needs both mu and sigma")
        return self


class Swap(Proxy):
    """Number of distinct patterns of units over the images; higher is better.

    Cost class: forward. Pitfalls: there are at most 2^N patterns, so with few images large networks reach the limit. The score
    does not depend on how often a pattern occurs. The regularised form depends on size as much as on patterns, and is 0 for sizes
    far from mu.
    """

    name = "swap"
    description = "in how many ways activation units respond to the N images"
    Parameters = SwapParameters
    parameters: SwapParameters

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        """The inputs that batch normalisation takes its statistics from."""
        return self.parameters.statistics

    @property
    def repair(self) -> Repair | None:
        """The changes of the observed forward."""
        return self.parameters.changes

    def observer(self) -> Observer:
        """Returns an observer that collects patterns of units."""
        return SwapObserver()

    def facts(self, space: SearchSpace, genotype: Genotype) -> Statistics:
        """Returns ``params`` [], the number of parameters."""
        return {"params": np.array(space.costs(genotype).params)}

    def score(self, statistics: Statistics) -> float:
        """Returns the number of patterns, or its regularised form.

        Raises:
            CandidateFailed: If all units have the same pattern.
        """
        patterns = int(statistics["patterns"])
        if patterns < 2:
            raise CandidateFailed("all units respond to the images alike")
        if self.parameters.mu is None or self.parameters.sigma is None:
            return float(patterns)
        distance = float(statistics["params"]) / 1e3 - self.parameters.mu
        return patterns * float(np.exp(-(distance**2) / self.parameters.sigma))


class SwapObserver(Observer):
    """Observer that collects the distinct patterns of units: ``patterns`` [], their number."""

    reduction = "patterns"

    def __init__(self) -> None:
        self.table: torch.Tensor | None = None
        self.codes: list[torch.Tensor] = []

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Adds the patterns of one activation layer."""
        self.take(self.reduce(output[None])[0], output[0].numel(), multiplicity)

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        """Returns the patterns of one layer: for few images a table [K, 2^N + 1] with a last entry for NaN, else their words."""
        import torch

        rows = rows_of(outputs)
        n = rows.shape[1]
        if n > TABLE:
            return patterns_of(rows)
        table = torch.zeros(len(rows), 2**n + 1, dtype=torch.bool, device=rows.device)
        for part in torch.split(rows, CPU_CHUNK if rows.device.type == "cpu" else CHUNK, dim=2):
            table.scatter_(1, patterns_of(part)[..., 0].remainder(2**n + 1), True)
        return table

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        """Adds the patterns that `reduce` found in one layer."""
        import torch

        if reduced.dim() == 1:
            self.table = reduced if self.table is None else self.table | reduced
        else:
            self.codes.append(torch.unique(reduced, dim=0))

    def fork(self) -> SwapObserver:
        """Returns another observer that has seen the same layers so far."""
        other = SwapObserver()
        other.table, other.codes = self.table, self.codes.copy()
        return other

    def finish(self) -> Statistics:
        """Returns ``patterns`` [], the number of distinct patterns.

        Raises:
            CandidateFailed: If there is no activation layer, or an activation is not finite.
        """
        import torch

        if self.table is not None:
            seen = self.table.cpu().numpy()
            found, poisoned = int(seen[:-1].sum()), bool(seen[-1])
        elif self.codes:
            patterns = torch.unique(torch.cat(self.codes), dim=0)
            found, poisoned = len(patterns), bool((patterns < 0).any())
        else:
            raise CandidateFailed(NO_ACTIVATION)
        if poisoned:
            raise CandidateFailed("activations hold NaN or infinity")
        return {"patterns": np.array(found)}


def patterns_of(rows: torch.Tensor) -> torch.Tensor:
    """Returns the bits of each unit of rows [K, N, L] as int64 words of 48 images, [K, L, words], -1 if rows are not finite."""
    import torch

    words: list[torch.Tensor] = []
    for i, images in enumerate(torch.split(rows, TABLE, dim=1)):
        powers = 2.0 ** torch.arange(images.shape[1], dtype=torch.float32, device=rows.device)
        word = (powers @ (images > 0).float()).long()
        if i % WORDS:
            words[-1] += word << (TABLE * (i % WORDS))
        else:
            words.append(word)
    finite = (rows.amax(dim=(1, 2)) - rows.amin(dim=(1, 2))).isfinite()
    return torch.where(finite[:, None, None], torch.stack(words, dim=2), -1)
