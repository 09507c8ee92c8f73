"""Which genes interact in a quantity: the pairs of which one changes what the other adds.

    f has no term that reads genes i and j together   <=>   f(g) - f(g with i changed) - f(g with j changed) + f(g with both) = 0

for all genotypes g and all changes. A function without such terms for any pair outside a graph is a sum of functions of the
graph's cliques, so it can be added up along an order of the genes if the graph is sparse. The difference is computed for changes
of all pairs of genes in some random genotypes. A pair that is missed this way is found when the sum is checked, see `sums`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from rbflex_evo.spaces import Encoding, Genotype
from rbflex_evo.spaces.encodings.domain import Domain

Vector = tuple[float, ...]
Pair = tuple[int, int]

# Relative size below which a difference is a rounding error.
NOISE = 1e-9
# Mutations that are drawn for each gene to find one that changes it.
DRAWS = 6


def bound_pairs(domain: Domain) -> set[Pair]:
    """Returns the pairs of genes that a rule of the encoding reads."""
    return {pair for bond in domain.bonds for pair in combinations(sorted(set(bond.positions)), 2)}


def interacting(
    encoding: Encoding, domain: Domain, of: Callable[[Genotype], Vector], rng: np.random.Generator, contexts: int, known: set[Pair]
) -> set[Pair]:
    """Returns the known pairs of genes and those that interact in some random genotypes.

    Args:
        encoding: Encoding of the genotypes.
        domain: The genotypes of the encoding.
        of: Returns the quantities of a genotype.
        rng: Random generator.
        contexts: Number of random genotypes.
        known: Pairs (i, j), i < j, that are not tried again.
    """
    found = set(known)
    for _ in range(contexts):
        base = encoding.sample(rng)
        moves = _moves(encoding, base, rng)
        values = {changed: np.array(of(changed)) for changed in {base, *moves.values()}}
        for (one, first), (two, second) in combinations(moves.items(), 2):
            pairs = {(min(i, j), max(i, j)) for i in one for j in two}
            if set(one) & set(two) or pairs <= found:
                continue
            both = list(first)
            for i in two:
                both[i] = second[i]
            if not domain.valid(both):
                continue
            terms = np.stack([values[base], -values[first], -values[second], np.array(of(tuple(both)))])
            if (np.abs(terms.sum(axis=0)) > NOISE * np.abs(terms).max(axis=0)).any():
                found |= pairs
    return found


def _moves(encoding: Encoding, base: Genotype, rng: np.random.Generator) -> dict[tuple[int, ...], Genotype]:
    """Returns for each gene the mutant of `base` that changes it and fewest others, by the genes that it changes."""
    smallest: dict[int, tuple[tuple[int, ...], Genotype]] = {}
    for _ in range(DRAWS * len(base)):
        mutant = encoding.mutate(base, rng)
        changed = tuple(i for i, (a, b) in enumerate(zip(base, mutant, strict=True)) if a != b)
        for i in changed:
            if i not in smallest or len(changed) < len(smallest[i][0]):
                smallest[i] = changed, mutant
    return dict(smallest.values())


def order_of(domain: Domain, pairs: set[Pair]) -> list[int]:
    """Returns an order of the genes in which few combinations of values have to be told apart between two genes.

    The next gene is the one that leaves the fewest combinations of genes that interact with later ones.

    Args:
        domain: The genotypes.
        pairs: Pairs of genes that interact.
    """
    neighbours: dict[int, set[int]] = {i: set() for i in range(len(domain.values))}
    for i, j in pairs:
        neighbours[i].add(j)
        neighbours[j].add(i)
    order: list[int] = []
    left = set(neighbours)

    def combinations_after(gene: int) -> tuple[float, int]:
        done = {*order, gene}
        return sum(np.log(len(domain.values[i])) for i in done if neighbours[i] - done), gene

    while left:
        gene = min(left, key=combinations_after)
        order.append(gene)
        left.remove(gene)
    return order


def frontiers(order: Sequence[int], pairs: set[Pair]) -> list[tuple[int, ...]]:
    """Returns for each number of genes of an order, from 0 on, those among them that interact with later ones."""
    place = {gene: k for k, gene in enumerate(order)}
    last = dict(place)
    for i, j in pairs:
        last[i], last[j] = max(last[i], place[j]), max(last[j], place[i])
    return [tuple(gene for gene in order[:k] if last[gene] >= k) for k in range(len(order) + 1)]
