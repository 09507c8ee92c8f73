"""NAS-Bench-Macro (Su et al. 2021, CVPR, arXiv 2103.11922): CIFAR-10 networks of eight layers.

The layers form three stages of 2, 3 and 3 layers, each one of three blocks: 6,561 codes, 3,969 networks. The first layer of a stage
halves the map and doubles the width. Identities in other layers have no effect, so their position in the stage does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .costs import InvertedResidualBlock, MobileNetLayout, mobilenet_costs

if TYPE_CHECKING:
    from torch import nn

    from .network import MobileNetwork

CHOICES = ("identity", "MB3_K3", "MB6_K5")
KERNELS = (1, 3, 5)
EXPANSIONS = (0, 3, 6)
STAGES = (2, 3, 3)
HEAD = 1280


class NasBenchMacroParameters(AnyParameters):
    """Parameters of the NAS-Bench-Macro space.

    Attributes:
        classes: Outputs of the classifier.
        channels: Channels of the stem; each stage doubles them.
    """

    classes: int = Field(default=10, ge=2)
    channels: int = Field(default=32, ge=1)


class NasBenchMacroSpace(SearchSpace):
    """Networks of NAS-Bench-Macro; the genes are positions in `CHOICES`, one for each layer."""

    name = "nasbench_macro"
    description = "NAS-Bench-Macro: 8 layers of identity, MB3_K3 or MB6_K5 on CIFAR-10, 3,969 distinct networks"
    Parameters = NasBenchMacroParameters
    parameters: NasBenchMacroParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding = VectorEncoding([len(CHOICES)] * sum(STAGES), [f"layer {i + 1}" for i in range(sum(STAGES))])

    def notation(self, genotype: Genotype) -> str:
        """Writes the genes as one digit for each layer."""
        self.encoding.validate(genotype)
        return "".join(map(str, genotype))

    def parse(self, text: str) -> Genotype:
        """Reads one digit for each layer."""
        code = text.strip()
        if len(code) != sum(STAGES) or not set(code) <= {"0", "1", "2"}:
            raise GenotypeError(
                f"{shown(text)} is not a network of {self.name}; expected {sum(STAGES)} digits, "
                "0 identity, 1 MB3_K3 or 2 MB6_K5, as in '22212220'"
            )
        return tuple(map(int, code))

    def key(self, genotype: Genotype) -> str:
        """Returns the code with the identities of each stage, except in its first layer, moved to the end of the stage."""
        self.encoding.validate(genotype)
        genes: list[int] = []
        for stage in _in_stages(genotype):
            genes += [stage[0], *sorted(stage[1:], key=lambda gene: gene == 0)]
        return self.notation(tuple(genes))

    def build(self, genotype: Genotype) -> MobileNetwork:
        """Builds the raw network of a genotype."""
        from torch import nn

        from .network import MobileNetwork

        return MobileNetwork(self.layout(genotype), nn.ReLU)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates as the records of the benchmark do."""
        return mobilenet_costs(self.layout(genotype), input_shape or self.input_shape)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the stem, the layers that are not identities, and the head."""
        return [part for part in network.features.children() if next(part.parameters(), None) is not None]  # type: ignore[union-attr]

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        self.encoding.validate(genotype)
        labels = [
            f"{CHOICES[gene]}\n{self.parameters.channels * 2 ** (stage + 1)}"
            for stage, genes in enumerate(_in_stages(genotype))
            for gene in genes
        ]
        nodes = ("input", f"stem\n{self.parameters.channels}", *labels, f"head\n{HEAD}", "classifier")
        return chain_drawing(nodes, self.notation(genotype))

    def layout(self, genotype: Genotype) -> MobileNetLayout:
        """Returns the layers of the network."""
        self.encoding.validate(genotype)
        blocks: list[InvertedResidualBlock] = []
        width = self.parameters.channels
        for stage, genes in enumerate(_in_stages(genotype)):
            for position, gene in enumerate(genes):
                inputs, stride = width, 1
                if position == 0:
                    width, stride = 2 * width, 2
                name = f"stage{stage + 1}_layer{position + 1}_{CHOICES[gene]}"
                blocks.append(InvertedResidualBlock(name, inputs, width, stride, KERNELS[gene], EXPANSIONS[gene]))
        return MobileNetLayout(self.parameters.channels, 1, tuple(blocks), HEAD, self.parameters.classes)


def _in_stages(genes: Sequence[int]) -> list[Genotype]:
    ends = [sum(STAGES[: i + 1]) for i in range(len(STAGES))]
    return [tuple(genes[end - length : end]) for end, length in zip(ends, STAGES, strict=True)]
