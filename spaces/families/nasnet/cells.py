"""Two cells, a normal and a reduction one, of nodes that each add up two (input, operation) edges: NASNet's family of spaces.

States 0 and 1 of a cell are the outputs of the two cells before it; node n makes state n + 2 out of two states before it.

    normal cell, reduction cell:  for each node  which two states it reads, and the operation on each
    and, where a space says so:   further choices, such as the network's depth and width

Every gene is a category of its own and every combination is valid, so the operators are those of `VectorEncoding`. Where the two
states of a node must differ, as in DARTS, one gene names the pair.
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

# (state that is read, position of the operation)
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
    """The genes of two cells, node by node, and of the choices after them.

    Of each node they are the two states that it reads and the two operations on them; where the states must differ, one gene counts
    the pairs (0, 1), (0, 2), (1, 2), ... A mutation of one gene always changes a cell's edges, also as sets.

    Args:
        nodes: of each cell.
        operations: how many an edge may have.
        distinct: the two states that a node reads must differ.
        choices: further genes by name, with their numbers of values.
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
        """Returns the edges of the normal and of the reduction cell."""
        self.validate(genotype)
        genes = iter(genotype)
        normal, reduce = (tuple(self._node(genes, node + INPUTS) for node in range(self.nodes)) for _ in CELLS)
        return normal, reduce

    def chosen(self, genotype: Genotype) -> tuple[int, ...]:
        """Returns the genes after the cells."""
        return genotype[len(genotype) - len(self.choices) :]

    def genotype(self, normal: CellEdges, reduce: CellEdges, chosen: Sequence[int] = ()) -> Genotype:
        """Returns the genotype of two cells.

        Raises:
            GenotypeError: if the space has no such cells.
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
    """Returns the states of nodes that no node of the cell reads, in order."""
    read = {state for edges in cell for state, _ in edges}
    return tuple(state for state in range(INPUTS, len(cell) + INPUTS) if state not in read)


def every(cell: CellEdges) -> tuple[int, ...]:
    """Returns the states of all nodes, in order."""
    return tuple(range(INPUTS, len(cell) + INPUTS))


@lru_cache(maxsize=65536)
def canonical(cell: CellEdges, zero: int | None = None) -> CellEdges:
    """Returns the first, in order of tuples, of all ways to write a cell: its nodes renumbered, the edges of a node swapped.

    Cells concatenate their nodes, and all that reads a cell mixes its channels, so the order of nodes changes no architecture.

    Args:
        zero: the operation that makes zeros whatever it reads; it is written as reading state 0.
    """
    cell = tuple(tuple((0, op) if op == zero else (state, op) for state, op in edges) for edges in cell)  # type: ignore[misc]
    return _first_form(cell, {0: 0, 1: 1}, frozenset(range(len(cell))))


def _first_form(cell: CellEdges, places: Mapping[int, int], left: frozenset[int]) -> CellEdges:
    """Returns the first form of the nodes that are left; `places` are the new numbers of the states before them."""
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
