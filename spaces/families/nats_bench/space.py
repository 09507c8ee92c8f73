"""The two spaces of NATS-Bench (Dong et al. 2021, arXiv 2009.00437), with the indices of the benchmark.

`nats_tss`, the topology space (= NAS-Bench-201): 6 edges with one of 5 operations each, 15,625 cells, 6,466 up to the isomorphism
of the benchmark, 6,236 scored networks. `nats_sss`, the size space: 5 widths of 8 .. 64 for a fixed cell, 32,768 networks.
"""

from __future__ import annotations

import itertools
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.literals import whole_number
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Cell, Costs, SearchSpace

from .cell import EDGES, NODES, OPERATIONS, cell_drawing, first_of_form, isomorphism, prune
from .naslib import NASLIB, read_naslib

if TYPE_CHECKING:
    from torch import nn

    from rbflex_evo.spaces.architecture.lean import LeanNetwork
    from rbflex_evo.spaces.architecture.plan import Plan

    from .network import NatsNetwork

INDEX_DIGITS = 6
WIDTHS = tuple(range(8, 65, 8))
# The fixed cell of the size space: index 9930 of the topology space, its best cell on CIFAR-100.
SIZE_CELL = (3, 3, 3, 1, 3, 3)


class SizeParameters(AnyParameters):
    """Parameters of the size space.

    Attributes:
        classes: Outputs of the classifier.
    """

    classes: int = Field(default=10, ge=2)


class TopologyParameters(SizeParameters):
    """Parameters of the topology space.

    Attributes:
        channels: Channels of the first stage; the next stages double them.
        cells: Number of cells of each stage.
    """

    channels: int = Field(default=16, ge=1)
    cells: int = Field(default=5, ge=1)


class NatsSpace(SearchSpace):
    """The base class of both spaces, whose networks have a cell and a skeleton of blocks."""

    parameters: SizeParameters

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the stem, the cells and the reductions, the blocks that AZ-NAS uses on this benchmark."""
        return [network.stem, *network.blocks]  # type: ignore[list-item,misc]

    @abstractmethod
    def skeleton(self, genotype: Genotype) -> tuple[list[str], int, list[int], list[bool]]:
        """Returns the operations, the width of the stem, and for each block its width and whether it is a reduction."""

    def build(self, genotype: Genotype) -> NatsNetwork:
        """Builds the raw network."""
        from .network import NatsNetwork

        self.encoding.validate(genotype)
        return NatsNetwork(*self.skeleton(genotype), self.parameters.classes)

    def lean(self, genotype: Genotype) -> LeanNetwork | None:
        """Returns the lean network, or None for a cell with dead edges, without a path, or that pools between unequal widths."""
        from .lean import lean_network

        self.encoding.validate(genotype)
        return lean_network(*self.skeleton(genotype), self.parameters.classes)

    def plan(self, genotype: Genotype, input_shape: Sequence[int]) -> Plan | None:
        """Returns the forward of the network as data."""
        from .plan import nats_plan

        self.encoding.validate(genotype)
        return nats_plan(*self.skeleton(genotype), input_shape)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates as the official records do, including the bias of the classifier."""
        from .costs import nats_costs

        self.encoding.validate(genotype)
        return nats_costs(*self.skeleton(genotype), self.parameters.classes, input_shape or self.input_shape)

    def cells(self, genotype: Genotype) -> tuple[Cell, ...]:
        """Returns the cells of a representative that contain layers."""
        from .costs import nats_cells

        self.encoding.validate(genotype)
        return nats_cells(*self.skeleton(genotype))


