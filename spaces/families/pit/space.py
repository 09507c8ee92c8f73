"""The search space of PiT (Heo et al., ICCV 2021, arXiv 2103.16302) that ViT-Bench-101 (Wei et al., AAAI 2024) trained networks of.

    24r4: d2h2 d6h4 d4h8         width of a head and MLP ratio of the whole network, then depth and heads of each stage

A stage is as wide as all of its heads. The pooling before it is a convolution with one group a channel, so its heads are a multiple
of those of the stage before: 10 of the 27 combinations of the benchmark's values, which are one gene, and 4,320 networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import ConfigError, GenotypeError, shown
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .layout import PATCH, PitLayout, StageChoice, pit_costs
from .notation import read_network, write_network

if TYPE_CHECKING:
    from torch import nn

    from .network import PitNetwork

Whole = Annotated[int, Field(ge=1)]
Choices = Annotated[list[Whole], Field(min_length=1)]


class PitParameters(AnyParameters):
    """Parameters of the PiT space, with the choices of ViT-Bench-101 by default.

    Attributes:
        widths: Widths of an attention head to choose from.
        ratios: Ratios of the hidden width of an MLP to the width of its stage to choose from.
        depths: Numbers of layers to choose from, for each stage.
        heads: Numbers of heads to choose from, for each stage.
        size: Height and width of the images.
        classes: Outputs of the classifier.
    """

    widths: Choices = Field(default=[16, 24, 32, 40])
    ratios: Choices = Field(default=[2, 4, 6, 8])
    depths: list[Choices] = Field(default=[[1, 2, 3], [4, 6, 8], [2, 4, 6]], min_length=1)
    heads: list[Choices] = Field(default=[[2, 4, 8], [2, 4, 8], [2, 4, 8]], min_length=1)
    size: int = Field(default=224, ge=PATCH)
    classes: int = Field(default=100, ge=2)

    @model_validator(mode="after")
    def _stages(self) -> PitParameters:
        if len(self.depths) != len(self.heads):
            raise ValueError(f"'depths' has {len(self.depths)} stages, but 'heads' has {len(self.heads)}")
        for name, choices in {"widths": [self.widths], "ratios": [self.ratios], "depths": self.depths, "heads": self.heads}.items():
            for values in choices:
                if len(set(values)) < len(values):
                    raise ValueError(f"{name!r} has a value twice: {values}")
        if not head_choices(self.heads):
            raise ValueError(f"no combination of 'heads' {self.heads} has multiples of those of the stage before in every stage")
        return self


def head_choices(heads: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Returns the combinations of heads, one for each stage, that are multiples of those of the stage before."""
    combinations = itertools.product(*heads)
    return [chosen for chosen in combinations if all(after % before == 0 for before, after in itertools.pairwise(chosen))]


class PitSpace(SearchSpace):
    """Pooling-based vision Transformers; genes are width of a head, MLP ratio, the depth of each stage, and the heads of all."""

    name = "pit"
    description = "PiT of ViT-Bench-101: width of a head 16..40, MLP ratio 2..8, three stages of 1..8 layers and 2..8 heads"
    Parameters = PitParameters
    parameters: PitParameters
    any_size = False

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        p = self.parameters
        self.input_shape = (3, p.size, p.size)
        self.heads = head_choices(p.heads)
        depths = [f"depth {i}" for i in range(1, len(p.depths) + 1)]
        self._choices: dict[str, Sequence[Any]] = {
            "width": p.widths,
            "ratio": p.ratios,
            **dict(zip(depths, p.depths, strict=True)),
            "heads": self.heads,
        }
        self.encoding = VectorEncoding(list(map(len, self._choices.values())), list(self._choices))

    def layout(self, genotype: Genotype) -> PitLayout:
        """Returns the stages of the network."""
        self.encoding.validate(genotype)
        base, ratio, *depths, heads = (choices[gene] for choices, gene in zip(self._choices.values(), genotype, strict=True))
        stages = tuple(StageChoice(*pair) for pair in zip(depths, heads, strict=True))
        return PitLayout(base, ratio, stages, self.parameters.size, self.parameters.classes)

    def build(self, genotype: Genotype) -> PitNetwork:
        """Builds the raw network of a genotype."""
        from .network import PitNetwork

        return PitNetwork(self.layout(genotype))

    def notation(self, genotype: Genotype) -> str:
        """Writes width of a head and MLP ratio, and depth and heads of every stage."""
        layout = self.layout(genotype)
        return write_network(layout.base, layout.ratio, layout.stages)

    def parse(self, text: str) -> Genotype:
        """Reads what `notation` writes, or a dictionary of ViT-Bench-101 (see `notation.read_network`)."""
        base, ratio, stages = read_network(text, self.name)
        expected = len(self.parameters.depths)
        if len(stages) != expected:
            raise GenotypeError(f"a network of {self.name} has {expected} stages, but {shown(text)} has {len(stages)}")
        values = [base, ratio, *(stage.depth for stage in stages), tuple(stage.heads for stage in stages)]
        genes = []
        for value, (name, choices) in zip(values, self._choices.items(), strict=True):
            if value not in choices:
                multiples = f"multiples of those of the stage before, of {self.parameters.heads}"
                allowed = multiples if name == "heads" else f"one of {choices}"
                raise GenotypeError(f"{name} of a network of {self.name} must be {allowed}, but it is {shown(value)}")
            genes.append(choices.index(value))
        return tuple(genes)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes.

        Raises:
            ConfigError: If the images have another size than those of the space.
        """
        shape = tuple(input_shape or self.input_shape)
        if shape != self.input_shape:
            takes = f"{self.name} takes images like {list(self.input_shape)}"
            raise ConfigError(f"{takes}, but they are {list(shape)}; set 'space.size' to their height and width")
        return pit_costs(self.layout(genotype))

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the patch embedding and the Transformer layers."""
        return [network.embedding, *(layer for stage in network.stages for layer in stage)]  # type: ignore[list-item,union-attr]

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of every parameter, so that networks share weights."""
        return self._largest

    @cached_property
    def _largest(self) -> Mapping[str, tuple[int, ...]]:
        import torch

        from .network import PitNetwork

        p = self.parameters
        heads = max(max(choices) for choices in p.heads)  # equal in all stages, so that poolings have whole groups
        stages = tuple(StageChoice(max(depths), heads) for depths in p.depths)
        with torch.device("meta"):
            largest = PitNetwork(PitLayout(max(p.widths), max(p.ratios), stages, p.size, p.classes))
        return {name: tuple(parameter.shape) for name, parameter in largest.named_parameters()}

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        layout = self.layout(genotype)
        nodes = ["input", f"patches\n{layout.widths[0]}"]
        for i, (stage, width) in enumerate(zip(layout.stages, layout.widths, strict=True)):
            nodes += [f"pool\n{width}"] if i else []
            nodes += [f"{stage.heads} heads\nMLP {layout.ratio}"] * stage.depth
        return chain_drawing((*nodes, "classifier"), self.notation(genotype))
