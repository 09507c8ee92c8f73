"""NAS-Bench-101 (Ying et al. 2019, arXiv 1902.09635): cells of at most 7 nodes and 9 edges, 423,624 of them on CIFAR-10.

A genotype is an adjacency matrix over 7 nodes and the operations of the 5 inner nodes. As in the benchmark, nodes and edges on no
path from input to output are pruned before edges are counted and the network is built, and cells that differ only in the order of
their nodes are one architecture.

    0110000/0001000/0001000/0000001/0000000/0000000/0000000:conv3x3-bn-relu,maxpool3x3,conv1x1-bn-relu,...   rows : operations
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from rbflex_evo.spaces.architecture.drawing import Drawing
from rbflex_evo.spaces.encodings.dag import Dag, DagEncoding, canonical, canonical_dags, carrying, pruned
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.literals import literal
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .costs import OPERATIONS, nasbench101_costs

if TYPE_CHECKING:
    from .network import NasBench101Network

NODES, EDGES = 7, 9
INPUT, OUTPUT = "input", "output"
# Operations in the order of the numbers in NASLib's tuples.
NASLIB_OPERATIONS = (INPUT, OUTPUT, "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")


# The fields of a cell in the benchmark's API, and in its ModelSpec and NASLib.
FIELDS = (("module_adjacency", "module_operations"), ("matrix", "ops"))


class NasBench101Parameters(AnyParameters):
    """Parameters of the NAS-Bench-101 space.

    Attributes:
        classes: Outputs of the classifier.
        channels: Channels of the stem; the three stacks have 1, 2 and 4 times as many.
    """

    classes: int = Field(default=10, ge=2)
    channels: int = Field(default=128, ge=4)


class NasBench101Space(SearchSpace):
    """Cells of NAS-Bench-101; genes are the upper triangle of the matrix, row by row, then positions in `OPERATIONS`."""

    name = "nasbench101"
    description = "NAS-Bench-101: cells of at most 7 nodes and 9 edges, 3 operations, 423,624 distinct cells"
    Parameters = NasBench101Parameters
    parameters: NasBench101Parameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding: DagEncoding = DagEncoding(NODES, len(OPERATIONS), EDGES)

    def notation(self, genotype: Genotype) -> str:
        """Writes the rows of the adjacency matrix and the operations."""
        self.encoding.validate(genotype)
        dag = self.encoding.dag(genotype)
        edges = set(dag.edges)
        rows = ["".join(str(int((a, b) in edges)) for b in range(NODES)) for a in range(NODES)]
        return f"{'/'.join(rows)}:{','.join(OPERATIONS[gene] for gene in dag.operations)}"

    def parse(self, text: str) -> Genotype:
        """Reads matrix rows and operations of up to 7 nodes, the tuple of a cell in NASLib, or a dictionary.

        A dictionary has the fields of the benchmark's API, ``module_adjacency`` and ``module_operations``, or those of its
        ``ModelSpec`` and of NASLib, ``matrix`` and ``ops``, in JSON or as Python prints it.
        """
        stripped = text.strip()
        read = {"(": _naslib, "{": _fields}.get(stripped[:1], _written)
        rows, names = read(stripped)
        nodes = len(rows)
        if not 2 <= nodes <= NODES or any(len(row) != nodes or not set(row) <= {"0", "1"} for row in rows):
            raise GenotypeError(
                f"{shown(text)} is not a cell of {self.name}; expected 2..{NODES} rows of 0 and 1, as in {_EXAMPLE}"
            )
        if len(names) == nodes and (names[0], names[-1]) == (INPUT, OUTPUT):
            names = names[1:-1]
        if len(names) != nodes - 2:
            raise GenotypeError(f"{shown(text)} has {len(names)} operations; expected {nodes - 2}, one for each inner node")
        for name in names:
            if name not in OPERATIONS:
                raise GenotypeError(f"unknown operation {shown(name)}{near_name(name, OPERATIONS)}")
        edges = tuple((a, b) for a in range(nodes) for b in range(nodes) if rows[a][b] == "1")
        for a, b in edges:
            if a >= b:
                raise GenotypeError(f"{shown(text)} has an edge {a}>{b}; expected an upper triangular matrix")
        return self.encoding.genotype(Dag(edges, tuple(OPERATIONS.index(name) for name in names)))

    def key(self, genotype: Genotype) -> str:
        """Returns the notation of the pruned cell in canonical form (423,624 distinct keys)."""
        return self.notation(self.encoding.genotype(canonical(self.cell(genotype))))

    def keys(self) -> Iterator[str]:
        """Yields every key once by enumerating canonical graphs, which takes seconds."""
        for dag in canonical_dags(NODES, len(OPERATIONS), EDGES):
            yield self.notation(self.encoding.genotype(dag))

    def cell(self, genotype: Genotype) -> Dag:
        """Returns the pruned cell, with its nodes in the order of the genotype."""
        self.encoding.validate(genotype)
        cell = pruned(self.encoding.dag(genotype))
        assert cell is not None  # a valid genotype has a path to the output
        return cell

    def build(self, genotype: Genotype) -> NasBench101Network:
        """Builds the raw network of a genotype."""
        from .network import NasBench101Network

        return NasBench101Network(self.cell(genotype), self.parameters.channels, self.parameters.classes)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        shape = input_shape or self.input_shape
        return nasbench101_costs(self.cell(genotype), self.parameters.channels, self.parameters.classes, shape)

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        self.encoding.validate(genotype)
        dag = self.encoding.dag(genotype)
        labels = [OPERATIONS[gene].removesuffix("-bn-relu") for gene in dag.operations]
        live = carrying(dag.edges, {0}, NODES - 1)
        edges = tuple((a, b, "", carries) for (a, b), carries in zip(dag.edges, live, strict=True))
        return Drawing((INPUT, *labels, OUTPUT), edges, self.notation(genotype))


_EXAMPLE = "'011/001/000:conv3x3-bn-relu'"
_FIELDS = '{"matrix": [[0, 1, 1], [0, 0, 1], [0, 0, 0]], "ops": ["input", "conv3x3-bn-relu", "output"]}'


def _written(text: str) -> tuple[list[str], list[str]]:
    """Returns the rows of the matrix and the names of the operations from the notation of the space."""
    matrix, colon, operations = text.partition(":")
    if not colon:
        raise GenotypeError(
            f"{shown(text)} is not a cell of nasbench101; expected rows of a matrix and operations, as in {_EXAMPLE}"
        )
    return matrix.split("/"), [name.strip() for name in operations.split(",")] if operations.strip() else []


def _fields(text: str) -> tuple[list[str], list[str]]:
    """Returns the same from a dictionary of the benchmark's API or of NASLib."""
    try:
        fields = literal(text)
    except ValueError as error:
        raise GenotypeError(f"{shown(text)} is not a dictionary: {error}; expected one as {_FIELDS}") from None
    named = [pair for pair in FIELDS if isinstance(fields, dict) and any(name in fields for name in pair)]
    if len(named) != 1 or not all(name in fields for name in named[0]):
        raise GenotypeError(f"{shown(text)} is not a cell of nasbench101; expected {' or '.join(map(' and '.join, FIELDS))}")
    matrix, operations = (fields[name] for name in named[0])
    if not _listed(matrix, list | tuple) or not all(_listed(row, int) for row in matrix):
        raise GenotypeError(f"{named[0][0]} is {shown(matrix)}; expected rows of 0 and 1, as in {_FIELDS}")
    if not _listed(operations, str):
        raise GenotypeError(f"{named[0][1]} is {shown(operations)}; expected names of operations, as in {_FIELDS}")
    return ["".join(str(int(entry)) for entry in row) for row in matrix], list(operations)


def _listed(values: Any, kind: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)


def _naslib(text: str) -> tuple[list[str], list[str]]:
    """Returns the same from a tuple of n x n matrix entries and n positions in `NASLIB_OPERATIONS`."""
    try:
        numbers = literal(text)
    except ValueError:
        numbers = ()
    if not isinstance(numbers, tuple) or not all(type(number) is int for number in numbers):
        numbers = ()
    nodes = math.isqrt(len(numbers))  # n * n + n is between n squared and the next square
    if not numbers or len(numbers) != nodes * nodes + nodes or not set(numbers[nodes * nodes :]) <= set(range(5)):
        raise GenotypeError(f"{shown(text)} is not a NASLib cell; expected n x n matrix entries and n operations of 0..4")
    rows = ["".join(map(str, numbers[i * nodes : (i + 1) * nodes])) for i in range(nodes)]
    return rows, [NASLIB_OPERATIONS[number] for number in numbers[nodes * nodes :]]
