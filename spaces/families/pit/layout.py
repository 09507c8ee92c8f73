"""A PiT network as data, and its parameters and multiply-accumulates, counted from its shapes.

The multiply-accumulates are those of the convolutions and of all matrix products, half of the counts of torch's flop counter for
the built network; tests compare the two.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from rbflex_evo.spaces.space import Costs

# Patches overlap by half.
PATCH, STRIDE = 16, 8


class StageChoice(NamedTuple):
    """What is chosen for one stage.

    Attributes:
        depth: Number of Transformer layers.
        heads: Number of attention heads of each layer.
    """

    depth: int
    heads: int


class PitLayout(NamedTuple):
    """The stages of a network.

    Attributes:
        base: Width of an attention head; a stage is as wide as all of its heads.
        ratio: Ratio of the hidden width of an MLP to the width of its stage.
        stages: The stages in order, with a pooling between each two.
        size: Height and width of the images.
        classes: Outputs of the classifier.
    """

    base: int
    ratio: int
    stages: tuple[StageChoice, ...]
    size: int
    classes: int

    @property
    def widths(self) -> list[int]:
        """Width of the tokens in each stage."""
        return [self.base * stage.heads for stage in self.stages]

    @property
    def grids(self) -> list[int]:
        """Number of rows, and of columns, of the patches in each stage; pooling halves it and rounds up."""
        grids = [(self.size - PATCH) // STRIDE + 1]
        for _ in self.stages[1:]:
            grids.append((grids[-1] + 1) // 2)
        return grids


def pit_costs(layout: PitLayout) -> Costs:
    """Returns the parameters and the multiply-accumulates of a network on one image."""
    widths, grids = layout.widths, layout.grids
    patch = 3 * PATCH**2
    params = (patch + 1) * widths[0] + (1 + grids[0] ** 2) * widths[0]
    flops = grids[0] ** 2 * patch * widths[0]
    for stage, width, grid in zip(layout.stages, widths, grids, strict=True):
        tokens, hidden = grid**2 + 1, width * layout.ratio
        matrices = 4 * width**2 + 2 * width * hidden
        params += stage.depth * (matrices + 5 * width + hidden + 4 * width)
        flops += stage.depth * (tokens * matrices + 2 * tokens**2 * width)
    for (inputs, outputs), grid in zip(itertools.pairwise(widths), grids[1:], strict=True):
        params += 10 * outputs + (inputs + 1) * outputs
        flops += 9 * outputs * grid**2 + inputs * outputs
    width = widths[-1]
    return Costs(float(params + 2 * width + (width + 1) * layout.classes), float(flops + width * layout.classes))
