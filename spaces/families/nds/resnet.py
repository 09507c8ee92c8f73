"""The ResNet space of Radosavovic et al. (2019, arXiv 1905.13214): depths and widths of three stages of basic blocks, for CIFAR.

    stem of 16 channels -> d1 blocks of width w1 -> d2 of w2 -> d3 of w3 -> classifier;  the second and third stage halve the map

The paper draws each depth from 9 values of 1 .. 24 and each width from 12 values of 16 .. 256, evenly on a logarithmic scale, which
gives (9 * 12)^3 = 1,259,712 networks. It states the limits and the numbers of values; the values in between are our choice and are
parameters. Groups and bottlenecks belong to the ResNeXt spaces of the paper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.families.counting import CountedConvolution, MapSize, count, halved, image_size, with_classifier
from rbflex_evo.spaces.families.nasnet.notation import record_fields
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

if TYPE_CHECKING:
    from torch import nn

    from .resnet_network import ResNet

BLOCK = "res_basic_block"
STEM = 16
STRIDES = (1, 2, 2)
DEPTHS = [1, 2, 3, 4, 6, 8, 12, 16, 24]
WIDTHS = [16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256]
RECORD = '{"net": {"block_type": "res_basic_block", "ds": [2, 4, 8], "ws": [16, 32, 64], "ss": [1, 2, 2]}}'


class ResnetParameters(AnyParameters):
    """Parameters of the ResNet space.

    Attributes:
        depths: Numbers of blocks of a stage to choose from.
        widths: Channels of a stage to choose from.
        classes: Outputs of the classifier.
    """

    depths: list[Annotated[int, Field(ge=1)]] = Field(default=DEPTHS, min_length=1)
    widths: list[Annotated[int, Field(ge=1)]] = Field(default=WIDTHS, min_length=1)
    classes: int = Field(default=10, ge=2)


class NdsResnet(SearchSpace):
    """Residual networks; genes are positions in `depths` and `widths`, stage by stage."""

    name = "nds_resnet"
    description = "NDS ResNet: depths and widths of 3 stages of basic blocks"
    Parameters = ResnetParameters
    parameters: ResnetParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        stages = range(1, len(STRIDES) + 1)
        names = [f"stage {stage} {what}" for stage in stages for what in ("depth", "width")]
        self.encoding = VectorEncoding([len(self.parameters.depths), len(self.parameters.widths)] * len(STRIDES), names)

    def stages(self, genotype: Genotype) -> tuple[list[int], list[int]]:
        """Returns the depths and the widths of the stages."""
        self.encoding.validate(genotype)
        return [self.parameters.depths[g] for g in genotype[::2]], [self.parameters.widths[g] for g in genotype[1::2]]

    def build(self, genotype: Genotype) -> ResNet:
        """Builds the raw network of a genotype."""
        from .resnet_network import ResNet

        return ResNet(STEM, *self.stages(genotype), STRIDES, self.parameters.classes)

    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype as a record of the NDS files."""
        depths, widths = self.stages(genotype)
        net = {"block_type": BLOCK, "ds": depths, "ws": widths, "ss": STRIDES, "bot_muls": [], "num_gs": []}
        return json.dumps({"net": net})

    def parse(self, text: str) -> Genotype:
        """Reads a record of the NDS files or its ``net``."""
        net = record_fields(text, RECORD)
        if net.get("block_type", BLOCK) != BLOCK:
            raise GenotypeError(f"block_type must be {BLOCK!r} in {self.name}, but it is {shown(net['block_type'])}")
        if net.get("ss", list(STRIDES)) != list(STRIDES):
            raise GenotypeError(f"ss, the stages' strides, must be {list(STRIDES)} in {self.name}, but it is {shown(net['ss'])}")
        depths = _positions(net, "ds", self.parameters.depths, "depths")
        widths = _positions(net, "ws", self.parameters.widths, "widths")
        return tuple(gene for stage in zip(depths, widths, strict=True) for gene in stage)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        return _costs(*self.stages(genotype), self.parameters.classes, image_size(input_shape or self.input_shape))

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the stem and the residual blocks."""
        return [network.stem, *network.blocks.values()]  # type: ignore[list-item,operator]

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of each parameter whose shape differs between networks."""
        classes = self.parameters.classes
        return {"classifier.weight": (classes, max(self.parameters.widths)), "classifier.bias": (classes,)}

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        stages = [f"{depth} blocks\nof {width}" for depth, width in zip(*self.stages(genotype), strict=True)]
        nodes = ("input", f"stem\n{STEM}", *stages, "classifier")
        return chain_drawing(nodes, self.notation(genotype))


def _positions(net: Mapping[str, object], name: str, allowed: Sequence[int], setting: str) -> list[int]:
    values = net.get(name)
    if not isinstance(values, list) or len(values) != len(STRIDES):
        raise GenotypeError(f"{name} must be {len(STRIDES)} numbers, one for each stage, but it is {shown(values)}; as in {RECORD}")
    for value in values:
        if type(value) is not int or value not in allowed:
            listed = ", ".join(map(str, allowed))
            raise GenotypeError(f"{name} must be of {listed} (set space.{setting} for others), but one is {shown(value)}")
    return [allowed.index(value) for value in values]


def _costs(depths: Sequence[int], widths: Sequence[int], classes: int, size: MapSize) -> Costs:
    """Returns parameters and multiply-accumulates; tests compare them with the built network."""
    convolutions: list[CountedConvolution] = []

    def convolution(kernel: int, inputs: int, outputs: int) -> None:
        convolutions.append(CountedConvolution(kernel * kernel * inputs * outputs, outputs, size))

    convolution(3, 3, STEM)
    before = STEM
    for depth, width, stride in zip(depths, widths, STRIDES, strict=True):
        size = halved(size, stride - 1)
        if before != width or stride != 1:
            convolution(1, before, width)
        for _ in range(depth):
            convolution(3, before, width)
            convolution(3, width, width)
            before = width
    return with_classifier(*count(convolutions), before, classes)
