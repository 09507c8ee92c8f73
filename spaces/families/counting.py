"""Parameters and multiply-accumulates of convolutional networks, counted from their shapes without building them.

The cost models of the families list the convolutions of a network; tests compare the sums with the built networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rbflex_evo.spaces.errors import ConfigError
from rbflex_evo.spaces.space import Costs

# Height and width of a feature map.
MapSize = tuple[int, int]


class CountedConvolution(NamedTuple):
    """A convolution without bias.

    Attributes:
        weights: Number of its weights.
        normalised: Number of output channels of the batch normalisation that follows, 0 if there is none.
        size: Height and width of its output.
    """

    weights: int
    normalised: int
    size: MapSize


def image_size(input_shape: Sequence[int]) -> MapSize:
    """Returns the height and width of images of shape [3, height, width].

    Raises:
        ConfigError: If the shape is not one of images with three channels.
    """
    if len(input_shape) != 3 or input_shape[0] != 3 or min(input_shape) < 1:
        raise ConfigError(f"expected images of shape [3, height, width], but they are {list(input_shape)}")
    return input_shape[1], input_shape[2]


def halved(size: MapSize, times: int = 1) -> MapSize:
    """Returns the size of a map after `times` layers of stride 2, each rounding up."""
    return -(-size[0] // 2**times), -(-size[1] // 2**times)


def count(convolutions: Iterable[CountedConvolution]) -> tuple[int, int]:
    """Returns the parameters and the multiply-accumulates of convolutions and their normalisations, on one image."""
    params = flops = 0
    for weights, normalised, (height, width) in convolutions:
        params += weights + 2 * normalised
        flops += weights * height * width
    return params, flops


def with_classifier(params: int, flops: int, features: int, classes: int) -> Costs:
    """Returns the costs of a network that ends in a linear classifier with bias.

    Args:
        params: Parameters of the layers before the classifier.
        flops: Multiply-accumulates of the layers before the classifier.
        features: Inputs of the classifier.
        classes: Outputs of the classifier. Its bias counts as parameters and multiplies nothing.
    """
    return Costs(float(params + (features + 1) * classes), float(flops + features * classes))
