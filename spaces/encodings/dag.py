"""Directed acyclic graphs with an operation on every inner node: pruning, canonical form, enumeration and encoding.

    pruned(dag)      without the nodes and edges that are on no path from input to output
    canonical(dag)   equal for all graphs that differ only in the order of their inner nodes

The canonical form is exact, the least graph over all orders of the inner nodes, so that it has no collisions as a hash would. It is
feasible for about five inner nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from rbflex_evo.spaces.errors import GenotypeError

from .encoding import Encoding, Genotype, Variable, check_genes, hamming_distance

Edge = tuple[int, int]


@dataclass(frozen=True)
class Dag:
    """A directed acyclic graph whose node 0 is the input and whose last node is the output.

    Attributes:
        edges: Edges (source, target), each to a later node, sorted.
        operations: Operation of each inner node, in order.
    """

    edges: tuple[Edge, ...]
    operations: tuple[int, ...]

    @property
    def nodes(self) -> int:
        """Number of nodes, input and output included."""
        return len(self.operations) + 2


def all_edges(nodes: int) -> tuple[Edge, ...]:
    """Returns every possible edge of a graph with that many nodes, row by row of the adjacency matrix."""
    return tuple(itertools.combinations(range(nodes), 2))


def carrying(edges: Sequence[Edge], inputs: Collection[int], output: int) -> list[bool]:
    """Returns for each edge whether it is on a path from an input to the output.

    Args:
        edges: Edges (source, target), each to a later node, in any order.
        inputs: Input nodes.
        output: Output node.
    """
    reached, needed = set(inputs), {output}
    for source, target in sorted(edges):
        if source in reached:
            reached.add(target)
    for source, target in sorted(edges, key=lambda edge: -edge[1]):
        if target in needed:
            needed.add(source)
    return [source in reached and target in needed for source, target in edges]


def pruned(dag: Dag) -> Dag | None:
    """Returns the graph of the nodes on a path from input to output, in their order, or None if there is no path."""
    kept = carrying(dag.edges, {0}, dag.nodes - 1)
    edges = sorted(edge for edge, carries in zip(dag.edges, kept, strict=True) if carries)
    if not edges:
        return None
    live = sorted({node for edge in edges for node in edge})
    position = {node: i for i, node in enumerate(live)}
    return Dag(tuple((position[a], position[b]) for a, b in edges), tuple(dag.operations[node - 1] for node in live[1:-1]))


def canonical(dag: Dag) -> Dag:
    """Returns the least graph, by edges and then operations, over all orders of the inner nodes."""
    places = _places(dag.nodes)
    best: tuple[int, tuple[int, ...]] | None = None
    for order in itertools.permutations(range(1, dag.nodes - 1)):
        moved = (0, *order, dag.nodes - 1)
        code = _code(dag.edges, moved, places)
        if code is None or (best is not None and code > best[0]):
            continue
        operations = _reordered(dag.operations, order)
        if best is None or (code, operations) < best:
            best = code, operations
    if best is None:
        raise ValueError(f"{dag} has an edge that does not lead to a later node")
    return Dag(tuple(edge for edge, place in places.items() if best[0] >> place & 1), best[1])


def canonical_dags(nodes: int, operations: int, edges: int) -> Iterator[Dag]:
    """Yields every canonical pruned graph once.

    Args:
        nodes: Largest number of nodes, input and output included.
        operations: Number of operations that an inner node may have.
        edges: Largest number of edges.
    """
    for count in range(2, nodes + 1):
        places = _places(count)
        for code, orders in _canonical_codes(count, edges):
            graph = tuple(edge for edge, place in places.items() if code >> place & 1)
            for labels in itertools.product(range(operations), repeat=count - 2):
                if all(labels <= _reordered(labels, order) for order in orders):
                    yield Dag(graph, labels)


@cache
def _places(nodes: int) -> dict[Edge, int]:
    return {edge: place for place, edge in enumerate(all_edges(nodes))}


def _code(edges: Sequence[Edge], moved: Sequence[int], places: dict[Edge, int]) -> int | None:
    """Returns the edges as bits after moving every node, or None if an edge then leads backwards."""
    code = 0
    for source, target in edges:
        place = places.get((moved[source], moved[target]))
        if place is None:
            return None
        code |= 1 << place
    return code


def _reordered(operations: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Returns the operations where inner node i + 1 has moved to order[i]."""
    return tuple(operation for _, operation in sorted(zip(order, operations, strict=True)))


def _canonical_codes(nodes: int, edges: int) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """Yields the edges, as bits, of every canonical pruned graph without operations, and its automorphisms."""
    places = _places(nodes)
    codes = np.arange(1 << len(places), dtype=np.int64)
    bits = {edge: (codes >> place & 1).astype(bool) for edge, place in places.items()}
    from_input = [np.ones(len(codes), bool)] + [np.zeros(len(codes), bool) for _ in range(nodes - 1)]
    to_output = from_input[::-1]
    for source, target in sorted(places):
        from_input[target] = from_input[target] | (from_input[source] & bits[source, target])
    for source, target in sorted(places, reverse=True):
        to_output[source] = to_output[source] | (to_output[target] & bits[source, target])
    kept = sum(bits.values()) <= edges
    for node in range(nodes):
        kept &= from_input[node] & to_output[node]
    codes = codes[kept]
    orders = list(itertools.permutations(range(1, nodes - 1)))
    stable: dict[int, list[tuple[int, ...]]] = {int(code): [] for code in codes}
    for order in orders:
        moved = (0, *order, nodes - 1)
        image = np.zeros_like(codes)
        backwards = np.zeros(len(codes), bool)
        for (source, target), place in places.items():
            present = codes >> place & 1
            to = places.get((moved[source], moved[target]))
            if to is None:
                backwards |= present.astype(bool)
            else:
                image |= present << to
        for code in codes[~backwards & (image == codes)]:
            stable[int(code)].append(order)
        codes = codes[backwards | (image >= codes)]
    for code in codes:
        yield int(code), stable[int(code)]


