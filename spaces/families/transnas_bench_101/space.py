"""The two spaces of TransNAS-Bench-101 (Duan et al. 2021, CVPR, arXiv 2105.11871), each for any of its seven tasks.

`transnas_micro`: a cell of 6 edges with one of 4 operations each, in a fixed skeleton of five modules, 4,096 cells.
`transnas_macro`: basic blocks in four to six modules, each of which may halve the map, double the channels or do both, 3,256
networks.

    64-41414-1_02_333     stem channels - modules - operations of the edges into node 1, 2 and 3
    64-1234-basic         module 1 plain, 2 doubles the channels, 3 halves the map, 4 does both
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain, pairwise, permutations, product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.constrained import ConstrainedEncoding
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.families.nats_bench.cell import EDGES, NODES, NONE, OPERATIONS, SKIP, cell_drawing, first_of_form, prune
from rbflex_evo.spaces.families.nats_bench.costs import nats_cells, residual_cell
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Cell, Costs, SearchSpace

from .costs import transnas_costs
from .tasks import CHANNELS, STEM_HALVINGS, TASKS, EncoderModule, Name, Task

if TYPE_CHECKING:
    from torch import nn

    from .network import SiameseNetwork, TransNetwork

# Modules of the skeleton of `transnas_micro`; its operations are the first four of NATS-Bench, by their positions.
MODULES = "41414"
MICRO_OPERATIONS = OPERATIONS[:4]
# Smallest and largest number of modules of a macro network, of those that halve the map, and of those that double the channels.
LENGTHS, HALVINGS, DOUBLINGS = (4, 6), (1, 4), (1, 3)


class TransParameters(AnyParameters):
    """Parameters of both spaces.

    Attributes:
        task: The task, which determines the decoder and the loss.
        size: Height and width of the images; the benchmark uses 256 x 256 pixels.
        channels: Channels of the stem, an even number, which determines all widths. The benchmark uses 64.
    """

    task: Name = "class_object"
    size: int = Field(default=256, ge=32)
    channels: int = Field(default=CHANNELS, ge=2, multiple_of=2)


class TransSpace(SearchSpace):
    """The base class of both spaces: a chain of modules, and the decoder of the task.

    With `class_object`, `class_scene`, `room_layout` and `jigsaw`, the input of the classifier is the average of maps that were
    normalised without a later activation, which is only round-off under the statistics of each image. Scores that read features
    therefore only read activations for these tasks. (In some macro networks, the jigsaw pieces of 64 pixels become maps of one
    pixel, for which this does not hold.)
    """

    Parameters = TransParameters
    parameters: TransParameters
    features: Literal["per_image", "none"] = "none"  # for the default task

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.task: Task = TASKS[self.parameters.task]
        self.input_shape = (3, self.parameters.size, self.parameters.size)
        self.loss = self.task.loss
        self.features = self.task.features

    @abstractmethod
    def modules(self, genotype: Genotype) -> list[EncoderModule]:
        """Returns the modules of the network of a genotype, in order."""

    @abstractmethod
    def operations(self, genotype: Genotype) -> list[str] | None:
        """Returns the operations of the cells of a genotype, or None for basic blocks."""

    def build(self, genotype: Genotype) -> TransNetwork | SiameseNetwork:
        """Builds the raw network of a genotype."""
        from .network import SiameseNetwork, TransNetwork

        network = SiameseNetwork if self.task.decoder == "pieces" else TransNetwork
        return network(self.task, self.parameters.channels, self.modules(genotype), self.operations(genotype))

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        modules, operations = self.modules(genotype), self.operations(genotype)
        return transnas_costs(self.task, self.parameters.channels, modules, operations, input_shape or self.input_shape)

    def classifier(self, network: nn.Module) -> nn.Module:
        """Returns the last linear layer or convolution of the decoder."""
        return network.decoder.classifier[0]  # type: ignore[union-attr,index,return-value]

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the stem and the cells, or no blocks for the jigsaw task, whose encoder runs once for each piece."""
        if self.task.decoder == "pieces":
            return []
        return [network.encoder.stem, *network.encoder.cells.values()]  # type: ignore[list-item,union-attr,operator]

    def widths(self, genotype: Genotype) -> list[int]:
        """Returns the channels of the stem and of each cell."""
        return [self.parameters.channels, *(module.outputs for module in self.modules(genotype) for _ in range(2))]


