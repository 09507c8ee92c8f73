"""NN-Mass and NN-Degree: width, depth and density of connections of the cells of a network.

    density of a cell   rho_c = actual / possible skip connections
    NN-Mass             sum over cells of rho_c w_c d_c                                            (survey eq. 19)
    NN-Degree           sum over cells of (w_c + actual skip connections / input channels)         (survey eq. 20)

with w_c the mean width and d_c the depth of a cell. NN-Mass is Bhardwaj et al.'s (CVPR 2021, arXiv 1910.00780), NN-Degree Li et
al.'s (FLASH, 2021, arXiv 2108.00568); equations as in the survey (Li et al., arXiv 2307.01998). Both papers count connections
between channels, for stacks of layers with concatenating or adding skip connections. `SearchSpace.cells` of a space defines the
skip connections of a cell that is a graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import ConfigError, SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.subject import Subject

# Columns of the statistics.
WIDTH, DEPTH, INPUT_CHANNELS, SKIPS, POSSIBLE_SKIPS = range(5)


class _CellScore(Proxy):
    """Contract of both scores: they count the cells of a network."""

    needs = "network"
    cost = "data-free"

    def check(self, space: SearchSpace) -> None:
        """Refuses a space that does not describe its cells.

        Raises:
            ConfigError: If `SearchSpace.cells` of the space is None.
        """
        genotype = space.representative(space.key(space.encoding.sample(np.random.default_rng(0))))
        if space.cells(genotype) is None:
            raise ConfigError(
                f"{self.name} needs the cells of a network, and {space.name} says nothing of them; leave {self.name} out"
            )


class NnMass(_CellScore):
    """Sum over cells of density times width times depth; higher is better.

    Cost class: data-free. Pitfalls: the score is made for spaces whose networks differ in their number of skip connections, such as
    ResNets and DenseNets of many widths. If cells differ in their operations, many of them tie (a cell without skip connections
    adds nothing), and cells of skip connections alone are not counted.
    """

    name = "nn_mass"
    description = "density of skip connections times width times depth, over the cells"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``mass`` [], float64."""
        cells = _cells(subject)
        density = cells[:, SKIPS] / cells[:, POSSIBLE_SKIPS]
        return {"mass": (density * cells[:, WIDTH] * cells[:, DEPTH]).sum()}

    def score(self, statistics: Statistics) -> float:
        """Returns the mass."""
        return float(statistics["mass"])


class NnDegree(_CellScore):
    """Sum over cells of mean width plus skip connections for each input channel; higher is better.

    Cost class: data-free. Pitfalls: widths are tens and the second term is at most about one, so networks are ordered by total
    width if their widths differ, and by skip connections otherwise.
    """

    name = "nn_degree"
    description = "mean width and skip connections for each input channel, over the cells"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``degree`` [], float64."""
        cells = _cells(subject)
        return {"degree": (cells[:, WIDTH] + cells[:, SKIPS] / cells[:, INPUT_CHANNELS]).sum()}

    def score(self, statistics: Statistics) -> float:
        """Returns the degree."""
        return float(statistics["degree"])


def _cells(subject: Subject) -> np.ndarray:
    """Returns the cells' numbers, float64 [cells, 5]."""
    cells = subject.space.cells(subject.genotype)
    if cells is None:
        raise CandidateFailed(f"{subject.space.name} says nothing of this network's cells")
    if not cells:
        raise CandidateFailed("no cell has a layer: no path from input to output")
    return np.array([(c.width, c.depth, c.input_channels, c.skips, c.possible_skips) for c in cells], float)