class DagEncoding(Encoding):
    """Graphs with a path from input to output and a limited number of edges after pruning.

    A genotype holds one gene, 0 or 1, for each possible edge, row by row of the upper triangle, and then the operation of each
    inner node. Samples are uniform over valid genotypes.

    Args:
        nodes: Number of nodes, input and output included.
        operations: Number of operations that an inner node may have.
        edges: Largest number of edges after pruning.
    """

    def __init__(self, nodes: int, operations: int, edges: int) -> None:
        if nodes < 2 or operations < 1 or edges < 1:
            raise ValueError(f"expected 2 nodes, an operation and an edge at least, but it is {nodes}, {operations}, {edges}")
        self.nodes = nodes
        self.operations = operations
        self.edges = edges
        self.places = all_edges(nodes)
        self.names = (*(f"edge {a}>{b}" for a, b in self.places), *(f"operation {i}" for i in range(1, nodes - 1)))
        self.categories = (*[2] * len(self.places), *[operations] * (nodes - 2))

    def dag(self, genotype: Genotype) -> Dag:
        """Returns the graph of a genotype before pruning."""
        edges = tuple(edge for edge, gene in zip(self.places, genotype, strict=False) if gene)
        return Dag(edges, tuple(genotype[len(self.places) :]))

    def genotype(self, dag: Dag) -> Genotype:
        """Returns the genotype of a graph of at most `nodes` nodes; nodes without edges are added before the output."""
        moved = {node: node for node in range(dag.nodes - 1)} | {dag.nodes - 1: self.nodes - 1}
        edges = {(moved[a], moved[b]) for a, b in dag.edges}
        filling = (0,) * (self.nodes - dag.nodes)
        genotype = (*(int(edge in edges) for edge in self.places), *dag.operations, *filling)
        self.validate(genotype)
        return genotype

    def validate(self, genotype: Genotype) -> None:
        """Checks the genes, the path from input to output, and the number of edges after pruning."""
        check_genes(genotype, self.names, map(range, self.categories))
        rest = pruned(self.dag(genotype))
        if rest is None:
            raise GenotypeError(f"{genotype} has no path from input to output")
        if len(rest.edges) > self.edges:
            raise GenotypeError(f"{genotype} has {len(rest.edges)} edges after pruning, but at most {self.edges} are allowed")

    def is_valid(self, genotype: Genotype) -> bool:
        """Returns whether a genotype whose genes are in their ranges is valid."""
        rest = pruned(self.dag(genotype))
        return rest is not None and len(rest.edges) <= self.edges

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws one valid genotype uniformly, by rejection."""
        while True:
            genotype = tuple(int(gene) for gene in rng.integers(0, self.categories))
            if self.is_valid(genotype):
                return genotype

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Changes each gene with `probability`, in random order, if the graph stays valid; None changes exactly one.

        If no gene is drawn, one gene is changed.
        """
        order = [int(i) for i in rng.permutation([i for i, count in enumerate(self.categories) if count > 1])]
        offsets = {i: int(rng.integers(1, self.categories[i])) for i in order}
        chosen = [i for i in order if probability and rng.random() < probability]
        mutated = genotype
        for i in chosen:
            mutated = self._with(mutated, i, (genotype[i] + offsets[i]) % self.categories[i]) or mutated
        if mutated != genotype:
            return mutated
        for i in order:
            changed = self._with(genotype, i, (genotype[i] + offsets[i]) % self.categories[i])
            if changed is not None:
                return changed
        return genotype

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Swaps each gene with probability 1/2, in random order; a child takes a gene only if its graph stays valid."""
        one, two = first, second
        for i in rng.permutation(len(self.categories)):
            if first[i] != second[i] and rng.random() < 0.5:
                one = self._with(one, int(i), second[i]) or one
                two = self._with(two, int(i), first[i]) or two
        return one, two

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields every valid genotype that differs in one gene."""
        for i, count in enumerate(self.categories):
            for gene in range(count):
                if gene != genotype[i]:
                    changed = self._with(genotype, i, gene)
                    if changed is not None:
                        yield changed

    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns the number of genes that differ."""
        return hamming_distance(first, second)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One variable for each gene."""
        return tuple(map(Variable, self.names, self.categories))

    def decode(self, value_of: Callable[[int], int]) -> Genotype:
        """Returns the values as genes.

        Raises:
            GenotypeError: If the graph is not valid.
        """
        genotype = tuple(map(value_of, range(len(self.categories))))
        self.validate(genotype)
        return genotype

    def encode(self, genotype: Genotype) -> list[int | None]:
        """Returns the genes as values."""
        return list(genotype)

    def _with(self, genotype: Genotype, place: int, gene: int) -> Genotype | None:
        changed = (*genotype[:place], gene, *genotype[place + 1 :])
        return changed if self.is_valid(changed) else None