class TransMicroSpace(TransSpace):
    """Cells of TransNAS-Bench-101; genes are positions in `MICRO_OPERATIONS`, in the order of `EDGES`.

    Cells are those of NATS-Bench, except that a skip connection from the input has weights in the first cell of a module that
    changes the shape. Cells describe the same network if they differ only in edges without effect, the order of sums or the order
    of nodes.
    """

    name = "transnas_micro"
    description = "TransNAS-Bench-101 cells: 6 edges x 4 operations, 7 tasks; by activations alone but for pixel tasks"

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding = VectorEncoding([len(MICRO_OPERATIONS)] * len(EDGES), [f"edge {a}>{b}" for a, b in EDGES])

    def notation(self, genotype: Genotype) -> str:
        """Writes the rows of the adjacency matrix and the operations."""
        self.encoding.validate(genotype)
        digits = "".join(map(str, genotype))
        return f"{CHANNELS}-{MODULES}-{digits[0]}_{digits[1:3]}_{digits[3:]}"

    def parse(self, text: str) -> Genotype:
        """Reads the notation of the benchmark."""
        found = re.fullmatch(rf"{CHANNELS}-{MODULES}-([0-3])_([0-3]{{2}})_([0-3]{{3}})", text.strip(), re.ASCII)
        if found is None:
            raise GenotypeError(
                f"{shown(text)} is not a cell of {self.name}; expected '{CHANNELS}-{MODULES}-1_02_333' with digits "
                "0 none, 1 skip connection, 2 conv 1x1, 3 conv 3x3"
            )
        return tuple(map(int, "".join(found.groups())))

    def key(self, genotype: Genotype) -> str:
        """Returns the notation of the lexicographically first cell that describes the same network."""
        self.encoding.validate(genotype)
        return self.notation(first_of_form(_form, len(MICRO_OPERATIONS))[_form(genotype)])

    def representative(self, key: str) -> Genotype:
        """Returns the cell of the key without the edges on no path from input to output."""
        return prune(first_of_form(_form, len(MICRO_OPERATIONS))[_form(self.parse(key))])

    def modules(self, genotype: Genotype) -> list[EncoderModule]:
        """Returns the modules of the network of a genotype, in order."""
        self.encoding.validate(genotype)
        return modules_of(MODULES, self.parameters.channels)

    def operations(self, genotype: Genotype) -> list[str]:
        """Returns the operations of the cells of a genotype."""
        return [MICRO_OPERATIONS[gene] for gene in genotype]

    def cells(self, genotype: Genotype) -> tuple[Cell, ...]:
        """Returns the cells of a representative that contain layers."""
        stem, *widths = self.widths(genotype)
        return nats_cells(self.operations(genotype), stem, widths, [False] * len(widths))

    def thin(self) -> TransMicroSpace:
        """Returns the same space with the narrowest networks that its parameters allow."""
        return TransMicroSpace(self.parameters.model_copy(update={"channels": 2}))

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        return cell_drawing(genotype, self.notation(genotype))