class TopologySpace(NatsSpace):
    """Cells of NAS-Bench-201 / NATS-Bench TSS; genes are positions in `OPERATIONS`, in the order of `EDGES`."""

    name = "nats_tss"
    description = "NATS-Bench topology space = NAS-Bench-201: 6 edges x 5 operations, 6,236 distinct networks"
    Parameters = TopologyParameters
    parameters: TopologyParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding = VectorEncoding([len(OPERATIONS)] * len(EDGES), [f"edge {a}>{b}" for a, b in EDGES])

    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype in the notation of the benchmark."""
        self.encoding.validate(genotype)
        nodes: list[list[str]] = [[] for _ in range(NODES)]
        for (source, target), gene in zip(EDGES, genotype, strict=True):
            nodes[target].append(f"{OPERATIONS[gene]}~{source}")
        return "+".join(f"|{'|'.join(edges)}|" for edges in nodes[1:])

    def parse(self, text: str) -> Genotype:
        """Reads the notation or the index of the benchmark, or NASLib's operation indices, ``(4, 0, 3, 1, 4, 3)``."""
        text = text.strip()
        index = read_index(text)
        if index is not None:
            return self.at(index)
        if text.startswith(("(", "[", NASLIB)):
            return read_naslib(text)
        genes: dict[tuple[int, int], tuple[str, int]] = {}
        nodes = text.split("+")
        for target, node in enumerate(nodes, start=1):
            for edge in filter(None, node.strip("|").split("|")):
                name, _, source = edge.partition("~")
                if (source, target) not in {(str(a), b) for a, b in EDGES}:
                    raise GenotypeError(f"{shown(text)} has no edge {shown(edge)}; expected {_SHAPE}")
                if name not in OPERATIONS:
                    raise GenotypeError(f"unknown operation {shown(name)}{near_name(name, OPERATIONS)}")
                place = int(source), target
                if place in genes:
                    raise GenotypeError(
                        f"{shown(text)} has the edge from node {source} to node {target} twice, {genes[place][0]!r} and {edge!r}; "
                        f"expected each once, as in {_SHAPE}"
                    )
                genes[place] = edge, OPERATIONS.index(name)
        if len(genes) != len(EDGES) or len(nodes) != NODES - 1:
            raise GenotypeError(f"{shown(text)} is not a cell of {self.name}; expected {_SHAPE}, or an index of 0..15624")
        return tuple(genes[edge][1] for edge in EDGES)

    def key(self, genotype: Genotype) -> str:
        """Returns the notation of the first cell that is isomorphic to the network that is scored (6,236 distinct keys)."""
        self.encoding.validate(genotype)
        return self.notation(_isomorphic(_scored(genotype)))

    def calibration_key(self, genotype: Genotype) -> str:
        """Returns the notation of the first isomorphic cell (6,466 classes), by which gammas have always been drawn."""
        self.encoding.validate(genotype)
        return self.notation(_isomorphic(genotype))

    def representative(self, key: str) -> Genotype:
        """Returns the cell of the key without the edges on no path from input to output."""
        return _scored(self.parse(key))

    def plan(self, genotype: Genotype, input_shape: Sequence[int]) -> Plan | None:
        """Returns the plan of a representative, or None for a raw cell, which also observes convolutions without effect."""
        return super().plan(genotype, input_shape) if prune(genotype) == genotype else None

    def skeleton(self, genotype: Genotype) -> tuple[list[str], int, list[int], list[bool]]:
        """Returns the operations, the width of the stem, and for each block its width and whether it is a reduction."""
        width, cells = self.parameters.channels, self.parameters.cells
        widths = [w for stage in (1, 2, 4) for w in [width * stage] * (cells + (stage > 1))]
        reductions = [r for stage in (1, 2, 4) for r in [True] * (stage > 1) + [False] * cells]
        return [OPERATIONS[gene] for gene in genotype], width, widths, reductions

    def thin(self) -> TopologySpace:
        """Returns the same space with the narrowest networks that its parameters allow."""
        return TopologySpace(TopologyParameters(classes=self.parameters.classes, channels=1, cells=1))

    def index(self, genotype: Genotype) -> int:
        """Returns the index of the cell in NATS-Bench."""
        self.encoding.validate(genotype)
        return _official_positions()[genotype]

    def at(self, index: int) -> Genotype:
        """Returns the cell with that index in NATS-Bench.

        Raises:
            GenotypeError: If the index is not in 0 .. 15,624.
        """
        return _at(official_order(), index)

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        return cell_drawing(genotype, self.notation(genotype))


