"""The cell of NATS-Bench's topology space (= NAS-Bench-201): four nodes, six edges, five operations.

Node 0 is the input and node 3 the output; a node is the sum of its incoming edges. TransNAS-Bench-101 uses the same cell with the
first four operations.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from itertools import product

from rbflex_evo.spaces.architecture.drawing import Drawing
from rbflex_evo.spaces.encodings.dag import carrying
from rbflex_evo.spaces.encodings.encoding import Genotype

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE, SKIP = 0, 1
# (source, target) of each edge, sorted by target.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NODES = 4
# Kernel size of each convolution.
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


def prune(genotype: Genotype) -> Genotype:
    """Replaces by ``none`` every edge that is on no path from input to output; the function of the network is unchanged."""
    present = [edge for edge, gene in zip(EDGES, genotype, strict=True) if gene != NONE]
    kept = {edge for edge, carries in zip(present, carrying(present, {0}, NODES - 1), strict=True) if carries}
    return tuple(gene if edge in kept else NONE for edge, gene in zip(EDGES, genotype, strict=True))


def isomorphism(genotype: Genotype) -> str:
    """Returns the benchmark's canonical form of a cell: node 3 as an expression of the input.

    A skip connection is its source, ``none`` and an operation on a zero node are zero, and the terms of a sum are sorted. Sums of
    zeros are kept, as in the official form: this gives the 6,466 cells of Dong & Yang (2020), while full simplification would give
    fewer.
    """
    forms = ["0"]
    genes = iter(genotype)
    for node in range(1, NODES):
        terms = []
        for source in range(node):
            gene = next(genes)
            if gene == NONE or forms[source] == "#":
                terms.append("#")
            else:
                terms.append(forms[source] if gene == SKIP else f"({forms[source]})@{gene}")
        forms.append("+".join(sorted(terms)))
    return forms[-1]


@cache
def first_of_form(form: Callable[[Genotype], Hashable], operations: int) -> dict[Hashable, Genotype]:
    """Returns, for each canonical form, the first cell that has it, in lexicographic order.

    Args:
        form: Canonical form of a genotype.
        operations: Number of operations that an edge may have.
    """
    first: dict[Hashable, Genotype] = {}
    for genotype in product(range(operations), repeat=len(EDGES)):
        first.setdefault(form(genotype), genotype)
    return first


def cell_drawing(genotype: Genotype, title: str) -> Drawing:
    """Returns the drawing of a cell; edges on no path from input to output are not live."""
    edges = tuple(
        (source, target, OPERATIONS[gene], bool(kept))
        for (source, target), gene, kept in zip(EDGES, genotype, prune(genotype), strict=True)
    )
    return Drawing(("input", "node 1", "node 2", "output"), edges, title)