class TransMacroSpace(TransSpace):
    """Networks of TransNAS-Bench-101; genes are the digit of each module, then 0 for missing modules up to six.

    `sample` is uniform over the 3,256 networks, so that most samples have six modules.
    """

    name = "transnas_macro"
    description = "TransNAS-Bench-101 networks of 4..6 modules, 7 tasks; by activations alone but for pixel tasks"

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding: ConstrainedEncoding = ConstrainedEncoding(StagedEncoding([], [StageRange(*LENGTHS, 4)]), _broken)

    def notation(self, genotype: Genotype) -> str:
        """Writes the rows of the adjacency matrix and the operations."""
        self.encoding.validate(genotype)
        return f"{CHANNELS}-{_code(genotype)}-basic"

    def parse(self, text: str) -> Genotype:
        """Reads the notation of the benchmark."""
        found = re.fullmatch(rf"{CHANNELS}-([1-4]{{{LENGTHS[0]},{LENGTHS[1]}}})-basic", text.strip(), re.ASCII)
        if found is None:
            raise GenotypeError(
                f"{shown(text)} is not a network of {self.name}; expected '{CHANNELS}-1234-basic' with {LENGTHS[0]}..{LENGTHS[1]} "
                "modules, 1 plain, 2 twice the channels, 3 half the map, 4 both"
            )
        digits = tuple(map(int, found[1]))
        genotype = digits + (0,) * (LENGTHS[1] - len(digits))
        self.encoding.validate(genotype)
        return genotype

    def modules(self, genotype: Genotype) -> list[EncoderModule]:
        """Returns the modules of the network of a genotype, in order."""
        self.encoding.validate(genotype)
        return modules_of(_code(genotype), self.parameters.channels)

    def operations(self, genotype: Genotype) -> None:
        """Returns the operations of the cells of a genotype."""
        return None

    def cells(self, genotype: Genotype) -> tuple[Cell, ...]:
        """Returns the cells of a representative that contain layers."""
        widths = self.widths(genotype)
        return tuple(residual_cell(inputs, outputs) for inputs, outputs in pairwise(widths))

    def thin(self) -> TransMacroSpace:
        """Returns the same space with the narrowest networks that its parameters allow."""
        return TransMacroSpace(self.parameters.model_copy(update={"channels": 2}))

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        side = -(-self.parameters.size // 2**STEM_HALVINGS)
        nodes = ["input", f"stem\n{self.parameters.channels}, {side} x {side}"]
        for digit, module in zip(_code(genotype), self.modules(genotype), strict=True):
            side = -(-side // 2) if module.halves else side
            nodes.append(f"module {digit}\n{module.outputs}, {side} x {side}")
        nodes.append(self.parameters.task)
        return chain_drawing(nodes, self.notation(genotype))


def modules_of(code: str, channels: int) -> list[EncoderModule]:
    """Returns the modules of a code of digits, after a stem with `channels` channels."""
    modules = []
    for digit in code:
        channels *= 2 if digit in "24" else 1
        modules.append(EncoderModule(channels, digit in "34"))
    return modules


def _code(genotype: Genotype) -> str:
    return "".join(str(gene) for gene in genotype if gene)


def _broken(genotype: Genotype) -> str | None:
    """Returns why a sequence of modules is invalid, or None if it is valid."""
    modules = modules_of(_code(genotype), 1)
    halvings = sum(module.halves for module in modules)
    doublings = modules[-1].outputs.bit_length() - 1
    for (least, most), found, what in ((HALVINGS, halvings, "halve the map"), (DOUBLINGS, doublings, "double the channels")):
        if not least <= found <= most:
            return f"{least}..{most} of the modules must {what}, but {found} of {_code(genotype)!r} do"
    return None


def _terms(genotype: Genotype) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """Returns the operations of a cell, each with the terms of its input, and the terms of the output.

    Term 0 is the input of the cell, term i the result of operation i. A skip connection between later nodes is an alias of its
    source. A skip connection from the input is an operation, since it has weights in some cells.
    """
    operations: list[tuple[int, list[int]]] = []
    nodes: list[list[int]] = [[0], *([] for _ in range(1, NODES))]
    for (source, target), gene in zip(EDGES, prune(genotype), strict=True):
        if gene == SKIP and source:
            nodes[target] += nodes[source]
        elif gene != NONE:
            operations.append((gene, nodes[source]))
            nodes[target].append(len(operations))
    return operations, nodes[-1]


def _form(genotype: Genotype) -> tuple[object, ...]:
    """Returns the lexicographically first numbering of the operations of a cell, equal for cells that describe the same network.

    Unlike the form of NATS-Bench, it distinguishes a map that is added twice from two equal operations with separate weights.
    """
    operations, output = _terms(genotype)
    names = ["input"]
    for gene, reads in operations:
        names.append(f"({'+'.join(sorted(names[i] for i in reads))})@{gene}")
    # Only operations with equal names can be exchanged.
    equal = [[i for i in range(1, len(names)) if names[i] == name] for name in sorted(set(names[1:]))]
    forms = []
    for orders in product(*map(permutations, equal)):
        order = [0, *chain.from_iterable(orders)]
        number = {old: new for new, old in enumerate(order)}
        numbered = [(operations[old - 1][0], sorted(number[i] for i in operations[old - 1][1])) for old in order[1:]]
        forms.append((*((gene, *reads) for gene, reads in numbered), tuple(sorted(number[i] for i in output))))
    return min(forms)