class SizeSpace(NatsSpace):
    """Networks of NATS-Bench SSS; genes are five positions in `WIDTHS`."""

    name = "nats_sss"
    description = "NATS-Bench size space: 5 widths of 8..64 for one cell a stage, 32,768 networks"
    Parameters = SizeParameters
    parameters: SizeParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding = VectorEncoding([len(WIDTHS)] * 5, [f"width {i}" for i in range(5)])

    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype in the notation of the benchmark."""
        self.encoding.validate(genotype)
        return ":".join(str(WIDTHS[gene]) for gene in genotype)

    def parse(self, text: str) -> Genotype:
        """Reads the notation or the index of the benchmark."""
        index = read_index(text)
        if index is not None:
            return self.at(index)
        widths = text.strip().split(":")
        allowed = [str(width) for width in WIDTHS]
        if len(widths) != 5 or not set(widths) <= set(allowed):
            raise GenotypeError(
                f"{shown(text)} is not a network of {self.name}; expected five of {', '.join(allowed)} as in '8:16:24:32:64', "
                "or an index of 0..32767"
            )
        return tuple(allowed.index(width) for width in widths)

    def skeleton(self, genotype: Genotype) -> tuple[list[str], int, list[int], list[bool]]:
        """Returns the operations, the width of the stem, and for each block its width and whether it is a reduction."""
        widths = [WIDTHS[gene] for gene in genotype]
        return [OPERATIONS[gene] for gene in SIZE_CELL], widths[0], widths, [False, True, False, True, False]

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of each parameter whose shape differs between networks."""
        return _largest_shapes(self.parameters.classes)

    def keys(self) -> Iterator[str]:
        """Yields every key once."""
        return map(self.notation, self.encoding.enumerate())

    def index(self, genotype: Genotype) -> int:
        """Returns the index of the network in NATS-Bench: the genes as digits of base 8."""
        self.encoding.validate(genotype)
        index = 0
        for gene in genotype:
            index = index * len(WIDTHS) + gene
        return index

    def at(self, index: int) -> Genotype:
        """Returns the network with that index in NATS-Bench.

        Raises:
            GenotypeError: If the index is not in 0 .. 32,767.
        """
        return _at(_all_sizes(), index)

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        widths = [WIDTHS[gene] for gene in genotype]
        kinds = ("cell", "reduction", "cell", "reduction", "cell")
        blocks = tuple(f"{kind}\n{width}" for kind, width in zip(kinds, widths, strict=True))
        nodes = ("input", f"stem\n{widths[0]}", *blocks, "classifier")
        return chain_drawing(nodes, self.notation(genotype))


def _isomorphic(genotype: Genotype) -> Genotype:
    """Returns the first of the cells that are isomorphic to this one, by the isomorphism of the benchmark (6,466 cells)."""
    return first_of_form(isomorphism, len(OPERATIONS))[isomorphism(genotype)]


def _scored(genotype: Genotype) -> Genotype:
    """Returns the network that is scored for a cell (6,236 cells).

    The isomorphism keeps sums of zeros, so that cells which differ only in edges without effect may be no isomorphic cells.
    """
    return prune(_isomorphic(genotype))


_SHAPE = "'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'"


def read_index(text: str) -> int | None:
    """Returns the index that a text is, as in the names of the benchmark's files (``000284``), or None.

    More digits are no index, so that a table of another space whose notations are digits is not taken for one of this space.
    """
    return whole_number(text) if len(text.strip()) <= INDEX_DIGITS else None


@cache
def official_order() -> tuple[Genotype, ...]:
    """Returns all 15,625 cells in the order of NATS-Bench: the product of the operations, shuffled with the authors' seed 88."""
    cells = list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))
    random.Random(88).shuffle(cells)
    return tuple(cells)


@cache
def _official_positions() -> dict[Genotype, int]:
    return {genotype: index for index, genotype in enumerate(official_order())}


@cache
def _all_sizes() -> tuple[Genotype, ...]:
    return tuple(itertools.product(range(len(WIDTHS)), repeat=5))


def _at(order: Sequence[Genotype], index: int) -> Genotype:
    if not 0 <= index < len(order):
        raise GenotypeError(f"an index must be in 0..{len(order) - 1}, but it is {shown(index)}")
    return order[index]


@cache
def _largest_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    import torch

    space = SizeSpace(SizeParameters(classes=classes))
    top = len(WIDTHS) - 1
    shapes: dict[str, tuple[int, ...]] = {}
    # Two networks, because a skip connection has weights only if its two widths differ.
    for genotype in ((top, top - 1, top, top - 1, top), (top - 1, top, top - 1, top, top - 1)):
        with torch.device("meta"):
            network = space.build(genotype)
        for name, parameter in network.named_parameters():
            shape = tuple(parameter.shape)
            shapes[name] = tuple(map(max, shapes.get(name, shape), shape))
    return shapes
