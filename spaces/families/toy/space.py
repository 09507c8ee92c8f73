"""A small space for tests and examples: stages of two parallel edges, networks of a few milliseconds.

It has the properties of real spaces: genotypes that describe the same network (the two edges of a stage may be swapped), networks
without a path from input to output (both edges of a stage are ``zero``), optionally networks that return NaN, and, with more genes,
too many genotypes to enumerate (30 genes of 4 choices: 1.2e18).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import Cell, Costs, SearchSpace

if TYPE_CHECKING:
    from .network import ToyNetwork

OPERATIONS = ("zero", "skip", "conv1", "conv3", "average", "depthwise", "maximum", "dilated")
ZERO = 0
# Kernel size of each convolution, and whether each output channel reads every input channel.
CONVOLUTIONS = {"conv1": (1, True), "conv3": (3, True), "depthwise": (3, False), "dilated": (3, True)}
EDGES_A_STAGE = 2


class ToyParameters(Parameters):
    """Parameters of the toy space.

    Attributes:
        genes: Number of edges, two for each stage; if it is odd, the last stage has one.
        choices: Number of operations of an edge, the first ones of `OPERATIONS`.
        nan: Whether there is one more operation, which returns NaN.
        channels: Width of every stage.
        classes: Outputs of the classifier.
    """

    genes: int = Field(6, ge=1, le=256)
    choices: int = Field(4, ge=2, le=len(OPERATIONS))
    nan: bool = False
    channels: int = Field(16, ge=1)
    classes: int = Field(10, ge=2)


class ToySpace(SearchSpace):
    """A small space; genes are positions in `operations`, stage by stage."""

    name = "toy"
    description = "small space for tests and examples: 6 edges x 4 operations on 3 x 8 x 8 images, adjustable"
    Parameters = ToyParameters
    parameters: ToyParameters
    input_shape = (3, 8, 8)

    def __init__(self, parameters: ToyParameters | None = None) -> None:
        super().__init__(parameters)
        self.operations = OPERATIONS[: self.parameters.choices] + (("nan",) if self.parameters.nan else ())
        genes = self.parameters.genes
        names = [f"stage {i // EDGES_A_STAGE + 1} edge {i % EDGES_A_STAGE + 1}" for i in range(genes)]
        self.encoding = VectorEncoding([len(self.operations)] * genes, names)

    def build(self, genotype: Genotype) -> ToyNetwork:
        """Builds the raw network of a genotype."""
        from .network import ToyNetwork

        names = [[self.operations[gene] for gene in stage] for stage in self._stages(genotype)]
        return ToyNetwork(names, self.parameters.channels, self.parameters.classes)

    def notation(self, genotype: Genotype) -> str:
        """Writes the operations of each stage, as in ``conv1+skip|zero+conv3``."""
        return self._written(self._stages(genotype))

    def parse(self, text: str) -> Genotype:
        """Reads the operations of each stage."""
        names = [stage.split("+") for stage in text.strip().split("|")]
        for name in (name for stage in names for name in stage):
            if name not in self.operations:
                raise GenotypeError(f"unknown operation {shown(name)}{near_name(name, self.operations)}")
        genotype = tuple(self.operations.index(name) for stage in names for name in stage)
        shape = [len(stage) for stage in names]
        if shape != [len(stage) for stage in _in_stages(range(self.parameters.genes))]:
            raise GenotypeError(
                f"{shown(text)} is not a genotype of {self.name}; expected {self.parameters.genes} operations, "
                f"{EDGES_A_STAGE} for each stage, as in {self.notation((ZERO,) * self.parameters.genes)!r}"
            )
        return genotype

    def key(self, genotype: Genotype) -> str:
        """Returns the notation with the edges of each stage sorted, since their order does not change the network."""
        return self._written([sorted(stage) for stage in self._stages(genotype)])

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        _, height, width = input_shape or self.input_shape
        channels, classes = self.parameters.channels, self.parameters.classes
        convolutions = [(3, 3)]  # input channels and kernel size of the stem, then of each edge
        for gene in (gene for stage in self._stages(genotype) for gene in stage):
            if self.operations[gene] in CONVOLUTIONS:
                kernel, dense = CONVOLUTIONS[self.operations[gene]]
                convolutions.append((channels if dense else 1, kernel))
        weights = sum(inputs * channels * kernel**2 for inputs, kernel in convolutions)
        params = weights + 2 * channels * len(convolutions) + (channels + 1) * classes
        return Costs(float(params), float(weights * height * width + channels * classes))

    def cells(self, genotype: Genotype) -> tuple[Cell, ...]:
        """Returns the stages that contain a convolution; the only possible skip connection of a stage is parallel to it."""
        stages = [[self.operations[gene] for gene in stage] for stage in self._stages(genotype)]
        if any(set(stage) <= {"zero"} for stage in stages):
            return ()
        cells = []
        channels = self.parameters.channels
        for stage in stages:
            layers = sum(name in CONVOLUTIONS for name in stage)
            if layers:
                cells.append(Cell(float(channels), 1, layers * channels, ("skip" in stage) * channels, channels))
        return tuple(cells)

    def thin(self) -> ToySpace:
        """Returns the same space with the narrowest networks that its parameters allow."""
        return ToySpace(self.parameters.model_copy(update={"channels": 1}))

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        stages = self._stages(genotype)
        path = all(any(gene != ZERO for gene in stage) for stage in stages)
        nodes = ("input", *(f"stage {i + 1}" for i in range(len(stages))), "output")
        edges = [(i, i + 1, self.operations[gene], path and gene != ZERO) for i, stage in enumerate(stages) for gene in stage]
        edges.append((len(stages), len(stages) + 1, "classifier", path))
        return Drawing(nodes, tuple(edges), self.notation(genotype))

    def _written(self, stages: Sequence[Sequence[int]]) -> str:
        return "|".join(["+".join([self.operations[gene] for gene in stage]) for stage in stages])

    def _stages(self, genotype: Genotype) -> list[tuple[int, ...]]:
        self.encoding.validate(genotype)
        return _in_stages(genotype)


def _in_stages(genes: Genotype | range) -> list[tuple[int, ...]]:
    return [tuple(genes[i : i + EDGES_A_STAGE]) for i in range(0, len(genes), EDGES_A_STAGE)]
