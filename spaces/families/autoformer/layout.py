"""An AutoFormer network as data, and its parameters and multiply-accumulates, counted from its shapes.

The multiply-accumulates are those of the convolution and of all matrix products, half of the counts of torch's flop counter for the
built network; tests compare the two.
"""

from __future__ import annotations

from typing import NamedTuple

from rbflex_evo.spaces.space import Costs

PATCH = 16
HEAD = 64
# Largest distance, in rows or columns of patches, that has a vector of its own; larger ones share it.
FARTHEST = 14
# Vectors of a table of relative positions: one for each distance, and one for pairs with the class token.
OFFSETS = 2 * FARTHEST + 2


class LayerChoice(NamedTuple):
    """What is chosen for one Transformer layer.

    Attributes:
        heads: Number of attention heads, each of width 64.
        ratio: Ratio of the hidden width of the MLP to the width of the network.
    """

    heads: int
    ratio: float


class AutoFormerLayout(NamedTuple):
    """The layers of a network.

    Attributes:
        width: Width of the tokens, equal in all layers.
        layers: The Transformer layers in order.
        size: Height and width of the images, a multiple of 16.
        classes: Outputs of the classifier.
    """

    width: int
    layers: tuple[LayerChoice, ...]
    size: int
    classes: int

    @property
    def grid(self) -> int:
        """Number of rows, and of columns, of patches."""
        return self.size // PATCH

    @property
    def tokens(self) -> int:
        """Number of tokens: the patches and the class token."""
        return self.grid**2 + 1


def hidden_width(width: int, ratio: float) -> int:
    """Returns the hidden width of an MLP, rounded down."""
    return int(width * ratio)


def autoformer_costs(layout: AutoFormerLayout) -> Costs:
    """Returns the parameters and the multiply-accumulates of a network on one image."""
    width, tokens = layout.width, layout.tokens
    patch = 3 * PATCH**2
    params = (patch + 1) * width + (1 + tokens) * width
    flops = layout.grid**2 * patch * width
    for heads, ratio in layout.layers:
        inner, hidden = HEAD * heads, hidden_width(width, ratio)
        matrices = 4 * width * inner + 2 * width * hidden
        biases, norms = 3 * inner + width + hidden + width, 4 * width
        params += matrices + biases + norms + 4 * OFFSETS * HEAD
        # Attention multiplies tokens with tokens, and with the rows and columns of relative positions, for keys and for values.
        flops += tokens * (matrices + 2 * inner * (tokens + 2 * (layout.grid + 1)))
    return Costs(float(params + 2 * width + (width + 1) * layout.classes), float(flops + width * layout.classes))
