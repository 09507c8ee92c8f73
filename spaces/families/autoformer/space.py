"""The search spaces of AutoFormer (Chen et al., ICCV 2021, arXiv 2107.00651): depth, width, heads and MLP ratios.

    192: h3r4 h4r3.5 h3r3.5 ...         the width, then heads and MLP ratio of every layer

All layers of a network have the same width, and each has its own number of heads and MLP ratio. Tiny, small and base differ in the
values to choose from, which are those of the published supernets. The published results are of networks under 6, 24 and 54 million
parameters, which is a limit on ``params`` in a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.spaces.errors import ConfigError, GenotypeError, shown
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .layout import PATCH, AutoFormerLayout, LayerChoice, autoformer_costs, hidden_width
from .notation import read_network, write_network

if TYPE_CHECKING:
    from torch import nn

    from .network import AutoFormer

Whole = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=1)]


class AutoFormerParameters(AnyParameters):
    """Parameters of an AutoFormer space.

    Attributes:
        widths: Widths of a network to choose from.
        heads: Numbers of heads of a layer to choose from; a head has width 64.
        ratios: Ratios of the hidden width of an MLP to the width of the network to choose from.
        min_depth: Smallest number of layers.
        max_depth: Largest number of layers.
        size: Height and width of the images, a multiple of 16.
        classes: Outputs of the classifier.
    """

    widths: list[Whole] = Field(min_length=1)
    heads: list[Whole] = Field(min_length=1)
    ratios: list[Ratio] = Field(min_length=1)
    min_depth: int = Field(ge=1)
    max_depth: int = Field(ge=1)
    size: int = Field(default=224, ge=PATCH, multiple_of=PATCH)
    classes: int = Field(default=1000, ge=2)

    @model_validator(mode="after")
    def _distinct(self) -> AutoFormerParameters:
        if self.min_depth > self.max_depth:
            raise ValueError(
                f"'min_depth' is {self.min_depth}, but 'max_depth' is {self.max_depth}; expected min_depth <= max_depth"
            )
        chosen: dict[str, list[int] | list[float]] = {"widths": self.widths, "heads": self.heads, "ratios": self.ratios}
        for name, values in chosen.items():
            if len(set(values)) < len(values):
                raise ValueError(f"{name!r} has a value twice: {values}")
        for width in self.widths:
            if len({hidden_width(width, ratio) for ratio in self.ratios}) < len(self.ratios):
                raise ValueError(f"two 'ratios' of {self.ratios} give an MLP of width {width} the same hidden width")
        return self


class TinyParameters(AutoFormerParameters):
    """Parameters of AutoFormer-tiny, with its choices by default."""

    widths: list[Whole] = Field(default=[192, 216, 240], min_length=1)
    heads: list[Whole] = Field(default=[3, 4], min_length=1)
    ratios: list[Ratio] = Field(default=[3.5, 4.0], min_length=1)
    min_depth: int = Field(default=12, ge=1)
    max_depth: int = Field(default=14, ge=1)


class SmallParameters(AutoFormerParameters):
    """Parameters of AutoFormer-small, with its choices by default."""

    widths: list[Whole] = Field(default=[320, 384, 448], min_length=1)
    heads: list[Whole] = Field(default=[5, 6, 7], min_length=1)
    ratios: list[Ratio] = Field(default=[3.0, 3.5, 4.0], min_length=1)
    min_depth: int = Field(default=12, ge=1)
    max_depth: int = Field(default=14, ge=1)


class BaseParameters(AutoFormerParameters):
    """Parameters of AutoFormer-base, with its choices by default; the paper has 8 heads, too, but its supernet has not."""

    widths: list[Whole] = Field(default=[528, 576, 624], min_length=1)
    heads: list[Whole] = Field(default=[9, 10], min_length=1)
    ratios: list[Ratio] = Field(default=[3.0, 3.5, 4.0], min_length=1)
    min_depth: int = Field(default=14, ge=1)
    max_depth: int = Field(default=16, ge=1)


class AutoFormerSpace(SearchSpace):
    """Base class of the spaces: genes are the width, then one kind of layer for each place, where 0 is no layer."""

    Parameters = AutoFormerParameters
    parameters: AutoFormerParameters
    any_size = False

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        p = self.parameters
        self.input_shape = (3, p.size, p.size)
        self.choices = tuple(LayerChoice(heads, ratio) for heads in p.heads for ratio in p.ratios)
        stage = StageRange(p.min_depth, p.max_depth, len(self.choices))
        self.encoding: StagedEncoding = StagedEncoding([len(p.widths)], [stage], ["width"])

    def layout(self, genotype: Genotype) -> AutoFormerLayout:
        """Returns the layers of the network."""
        self.encoding.validate(genotype)
        (width,), (kinds,) = self.encoding.split(genotype)
        layers = tuple(self.choices[kind - 1] for kind in kinds)
        return AutoFormerLayout(self.parameters.widths[width], layers, self.parameters.size, self.parameters.classes)

    def build(self, genotype: Genotype) -> AutoFormer:
        """Builds the raw network of a genotype."""
        from .network import AutoFormer

        return AutoFormer(self.layout(genotype))

    def notation(self, genotype: Genotype) -> str:
        """Writes the width, and the heads and the MLP ratio of every layer."""
        layout = self.layout(genotype)
        return write_network(layout.width, layout.layers)

    def parse(self, text: str) -> Genotype:
        """Reads what `notation` writes, or a dictionary of AutoFormer (see `notation.read_network`)."""
        width, layers = read_network(text, self.name)
        p = self.parameters
        if width not in p.widths:
            raise GenotypeError(f"the width must be one of {p.widths} in {self.name}, but it is {shown(width)}")
        for i, layer in enumerate(layers, start=1):
            if layer not in self.choices:
                raise GenotypeError(
                    f"layer {i} must have heads of {p.heads} and a ratio of {p.ratios} in {self.name}, but it has "
                    f"{shown(layer.heads)} and {shown(layer.ratio)}"
                )
        return self.encoding.join([p.widths.index(width)], [[self.choices.index(layer) + 1 for layer in layers]])

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes.

        Raises:
            ConfigError: If the images have another size than those of the space.
        """
        shape = tuple(input_shape or self.input_shape)
        if shape != self.input_shape:
            takes = f"{self.name} takes images like {list(self.input_shape)}"
            raise ConfigError(f"{takes}, but they are {list(shape)}; set 'space.size' to their height and width")
        return autoformer_costs(self.layout(genotype))

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the patch embedding and the Transformer layers."""
        return [network.embedding, *network.layers]  # type: ignore[list-item,misc]

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of every parameter, so that networks share weights as in the published supernet."""
        return self._largest

    @cached_property
    def _largest(self) -> Mapping[str, tuple[int, ...]]:
        import torch

        from .network import AutoFormer

        p = self.parameters
        layers = (LayerChoice(max(p.heads), max(p.ratios)),) * p.max_depth
        with torch.device("meta"):
            largest = AutoFormer(AutoFormerLayout(max(p.widths), layers, p.size, p.classes))
        return {name: tuple(parameter.shape) for name, parameter in largest.named_parameters()}

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        layout = self.layout(genotype)
        layers = [f"{heads} heads\nMLP {ratio:g}" for heads, ratio in layout.layers]
        nodes = ("input", f"patches\n{layout.width}", *layers, "classifier")
        return chain_drawing(nodes, self.notation(genotype))


class AutoFormerTiny(AutoFormerSpace):
    """AutoFormer-tiny: networks of 5.4 to 10.5 million parameters."""

    name = "autoformer_tiny"
    description = "AutoFormer-tiny on ImageNet: width 192..240, 12..14 layers of 3 or 4 heads and MLP ratio 3.5 or 4"
    Parameters = TinyParameters


class AutoFormerSmall(AutoFormerSpace):
    """AutoFormer-small: networks of 13 to 35 million parameters."""

    name = "autoformer_small"
    description = "AutoFormer-small on ImageNet: width 320..448, 12..14 layers of 5..7 heads and MLP ratio 3..4"
    Parameters = SmallParameters


class AutoFormerBase(AutoFormerSpace):
    """AutoFormer-base: networks of 42 to 77 million parameters."""

    name = "autoformer_base"
    description = "AutoFormer-base on ImageNet: width 528..624, 14..16 layers of 9 or 10 heads and MLP ratio 3..4"
    Parameters = BaseParameters
