"""NASWOT (Mellor et al., ICML 2021, arXiv 2006.04647): how differently N images switch the activations on and off.

    c_i: for every unit of every activation layer, whether image i makes it positive
    K_H[i, j] = N_A - hamming(c_i, c_j),  score = log|K_H|

Each activation layer counts once. The paper normalises by the batch's statistics; the default here shares RBFleX's forward, in
which each image is normalised alone (``statistics: batch`` is the paper's choice). Published scores of nats_tss are of raw cells,
whose dead convolutions count, too: the Spearman correlation with them is 0.99 for ``mode: published``, and 0.94 for cells without
dead edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics, SummingObserver, rows_of, sum_dtype
from rbflex_evo.fitness.passes.repair import Repair, RepairParameters

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

# Number of codes that are summed in float32, which counts exactly up to 2^24.
CHUNK = 2**16
# The same on a CPU, bounded by its cache.
CPU_CHUNK = 2**14


class NaswotParameters(RepairParameters):
    """Parameters of the score; `repair` and `masked` are NCD's.

    Attributes:
        statistics: Inputs that batch normalisation takes its statistics from: each ``image`` alone, or the whole ``batch``.
        mode: ``standard``, or ``published`` for the layers of the published code on raw cells, by the batch's statistics.
            These include dead convolutions, and every block whose class name contains "ReLU".
    """

    statistics: Literal["image", "batch"] = "image"
    mode: Literal["standard", "published"] = "standard"


class Naswot(Proxy):
    """NASWOT score log|K_H|; higher is better."""

    name = "naswot"
    description = "how differently N images switch activations on and off"
    Parameters = NaswotParameters
    parameters: NaswotParameters

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        """The inputs that batch normalisation takes its statistics from."""
        return "batch" if self.scores_raw_network else self.parameters.statistics

    @property
    def scores_raw_network(self) -> bool:
        """True in mode ``published``."""
        return self.parameters.mode == "published"

    @property
    def repair(self) -> Repair | None:
        """The changes of the observed forward."""
        return self.parameters.changes

    def observer(self) -> Observer:
        """Returns an observer that counts matching activation codes."""
        return NaswotObserver()

    def score(self, statistics: Statistics) -> float:
        """Returns log|K_H|.

        Raises:
            CandidateFailed: If two images have equal activation codes.
        """
        sign, value = np.linalg.slogdet(statistics["matches"])
        if sign <= 0 or not np.isfinite(value):
            raise CandidateFailed("two images have equal activation codes")
        return float(value)


class NaswotObserver(SummingObserver):
    """Observer that counts the units that two images switch the same way; statistic ``matches`` [N, N], float64."""

    reduction = "sign_matches"

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        """Returns the matches [K, N, N] of the outputs [K, N, ...] of one layer, NaN if an activation is not finite."""
        import torch

        rows = rows_of(outputs)
        double = sum_dtype(rows.device)
        total = torch.zeros((), dtype=double, device=rows.device)
        for part in torch.split(rows, CPU_CHUNK if rows.device.type == "cpu" else CHUNK, dim=2):
            # With codes of +-1 a product counts matches minus mismatches.
            codes = (part > 0).float().mul_(2).sub_(1)
            # A NaN compares as False with everything; it must not be taken for a dead unit.
            poison = part.amax(dim=(1, 2), keepdim=True) * 0 + part.amin(dim=(1, 2), keepdim=True) * 0
            total = total + (codes @ codes.transpose(1, 2)).to(double) + poison
        return (total + rows.shape[2]) / 2

    def finish(self) -> Statistics:
        """Returns ``matches`` [N, N], the number of units that both images make positive or neither does."""
        return {"matches": self.total()}
