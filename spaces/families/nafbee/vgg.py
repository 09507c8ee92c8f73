"""NAFBee (VGG-19) and Fig. 2 of RBFleX (VGG-11): the activation functions of a VGG for CIFAR-10 (Yamasaki et al. 2025).

    stages of 3 x 3 convolutions (bias, batch normalisation, activation), each followed by 2 x 2 max-pooling -> classifier
    vgg19    2, 2, 4, 4, 4 convolutions    11 networks, or 11^16 with `per_layer`
    vgg11    1, 1, 2, 2, 2 convolutions    11 networks, or 11^8

The networks of Simonyan & Zisserman 2015 (arXiv 1409.1556) with batch normalisation and, as in the benchmark, one linear layer in
place of three. Only convolutions have activations, so `per_layer` has one gene for each convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.families.counting import CountedConvolution, count, halved, image_size, with_classifier
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs

from .activations import ActivationGenes, ActivationSpace

if TYPE_CHECKING:
    from .vgg_network import VggNetwork

# Ratio of the width of each stage to that of the first one.
WIDTHS = (1, 2, 4, 8, 8)


class VggParameters(AnyParameters):
    """Genes and size of the VGG spaces.

    Attributes:
        per_layer: Whether each convolution has its own activation.
        classes: Outputs of the classifier.
        channels: Channels of the first stage; the last stage has eight times as many.
    """

    per_layer: bool = False
    classes: int = Field(default=10, ge=2)
    channels: int = Field(default=64, ge=1)


class VggSpace(ActivationSpace):
    """VGG networks; a gene chooses the activation of all convolutions, or of one. Subclasses set the depths of the stages."""

    Parameters = VggParameters
    parameters: VggParameters
    depths: ClassVar[tuple[int, ...]]

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.genes = ActivationGenes(self.name, sum(self.depths), self.parameters.per_layer)
        self.encoding = self.genes.encoding()

    @property
    def stages(self) -> list[list[int]]:
        """Output channels of each convolution, stage by stage."""
        return [[width * self.parameters.channels] * depth for width, depth in zip(WIDTHS, self.depths, strict=True)]

    def build(self, genotype: Genotype) -> VggNetwork:
        """Builds the raw network of a genotype."""
        from .vgg_network import VggNetwork

        return VggNetwork(self.stages, self.genes.names(genotype), self.parameters.classes)

    def thin(self) -> VggSpace:
        """Returns the same space with the narrowest networks that its parameters allow."""
        return type(self)(self.parameters.model_copy(update={"channels": 1}))

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts from the shapes; activations have no parameters and no multiplications, so all networks have equal costs."""
        self.encoding.validate(genotype)
        size = image_size(input_shape or self.input_shape)
        convolutions: list[CountedConvolution] = []
        biases, inputs = 0, 3
        for stage in self.stages:
            for outputs in stage:
                convolutions.append(CountedConvolution(9 * inputs * outputs, outputs, size))
                biases, inputs = biases + outputs, outputs
            size = halved(size)
        params, flops = count(convolutions)
        return with_classifier(params + biases, flops, inputs, self.parameters.classes)

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        names = iter(self.genes.names(genotype))
        layers = [
            f"{next(names)}\n{width}{' /2' if position == len(stage) - 1 else ''}"
            for stage in self.stages
            for position, width in enumerate(stage)
        ]
        return chain_drawing(("input", *layers, "classifier"), self.notation(genotype))


class Vgg19Space(VggSpace):
    """VGG-19, the networks of the benchmark."""

    name = "nafbee_vgg19"
    description = "NAFBee: VGG-19 on CIFAR-10 with one of 11 activations, or with `per_layer` one for each of 16 convolutions"
    depths = (2, 2, 4, 4, 4)


class Vgg11Space(VggSpace):
    """VGG-11, the networks of Fig. 2 of RBFleX."""

    name = "nafbee_vgg11"
    description = "VGG-11 on CIFAR-10 with one of NAFBee's 11 activations, or with `per_layer` one for each of 8 convolutions"
    depths = (1, 1, 2, 2, 2)
