"""A normal and a reduction cell, whose nodes each add two (input state, operation) edges: the NASNet family of spaces.

States 0 and 1 of a cell are the outputs of the two cells before it; node n computes state n + 2 from two earlier states.

    normal cell, reduction cell   for each node, the two states that it reads and the operation on each
    further choices               for some spaces, such as the depth and width of the network

Genes are categorical and every combination is valid, so the operators are those of `VectorEncoding`. If the two states of a node
must differ, as in DARTS, one gene chooses the pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError

# (state that is read, position of the operation) of an edge.
CellEdge = tuple[int, int]
Node = tuple[CellEdge, CellEdge]
CellEdges = tuple[Node, ...]

CELLS = ("normal", "reduce")
INPUTS = 2


@dataclass(frozen=True)
class CellPlan:
    """One kind of cell, with operations by name.

    Attributes:
        nodes: The two edges (state that is read, name of the operation) of each node.
        concatenated: The states that the output concatenates.
    """

    nodes: tuple[tuple[tuple[int, str], ...], ...]
    concatenated: tuple[int, ...]


def reductions(layers: int) -> tuple[int, int]:
    """Returns the positions of the two reduction cells among `layers` cells: at one and two thirds of the depth."""
    return layers // 3, 2 * layers // 3


class TwoCellEncoding(VectorEncoding):
    """The genes of two cells, node by node, followed by further choices.

    The genes of a node are the two states that it reads and the two operations on them. If the states must differ, one gene is the
    position of the pair in (0, 1), (0, 2), (1, 2), ...

    Args:
        nodes: Number of nodes of each cell.
        operations: Number of operations that an edge may have.
        distinct: Whether the two states that a node reads must differ.
        choices: Number of values of each further gene, by name.
    """

    def __init__(self, nodes: int, operations: int, *, distinct: bool, choices: Mapping[str, int] | None = None) -> None:
        self.nodes = nodes
        self.operations = operations
        self.distinct = distinct
        self.choices = dict(choices or {})
        categories: list[int] = []
        names: list[str] = []
        for cell in CELLS:
            for node in range(nodes):
                states = node + INPUTS
                inputs = {"inputs": math.comb(states, 2)} if distinct else {"first input": states, "second input": states}
                genes = {**inputs, "first operation": operations, "second operation": operations}
                categories += genes.values()
                names += [f"{cell} node {node + INPUTS} {gene}" for gene in genes]
        super().__init__([*categories, *self.choices.values()], [*names, *self.choices])

    def cells(self, genotype: Genotype) -> tuple[CellEdges, CellEdges]:
        """Returns the edges of the normal and the reduction cell."""
        self.validate(genotype)
        genes = iter(genotype)
        normal, reduce = (tuple(self._node(genes, node + INPUTS) for node in range(self.nodes)) for _ in CELLS)
        return normal, reduce

    def chosen(self, genotype: Genotype) -> tuple[int, ...]:
        """Returns the further choices, the genes after those of the cells."""
        return genotype[len(genotype) - len(self.choices) :]

    def genotype(self, normal: CellEdges, reduce: CellEdges, chosen: Sequence[int] = ()) -> Genotype:
        """Returns the genotype of two cells.

        Raises:
            GenotypeError: If the cells do not belong to the space.
        """
        genes = [gene for cell in (normal, reduce) for node, edges in enumerate(cell) for gene in self._genes(edges, node + INPUTS)]
        genotype = (*genes, *chosen)
        self.validate(genotype)
        return genotype

    def _node(self, genes: object, states: int) -> Node:
        take = genes.__next__  # type: ignore[attr-defined]
        first, second = _pairs(states)[take()] if self.distinct else (take(), take())
        return (first, take()), (second, take())

    def _genes(self, edges: Node, states: int) -> list[int]:
        if not self.distinct:
            (first, one), (second, two) = edges
            return [first, second, one, two]
        (first, one), (second, two) = sorted(edges)
        if first == second:
            raise GenotypeError(f"the two inputs of node {states} must differ, but both are {first}")
        return [_pairs(states).index((first, second)), one, two]


@lru_cache
def _pairs(states: int) -> tuple[tuple[int, int], ...]:
    return tuple(combinations(range(states), 2))


def unused(cell: CellEdges) -> tuple[int, ...]:
    """Returns the states of the nodes that no other node reads, in order."""
    read = {state for edges in cell for state, _ in edges}
    return tuple(state for state in range(INPUTS, len(cell) + INPUTS) if state not in read)


def every(cell: CellEdges) -> tuple[int, ...]:
    """Returns the states of all nodes, in order."""
    return tuple(range(INPUTS, len(cell) + INPUTS))


@lru_cache(maxsize=65536)
def canonical(cell: CellEdges, zero: int | None = None) -> CellEdges:
    """Returns the lexicographically first form of a cell over renumberings of its nodes and swaps of the edges of a node.

    A cell concatenates its nodes and every layer that reads it mixes all channels, so the order of nodes does not change the
    architecture.

    Args:
        cell: The cell.
        zero: Position of the operation that gives zeros for every input; its input is normalised to state 0.
    """
    cell = tuple(tuple((0, op) if op == zero else (state, op) for state, op in edges) for edges in cell)  # type: ignore[misc]
    return _first_form(cell, {0: 0, 1: 1}, frozenset(range(len(cell))))


def _first_form(cell: CellEdges, places: Mapping[int, int], left: frozenset[int]) -> CellEdges:
    """Returns the first form of the remaining nodes; `places` are the new numbers of the states before them."""
    if not left:
        return ()
    ready: dict[int, Node] = {}
    for node in left:
        if all(state in places for state, _ in cell[node]):
            one, two = sorted((places[state], operation) for state, operation in cell[node])
            ready[node] = (one, two)
    least = min(ready.values())
    new = len(places)
    ends = (_first_form(cell, {**places, node + INPUTS: new}, left - {node}) for node, edges in ready.items() if edges == least)
    return least, *min(ends)
