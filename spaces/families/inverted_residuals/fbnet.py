"""FBNet (Wu et al. 2019, CVPR, arXiv 1812.03443), as HW-NAS-Bench and HELP number it: 22 layers with one of 9 operations each.

    layer       1 x 1 convolution to expansion x inputs, shuffle, depthwise k x k, 1 x 1 to the outputs; residual if shapes allow
    k5_e1_g2    kernel 5, expansion 1, both 1 x 1 convolutions in 2 groups
    skip        nothing, or a 1 x 1 convolution where the stride or the width changes

The layers form 7 stages; the first layer of a stage has its stride. Skips in other layers have no effect, so their position in the
stage does not matter. The CIFAR-100 form is that of the benchmarks' latencies, the ImageNet form that of the paper.

    k3_e6 | k5_e1 k3_e3 skip k3_e1_g2 | ... | k5_e6       the operations of every stage
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.literals import literal
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .costs import InvertedResidualBlock, MobileNetLayout, mobilenet_costs

if TYPE_CHECKING:
    from torch import nn

    from .network import MobileNetwork

OPERATIONS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
# Kernel, expansion and groups of each operation; a skip connection has none.
SHAPES = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1), (1, 0, 1))
SKIP = OPERATIONS.index("skip")
LAYERS = (1, 4, 4, 4, 4, 4, 1)
WIDTHS = (16, 24, 32, 64, 112, 184, 352)
STEM = 16


class Form(NamedTuple):
    """What the networks for a data set have in common: image size, strides of stem and stages, width of the head, classes."""

    size: int
    stem_stride: int
    strides: tuple[int, ...]
    head: int
    classes: int


FORMS = {
    "cifar100": Form(32, 1, (1, 1, 2, 2, 1, 2, 1), 1504, 100),
    "imagenet": Form(224, 2, (1, 2, 2, 2, 1, 2, 1), 1984, 1000),
}


class FbnetParameters(AnyParameters):
    """Parameters of the FBNet space.

    Attributes:
        form: Data set whose image size, strides, head and classes the networks have.
        size: Height and width of the images; None for those of the form.
        classes: Outputs of the classifier; None for those of the form.
    """

    form: Literal["cifar100", "imagenet"] = "cifar100"
    size: int | None = Field(default=None, ge=8)
    classes: int | None = Field(default=None, ge=2)


class FbnetSpace(SearchSpace):
    """Networks of FBNet; the genes are positions in `OPERATIONS`, one for each layer."""

    name = "fbnet"
    description = "FBNet: 22 layers of 9 operations, CIFAR-100 form of HW-NAS-Bench and HELP, or ImageNet form"
    Parameters = FbnetParameters
    parameters: FbnetParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.form = FORMS[self.parameters.form]
        size = self.parameters.size or self.form.size
        self.input_shape = (3, size, size)
        self.encoding = VectorEncoding([len(OPERATIONS)] * sum(LAYERS), [f"layer {i + 1}" for i in range(sum(LAYERS))])

    def notation(self, genotype: Genotype) -> str:
        """Writes the operations of every stage."""
        self.encoding.validate(genotype)
        return " | ".join(" ".join(OPERATIONS[gene] for gene in stage) for stage in _in_stages(genotype))

    def parse(self, text: str) -> Genotype:
        """Reads the names of 22 operations, or the list of their numbers in HW-NAS-Bench, ``[7, 8, 1, ...]``."""
        if text.strip().startswith(("[", "(")):
            return self._numbers(text)
        names = text.replace("|", " ").split()
        for name in names:
            if name not in OPERATIONS:
                raise GenotypeError(f"unknown operation {shown(name)}{near_name(name, OPERATIONS)}")
        if len(names) != sum(LAYERS):
            raise GenotypeError(
                f"{shown(text)} is not a network of {self.name}: it has {len(names)} operations; expected {sum(LAYERS)}, "
                "as in 'k3_e6 | k5_e1 k3_e3 skip k3_e1 | ...'"
            )
        return tuple(map(OPERATIONS.index, names))

    def _numbers(self, text: str) -> Genotype:
        try:
            numbers = literal(text.strip())
        except ValueError:
            numbers = None
        wanted = range(len(OPERATIONS))
        if (
            not isinstance(numbers, list | tuple)
            or len(numbers) != sum(LAYERS)
            or not all(type(number) is int and number in wanted for number in numbers)
        ):
            raise GenotypeError(f"{shown(text)} is not a network of {self.name}; expected {sum(LAYERS)} numbers of 0..8")
        return tuple(numbers)

    def key(self, genotype: Genotype) -> str:
        """Returns the notation with the skips of each stage, except in its first layer, moved to the end of the stage."""
        self.encoding.validate(genotype)
        genes: list[int] = []
        for stage in _in_stages(genotype):
            genes += [stage[0], *sorted(stage[1:], key=lambda gene: gene == SKIP)]
        return self.notation(tuple(genes))

    def layout(self, genotype: Genotype) -> MobileNetLayout:
        """Returns the layers of the network."""
        self.encoding.validate(genotype)
        blocks: list[InvertedResidualBlock] = []
        before = STEM
        for stage, genes in enumerate(_in_stages(genotype)):
            for position, gene in enumerate(genes):
                width, stride = WIDTHS[stage], 1 if position else self.form.strides[stage]
                name = f"stage{stage + 1}_layer{position + 1}_{OPERATIONS[gene]}_{before}to{width}"
                kernel, expansion, groups = SHAPES[gene]
                blocks.append(InvertedResidualBlock(name, before, width, stride, kernel, expansion, groups, always_expands=True))
                before = width
        classes = self.parameters.classes or self.form.classes
        return MobileNetLayout(STEM, self.form.stem_stride, tuple(blocks), self.form.head, classes)

    def build(self, genotype: Genotype) -> MobileNetwork:
        """Builds the raw network of a genotype."""
        from torch import nn

        from .network import MobileNetwork

        return MobileNetwork(self.layout(genotype), nn.ReLU)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        return mobilenet_costs(self.layout(genotype), input_shape or self.input_shape)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the stem, the layers that have weights, and the head."""
        return [part for part in network.features.children() if next(part.parameters(), None) is not None]  # type: ignore[union-attr]

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        layout = self.layout(genotype)
        labels = [
            f"{OPERATIONS[gene]}\n{block.outputs}{' /2' if block.stride == 2 else ''}"
            for gene, block in zip(genotype, layout.blocks, strict=True)
        ]
        nodes = ("input", f"stem\n{layout.stem}", *labels, f"head\n{layout.head}", "classifier")
        return chain_drawing(nodes, self.notation(genotype))


def _in_stages(genes: Sequence[int]) -> list[Genotype]:
    ends = [sum(LAYERS[: i + 1]) for i in range(len(LAYERS))]
    return [tuple(genes[end - length : end]) for end, length in zip(ends, LAYERS, strict=True)]
