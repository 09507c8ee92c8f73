"""A FlexiBERT network as data, and its parameters and multiply-accumulates, counted from its shapes.

The multiply-accumulates are those of all matrix products and convolutions, half of the counts of torch's flop counter for the built
network; tests compare the two. Fourier and cosine transforms are counted as the matrix products that compute them.
"""

from __future__ import annotations

from typing import NamedTuple

from rbflex_evo.spaces.space import Costs

# Numbers of position and segment embeddings, as in the published networks.
POSITIONS, SEGMENTS = 512, 2
# Operations by their name in the notation: self-attention by scaled dot product or weighted multiplicative, linear transforms, and
# span-based dynamic convolutions by the size of their kernel.
OPERATIONS = ("SA-SDP", "SA-WMA", "LT-DFT", "LT-DCT", "DSC-5", "DSC-9")


class LayerChoice(NamedTuple):
    """What is chosen for one layer.

    Attributes:
        operation: One of `OPERATIONS`.
        heads: Number of heads of the operation, even; a span convolution gives half of them to attention.
        inner: Width of the linear layers of the feed-forward network.
        stacks: Number of them, each with an activation; one more leads back to the hidden size.
        hidden: Hidden size.
    """

    operation: str
    heads: int
    inner: int
    stacks: int
    hidden: int

    @property
    def kernel(self) -> int:
        """Size of the kernel of a span convolution."""
        return int(self.operation.removeprefix("DSC-"))


class FlexiBertLayout(NamedTuple):
    """A whole network.

    Attributes:
        layers: The layers in order.
        embedding: Width of the embeddings.
        vocabulary: Number of word ids, padding included.
        classes: Outputs of the classifier.
    """

    layers: tuple[LayerChoice, ...]
    embedding: int
    vocabulary: int
    classes: int

    @property
    def inputs(self) -> list[int]:
        """Width of the input of each layer."""
        return [self.embedding, *(layer.hidden for layer in self.layers[:-1])]


def flexibert_costs(layout: FlexiBertLayout, length: int) -> Costs:
    """Returns the parameters and the multiply-accumulates of a network on one sentence of `length` words."""
    params = (layout.vocabulary + POSITIONS + SEGMENTS + 2) * layout.embedding
    flops = 0
    for inputs, layer in zip(layout.inputs, layout.layers, strict=True):
        hidden, inner, more = layer.hidden, layer.inner, layer.stacks - 1
        if inputs != hidden:
            params += (inputs + 1) * hidden
            flops += length * inputs * hidden
        of_operation = _operation_costs(layer, length)
        feed_forward = 2 * hidden * inner + more * inner**2
        params += int(of_operation.params) + feed_forward + layer.stacks * inner + 3 * hidden
        flops += int(of_operation.flops) + length * feed_forward
    hidden = layout.layers[-1].hidden
    return Costs(float(params + (hidden + 1) * layout.classes), float(flops + hidden * layout.classes))


def _operation_costs(layer: LayerChoice, length: int) -> Costs:
    """Returns the costs of an operation with its output layer, residual connection and normalisation, as far as it has them."""
    hidden = layer.hidden
    if layer.operation.startswith("LT"):
        products = length**2 * hidden + length * hidden * hidden // layer.heads
        matrix = length * hidden**2
        return Costs((hidden + 1) * hidden, matrix + products * (2 if layer.operation == "LT-DFT" else 1))
    output = (hidden + 1) * hidden + 2 * hidden
    if layer.operation.startswith("SA"):
        matrices = (4 if layer.operation == "SA-WMA" else 3) * hidden**2
        return Costs(matrices + 3 * hidden + output, length * (matrices + hidden**2) + 2 * length**2 * hidden)
    half, kernel, heads = hidden // 2, layer.kernel, layer.heads // 2
    matrices = 5 * hidden * half + hidden * kernel + half * heads * kernel
    return Costs(
        matrices + 5 * half + heads * kernel + output,
        length * (matrices + half * kernel + hidden**2) + 2 * length**2 * half,
    )
